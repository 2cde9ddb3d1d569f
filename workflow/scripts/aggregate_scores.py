"""Combine the ranks of several proxies into one score table."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.aggregates import aggregate_tables
    from naswot_ext.provenance import read_table, write_table

    combined = snakemake.params.combined
    table = aggregate_tables([read_table(file) for file in snakemake.input], combined["how"])
    title = f"mean {'log-' * (combined['how'] == 'log')}rank of {', '.join(combined['ranks'])}"
    facts = {"proxy": snakemake.wildcards.proxy, "title": title, "seed": int(snakemake.wildcards.seed), **combined}
    write_table(table, snakemake.output[0], **facts)
