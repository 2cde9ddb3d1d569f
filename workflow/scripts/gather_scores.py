"""Join the shards of one score table, and say how many architectures could not be scored."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.scoring import gather

    counts = gather(snakemake.input, snakemake.output[0], snakemake.wildcards.proxy)
    print(f"{snakemake.output[0]}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
