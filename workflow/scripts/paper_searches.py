"""Make one of the papers' tables of searches, measured beside published."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.papers.layout import write_table
    from naswot_ext.papers.search_cells import search_cells
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import read_published

    searches = [
        (
            read_table(file),
            {**read_provenance(file), "published": snakemake.params.beside[file], "note": snakemake.params.remark},
        )
        for file in snakemake.input.searches
    ]
    item = tuple(snakemake.wildcards.paper_item.split("/"))
    missing = {
        (f"{method}, N = {n_samples}" if n_samples else method, dataset): reason
        for method, n_samples, dataset, reason in snakemake.params.missing
    }
    cells = search_cells(item, searches, read_published(snakemake.input.published), missing, snakemake.params.official)
    write_table(cells, snakemake.params.heading, snakemake.params.note, **snakemake.output)
