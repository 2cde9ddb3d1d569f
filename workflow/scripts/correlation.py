"""Correlate one proxy's scores with the ground truth."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.provenance import read_table, write_table
    from naswot_ext.tables import correlation_rows, read_published

    names = {
        "space": snakemake.wildcards.space,
        "scored_on": snakemake.wildcards.dataset,
        "proxy": snakemake.wildcards.proxy,
    }
    rows = correlation_rows(
        [read_table(table) for table in snakemake.input.scores],
        read_table(snakemake.input.truth),
        read_published(snakemake.input.published),
        **names,
        **snakemake.params.statistics,
    )
    write_table(rows, snakemake.output[0], **names, statistics=snakemake.params.statistics)
