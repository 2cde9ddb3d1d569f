"""Draw how often each search finds a better architecture than another."""

from _common import reporting, search_tables

with reporting(snakemake):
    from naswot_ext.figures import save
    from naswot_ext.figures_comparison import search_wins

    options = snakemake.params.figures
    save(search_wins(search_tables(snakemake.input), split=options["split"]), *snakemake.output, dpi=options["dpi"])
