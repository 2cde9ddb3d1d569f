"""Draw the mean ranks of the searches over the runs that they share."""

from _common import reporting, search_tables

with reporting(snakemake):
    from naswot_ext.figures import save
    from naswot_ext.figures_comparison import search_ranks

    options = snakemake.params.figures
    tables = search_tables(snakemake.input)
    # A search with few runs would leave as few of all others.
    most = max(map(len, tables.values()))
    shared = {label: table for label, table in tables.items() if len(table) == most}
    left_out = sorted({*tables} - {*shared})
    if left_out:
        print(f"Left out for having fewer than {most} runs: {', '.join(left_out)}")
    figure = search_ranks(
        shared if len(shared) > 1 else tables,
        split=options["split"],
        confidence=snakemake.params.confidence,
    )
    save(figure, *snakemake.output, dpi=options["dpi"])
