"""Draw what the runs of every search found."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.figures import save, search_figure
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import read_published, search_rows

    options = snakemake.params.figures
    published = read_published(snakemake.input.published)
    tables = [read_table(f) for f in snakemake.input.searches]
    made_by = [read_provenance(f) for f in snakemake.input.searches]
    beside = snakemake.params.beside
    rows = [
        search_rows(table, facts, published, beside.get(facts["label"]))
        for table, facts in zip(tables, made_by, strict=True)
    ]
    save(search_figure(tables, rows, split=options["split"]), *snakemake.output, dpi=options["dpi"])
