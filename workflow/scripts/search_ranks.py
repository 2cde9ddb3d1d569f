"""Draw the mean ranks of the searches over the runs that they share."""

from _common import reporting, search_tables

with reporting(snakemake):
    from naswot_ext.figures import save
    from naswot_ext.figures_comparison import search_ranks

    options = snakemake.params.figures
    tables = search_tables(snakemake.input)
    figure = search_ranks(tables, split=options["split"], confidence=snakemake.params.confidence)
    save(figure, *snakemake.output, dpi=options["dpi"])
