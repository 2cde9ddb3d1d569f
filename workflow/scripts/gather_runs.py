"""Join the runs of one search, and add the accuracies of what they found."""

from _common import reporting, search_facts

with reporting(snakemake):
    from naswot_ext.provenance import read_provenance, read_table, write_table
    from naswot_ext.sampling import open_listing, sample_architectures
    from naswot_ext.searches import candidates, join

    draw = snakemake.params.draw
    space, available = open_listing(snakemake.wildcards.space, listing=snakemake.input.get("listing"))
    among = candidates(
        space,
        sample_architectures(available, draw["architectures"], draw["draw_seed"]),
        read_table(snakemake.input.truth),
        snakemake.wildcards.dataset,
    )
    runs = join([read_table(file) for file in snakemake.input.runs], among)
    initialisations = read_provenance(snakemake.input.runs[0]).get("initialisations", 1)
    write_table(runs, snakemake.output[0], **search_facts(snakemake), initialisations=initialisations)
