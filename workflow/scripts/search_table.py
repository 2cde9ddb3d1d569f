"""Summarise the runs of every search, beside the published numbers."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import read_published, search_rows, write_html, write_searches

    published = read_published(snakemake.input.published)
    rows = [search_rows(read_table(f), read_provenance(f), published) for f in snakemake.input.searches]
    write_searches(rows, snakemake.output.csv, snakemake.output.md)
    write_html(snakemake.output.csv, snakemake.output.html)
