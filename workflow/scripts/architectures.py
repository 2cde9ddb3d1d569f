"""List the architectures that a ground truth holds."""

from _common import reporting, source_options

with reporting(snakemake):
    from naswot_ext.benchmarks import architectures
    from naswot_ext.provenance import write_table
    from naswot_ext.spaces import open_space

    space, network = snakemake.wildcards.space, snakemake.params.network
    found = architectures(open_space(space, network), source_options(snakemake))
    write_table(found, snakemake.output[0], space=space, network=network, benchmark=snakemake.params.options)
