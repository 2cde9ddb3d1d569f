"""Join the correlations of all proxies."""

from _common import html_table, reporting

with reporting(snakemake):
    from naswot_ext.provenance import read_table
    from naswot_ext.tables import write_correlations

    write_correlations(map(read_table, snakemake.input), snakemake.output.csv, snakemake.output.md)
    html_table(snakemake.output.csv, snakemake.output.html)
