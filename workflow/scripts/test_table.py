"""Join the tests of all spaces."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.comparison_tables import write_proxy_tests, write_search_tests
    from naswot_ext.provenance import read_table
    from naswot_ext.tables import write_html

    write = {"proxies": write_proxy_tests, "searches": write_search_tests}[snakemake.wildcards.compared]
    write([read_table(file) for file in snakemake.input], snakemake.output.csv, snakemake.output.md)
    write_html(snakemake.output.csv, snakemake.output.html)
