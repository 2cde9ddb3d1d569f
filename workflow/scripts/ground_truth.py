"""Convert a space's ground truth to the one format."""

from _common import reporting, source_options

with reporting(snakemake):
    from naswot_ext.benchmarks import convert
    from naswot_ext.provenance import write_table
    from naswot_ext.spaces import open_space

    space, network = snakemake.wildcards.space, snakemake.params.network
    table = convert(open_space(space, network), source_options(snakemake))
    versions = sorted(table["version"].unique())
    write_table(table, snakemake.output[0], space=space, benchmark=snakemake.params.options, versions=versions)
