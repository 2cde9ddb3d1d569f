"""Draw one mini-batch."""

from _common import reporting, source_options

with reporting(snakemake):
    from naswot_ext.datasets import make_batch, save_batch

    size, seed = int(snakemake.wildcards.size), int(snakemake.wildcards.seed)
    save_batch(make_batch(source_options(snakemake), size, seed), snakemake.output[0])
