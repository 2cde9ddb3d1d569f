"""Draw the rank correlations of several scores in several spaces."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.figures.bars import bars, data
    from naswot_ext.papers.figures.output import write
    from naswot_ext.provenance import read_table
    from naswot_ext.tables import CORRELATION_COLUMNS

    params = snakemake.params
    tables = [read_table(file) for file in snakemake.input]
    rows = pd.concat(tables) if tables else pd.DataFrame(columns=CORRELATION_COLUMNS)
    reasons = {space: reason for space, _, reason in params.missing}
    split = params.figures["split"]
    figure = bars(rows, params.spaces, params.proxies, split=split, reasons=reasons)
    write(figure, data(rows, params.spaces, params.proxies, split=split), **snakemake.output, dpi=params.figures["dpi"])
