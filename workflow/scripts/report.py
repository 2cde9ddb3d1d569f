"""Let Snakemake's own reporter write the report of everything that is finished by now."""

import subprocess
import sys

import yaml
from _common import reporting

with reporting(snakemake):
    from naswot_ext.errors import NaswotError
    from naswot_ext.files import atomic_path

    with atomic_path(snakemake.output.config) as path:
        path.write_text(yaml.safe_dump(snakemake.params.config, sort_keys=False))
    with atomic_path(snakemake.output.html) as path:
        command = [sys.executable, "-m", "snakemake", "results", "--snakefile", snakemake.params.snakefile]
        command += ["--configfile", snakemake.output.config, "--report", str(path), "--workflow-profile", "none"]
        reporter = subprocess.run([*command, "--profile", "none"], capture_output=True, text=True, check=False)
        if reporter.returncode:
            raise NaswotError(f"Snakemake could not write the report:\n{reporter.stderr}")
