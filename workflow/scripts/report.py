"""Let Snakemake's own reporter write the report of everything that is finished by now.

Its landing page is the summary that a run of the papers writes, or else the general one with what this run found.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from _common import reporting

LANDING = Path(snakemake.scriptdir, "../report/workflow.rst")
# More of them would push the menu's first table off the screen.
LINES = 24

with reporting(snakemake):
    from naswot_ext.errors import NaswotError
    from naswot_ext.files import atomic_path
    from naswot_ext.headline import headline

    with tempfile.TemporaryDirectory() as folder:
        landing = next((file for file in map(Path, snakemake.input) if file.name == "summary.rst"), None)
        if landing is None:
            landing = Path(folder, "landing.rst")
            found = headline(Path(snakemake.output.html).parent / "tables")
            rest = [f"... and {len(found) - LINES} lines more: see the Tables_."] if len(found) > LINES else []
            block = ["", "::", "", *(f"  {line}" for line in found[:LINES]), "", *rest]
            # Snakemake fills in what stands in braces; there are none in what was found.
            landing.write_text(LANDING.read_text().replace("..  HEADLINE", "\n".join(block)))
        with atomic_path(snakemake.output.config) as path:
            path.write_text(yaml.safe_dump(snakemake.params.config, sort_keys=False))
        with atomic_path(snakemake.output.html) as path:
            command = [sys.executable, "-m", "snakemake", "results", "--snakefile", snakemake.params.snakefile]
            command += ["--configfile", snakemake.output.config, "--report", str(path), "--workflow-profile", "none"]
            reporter = subprocess.run(
                [*command, "--profile", "none"],
                env=os.environ | {"NASWOT_LANDING": str(landing.resolve())},
                capture_output=True,
                text=True,
                check=False,
            )
            if reporter.returncode:
                raise NaswotError(f"Snakemake could not write the report:\n{reporter.stderr}")
