"""Set the taus of a figure's panels beside the published ones."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.cells import write_cells
    from naswot_ext.papers.tau_cells import tau_cells
    from naswot_ext.provenance import read_table
    from naswot_ext.tables import CORRELATION_COLUMNS, read_published

    tables = [read_table(file) for file in snakemake.input.correlations]
    rows = pd.concat(tables) if tables else pd.DataFrame(columns=CORRELATION_COLUMNS)
    missing = {(space, dataset): reason for space, dataset, reason in snakemake.params.missing}
    published = read_published(snakemake.input.published)
    cells = tau_cells(rows, published, missing, snakemake.params.remarks, confidence=snakemake.params.confidence)
    write_cells(cells, snakemake.output[0])
