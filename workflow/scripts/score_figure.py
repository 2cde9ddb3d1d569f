"""Draw one proxy's scores against accuracy."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.figures import save, scatter
    from naswot_ext.provenance import read_provenance, read_table

    options = snakemake.params.figures
    figure = scatter(
        [read_table(table) for table in snakemake.input.scores],
        read_table(snakemake.input.truth),
        read_table(snakemake.input.correlations),
        x_label=read_provenance(snakemake.input.scores[0])["title"],
        split=options["split"],
    )
    save(figure, *snakemake.output, dpi=options["dpi"])
