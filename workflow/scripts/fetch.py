"""Fetch one file of a download."""

from pathlib import Path

from _common import reporting

with reporting(snakemake):
    from naswot_ext.downloads import fetch

    fetch(
        snakemake.wildcards.download,
        snakemake.wildcards.file,
        Path(snakemake.output[0]).parents[1],
        Path(snakemake.scriptdir, "../resources/sources.yaml"),
    )
