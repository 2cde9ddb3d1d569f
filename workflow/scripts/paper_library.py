"""Draw the scores of a library's networks against their accuracies, and test their association."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.cells import write_cells
    from naswot_ext.papers.claims import association, no_association
    from naswot_ext.papers.figures.library import data, library
    from naswot_ext.papers.figures.output import absent, write
    from naswot_ext.provenance import read_provenance, read_table

    params, files, output = snakemake.params, list(snakemake.input), dict(snakemake.output.items())
    cells_file = output.pop("cells")
    if files:
        table = pd.concat([read_table(file) for file in files])
        cells = association(table)
        # How many networks and initialisations there are, the figure says itself.
        _, _, association_found = cells["reason"].iloc[0].partition("; ")
        figure = library(table, x_label=read_provenance(files[0])["title"], note=association_found)
        drawn = data(table)
    else:
        cells, drawn = no_association(params.missing), pd.DataFrame()
        figure = absent(params.heading, [params.missing])
    write_cells(cells, cells_file)
    write(figure, drawn, **output, dpi=params.figures["dpi"])
