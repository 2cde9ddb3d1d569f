"""Join the correlations of all proxies."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.provenance import read_table
    from naswot_ext.tables import write_correlations, write_html

    write_correlations(map(read_table, snakemake.input), snakemake.output.csv, snakemake.output.md)
    write_html(snakemake.output.csv, snakemake.output.html)
