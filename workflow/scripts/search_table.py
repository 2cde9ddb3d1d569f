"""Summarise the runs of every search, beside the published numbers."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import quoted_rows, read_published, search_rows, write_html, write_searches

    published = read_published(snakemake.input.published)
    rows, places = [], {}
    for file in snakemake.input.searches:
        made_by = read_provenance(file)
        rows.append(search_rows(read_table(file), made_by, published, snakemake.params.beside.get(made_by["label"])))
        places[made_by["space"], made_by["scored_on"]] = rows[-1]
    rows += [quoted_rows(published, snakemake.params.quoted, like, *place) for place, like in places.items()]
    write_searches(rows, snakemake.output.csv, snakemake.output.md)
    write_html(snakemake.output.csv, snakemake.output.html)
