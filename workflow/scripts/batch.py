"""Draw one mini-batch."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.datasets import make_batch, save_batch

    batch = make_batch(snakemake.params.options, int(snakemake.wildcards.size), int(snakemake.wildcards.seed))
    save_batch(batch, snakemake.output[0])
