"""Draw the scores of a library's networks against their accuracies, and test their association."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.cells import write_cells
    from naswot_ext.papers.claims import association, association_told, no_association
    from naswot_ext.papers.figures.library import data, library
    from naswot_ext.papers.figures.output import absent, write
    from naswot_ext.provenance import read_provenance, read_table

    params, files, output = snakemake.params, list(snakemake.input), dict(snakemake.output.items())
    cells_file = output.pop("cells")
    if files:
        table = pd.concat([read_table(file) for file in files])
        cells = association(table, params.known)
        x_label = read_provenance(files[0])["title"]
        figure = library(table, x_label=x_label, note=association_told(cells), known=params.known)
        drawn = data(table)
    else:
        cells, drawn = no_association(params.missing), pd.DataFrame()
        figure = absent(params.heading, [params.missing])
    write_cells(cells, cells_file)
    write(figure, drawn, **output, dpi=params.figures["dpi"])
