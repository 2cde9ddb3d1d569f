"""Test every pair of searches on the same runs."""

from _common import reporting, search_tables

with reporting(snakemake):
    from naswot_ext.comparison_tables import search_test_rows
    from naswot_ext.provenance import write_table

    place = {"space": snakemake.wildcards.space, "scored_on": snakemake.wildcards.dataset}
    rows = search_test_rows(search_tables(snakemake.input.searches), **place, **snakemake.params.statistics)
    write_table(rows, snakemake.output[0], **place, statistics=snakemake.params.statistics)
