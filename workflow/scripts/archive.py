"""Write the archive of everything that is finished by now."""

import subprocess
import sys
from pathlib import Path

from _common import reporting

with reporting(snakemake):
    from naswot_ext.archive.pack import Run, pack
    from naswot_ext.errors import NaswotError

    def ask(*question):
        """What Snakemake says of the run."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakemake.params.snakefile, "--nolock"]
        command += ["--configfile", snakemake.input.config, "--workflow-profile", "none", "--profile", "none"]
        answer = subprocess.run([*command, *question], capture_output=True, text=True, check=False)
        if answer.returncode:
            raise NaswotError(f"Snakemake could not tell what the archive is to hold:\n{answer.stderr}")
        return answer.stdout

    run = Run(
        results=Path(snakemake.params.config["results"]),
        code=Path(snakemake.params.snakefile).parent,
        config=snakemake.params.config,
        configfiles=snakemake.params.configfiles,
        outputs=ask("--summary"),
        rulegraph=ask("--rulegraph", "dot"),
    )
    pack(run, snakemake.output[0])
