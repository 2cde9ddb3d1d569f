"""Run one simulated search."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.provenance import read_table, write_table
    from naswot_ext.sampling import open_listing, sample_architectures
    from naswot_ext.searches import candidates, run

    space, scored_on = snakemake.wildcards.space, snakemake.wildcards.dataset
    draw, repeats = snakemake.params.draw, snakemake.params.repeats
    options = dict(snakemake.params.search)
    algorithm = options.pop("algorithm")
    opened, available = open_listing(space, listing=snakemake.input.get("listing"))
    among = candidates(
        opened,
        sample_architectures(available, draw["architectures"], draw["draw_seed"]),
        read_table(snakemake.input.truth),
        scored_on,
        [[read_table(table)] for table in snakemake.input.scores],
        source=snakemake.input.truth,
    )
    write_table(
        run(algorithm, options, among, repeats["runs"], repeats["seed"]),
        snakemake.output[0],
        **{"proxy": None, "n_samples": None, **options},
        space=space,
        scored_on=scored_on,
        algorithm=algorithm,
        draw=draw,
        repeats=repeats,
    )
