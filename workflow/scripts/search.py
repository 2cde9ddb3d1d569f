"""Make all runs, or some, of one search that looks up scores and accuracies."""

from _common import reporting, search_facts

with reporting(snakemake):
    from naswot_ext.provenance import read_table, write_table
    from naswot_ext.sampling import open_listing, sample_architectures
    from naswot_ext.searches import candidates, run

    draw, repeats, options = snakemake.params.draw, snakemake.params.repeats, dict(snakemake.params.search)
    space, available = open_listing(snakemake.wildcards.space, listing=snakemake.input.get("listing"))
    tables = [read_table(table) for table in snakemake.input.scores]
    # All proxies of one seed stand together.
    seeds = {}
    for file, table in zip(snakemake.input.scores, tables, strict=True):
        seeds.setdefault(file.rsplit("/", 1)[-1], []).append(table)
    among = candidates(
        space,
        sample_architectures(available, draw["architectures"], draw["draw_seed"]),
        read_table(snakemake.input.truth),
        snakemake.wildcards.dataset,
        list(seeds.values()),
        source=snakemake.input.truth,
    )
    numbers = repeats.get("runs") or range(int(snakemake.wildcards.first), int(snakemake.wildcards.last) + 1)
    found = run(options.pop("algorithm"), options, among, numbers, repeats["seed"])
    write_table(found, snakemake.output[0], **search_facts(snakemake), initialisations=len(seeds))
