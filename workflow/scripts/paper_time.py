"""Draw what searches cost against what they find."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.papers.cells import read_cells
    from naswot_ext.papers.figures.output import absent, write
    from naswot_ext.papers.figures.time import data, time
    from naswot_ext.papers.live import with_live_seconds
    from naswot_ext.provenance import read_provenance, read_table

    cells = read_cells(snakemake.input.cells)
    live = [(read_table(file), read_provenance(file)) for file in snakemake.input.live]
    cells, note = with_live_seconds(cells, live)
    drawn = data(cells)
    figure = time(cells, note=note) if drawn["seconds"].notna().any() else absent("Search time", [note])
    write(figure, drawn, **snakemake.output, dpi=snakemake.params.figures["dpi"])
