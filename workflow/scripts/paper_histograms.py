"""Draw how the local linear maps of untrained networks correlate, by accuracy."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.figures.histograms import histograms
    from naswot_ext.papers.figures.output import absent, accuracy_of, write
    from naswot_ext.provenance import read_table

    params, files = snakemake.params, list(snakemake.input)
    table = pd.concat([read_table(file) for file in files]) if files else pd.DataFrame()
    if files:
        figure = histograms(table, accuracy=accuracy_of(files[0]))
    else:
        figure = absent(params.heading, [reason for *_, reason in params.missing])
    write(figure, table, **snakemake.output, dpi=params.figures["dpi"])
