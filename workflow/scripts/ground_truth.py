"""Convert a space's ground truth to the one format."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.benchmarks import convert
    from naswot_ext.provenance import write_table

    space, options = snakemake.wildcards.space, snakemake.params.options
    write_table(convert(space, options), snakemake.output[0], space=space, benchmark=options)
