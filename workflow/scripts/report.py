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

CAPTIONS = Path(snakemake.scriptdir, "../report")
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
            general = (CAPTIONS / "workflow.rst").read_text()
            landing.write_text(general.replace("..  HEADLINE", "\n".join(block)))
        with atomic_path(snakemake.output.config) as path:
            path.write_text(yaml.safe_dump(snakemake.params.config, sort_keys=False))
        with atomic_path(snakemake.output.html) as path:
            command = [sys.executable, "-m", "snakemake", "results", "--snakefile", snakemake.params.snakefile]
            command += ["--configfile", snakemake.output.config, "--workflow-profile", "none", "--profile", "none"]
            command += ["--report", str(path), "--report-stylesheet", str((CAPTIONS / "report.css").resolve())]
            reporter = subprocess.run(
                command,
                env=os.environ | {"NASWOT_LANDING": str(landing.resolve())},
                capture_output=True,
                text=True,
                check=False,
            )
            if reporter.returncode:
                raise NaswotError(f"Snakemake could not write the report:\n{reporter.stderr}")
            # Where the checkout and the working directory lie is nobody's business who reads the report.
            page = path.read_text(encoding="utf-8")
            for place in (Path(snakemake.params.snakefile).parent, Path.cwd()):
                page = page.replace(f"{place}/", "")
            path.write_text(page, encoding="utf-8")
