"""Draw the rank correlation of every proxy in one space."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.figures import save
    from naswot_ext.figures_comparison import proxy_bars
    from naswot_ext.provenance import read_table

    options = snakemake.params.figures
    rows = pd.concat([read_table(file) for file in snakemake.input], ignore_index=True)
    save(proxy_bars(rows, split=options["split"]), *snakemake.output, dpi=options["dpi"])
