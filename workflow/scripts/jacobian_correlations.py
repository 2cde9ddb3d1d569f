"""Count the correlations of the linear maps of some untrained networks."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.experiments.choose import choose
    from naswot_ext.experiments.jacobian_correlations import write_histograms
    from naswot_ext.provenance import read_table
    from naswot_ext.sampling import open_listing

    choice = dict(snakemake.params.choose)
    space, _ = open_listing(snakemake.wildcards.space, snakemake.params.network, snakemake.input.get("listing"))
    with claim(snakemake.params.device) as device:
        write_histograms(
            space,
            choose(read_table(snakemake.input.truth), **choice),
            snakemake.input.images,
            snakemake.output[0],
            device=device,
            threads=snakemake.threads,
            dataset=snakemake.wildcards.dataset,
            choose=choice,
            **snakemake.params.options,
        )
