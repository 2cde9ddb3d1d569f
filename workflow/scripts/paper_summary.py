"""Count what was reproduced, and write what the report says of it: its first page, and pages of all verdicts."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.papers.cells import read_cells
    from naswot_ext.papers.items import ITEMS
    from naswot_ext.papers.pages import numbers_page, summary_page
    from naswot_ext.papers.story import story
    from naswot_ext.papers.summary import landing, summary
    from naswot_ext.tables import write_text

    params, output = snakemake.params, snakemake.output
    cells = [read_cells(file) for file in snakemake.input.cells]
    counted, text = summary(cells, params.note)
    write_text(counted.to_csv(index=False, lineterminator="\n"), output.csv)
    write_text(text, output.md)
    write_text(landing(counted, story(params.facts, cells)), output.rst)
    write_text(summary_page(cells, params.note), output.html)
    write_text(numbers_page(cells, "Every number beside the published one", params.note), output.numbers)
    # Tables are pages already; the numbers that a figure has beside it are not in its picture.
    for item in (item for item in ITEMS if output.get(item.target)):
        of = [part[(part["paper"] == item.paper) & (part["item"] == item.name)] for part in cells]
        heading = f"{item.title} ({item.name}): measured beside published"
        write_text(numbers_page(of, heading, params.notes[f"{item.paper}/{item.name}"]), output.get(item.target))
