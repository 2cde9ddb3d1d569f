"""Count what was reproduced, and write the report's first page."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.papers.cells import read_cells
    from naswot_ext.papers.story import story
    from naswot_ext.papers.summary import landing, summary
    from naswot_ext.tables import write_text

    cells = [read_cells(file) for file in snakemake.input.cells]
    counted, text = summary(cells, snakemake.params.note)
    write_text(counted.to_csv(index=False, lineterminator="\n"), snakemake.output.csv)
    write_text(text, snakemake.output.md)
    write_text(landing(counted, story(snakemake.params.facts, cells)), snakemake.output.rst)
