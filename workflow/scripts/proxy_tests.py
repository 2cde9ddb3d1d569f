"""Test every pair of proxies on the same architectures."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.comparison_tables import proxy_test_rows
    from naswot_ext.provenance import read_table, write_table

    proxies, files = snakemake.params.proxies, list(snakemake.input.scores)
    # One table a seed, those of a proxy together.
    seeds = len(files) // len(proxies)
    tables = [read_table(file) for file in files]
    scores = {proxy: tables[i * seeds : (i + 1) * seeds] for i, proxy in enumerate(proxies)}
    place = {"space": snakemake.wildcards.space, "scored_on": snakemake.wildcards.dataset}
    rows = proxy_test_rows(scores, read_table(snakemake.input.truth), **place, **snakemake.params.statistics)
    write_table(rows, snakemake.output[0], **place, statistics=snakemake.params.statistics)
