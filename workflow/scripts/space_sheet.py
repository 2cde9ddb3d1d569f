"""Draw one proxy's scores against accuracy in every space, a panel each."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.figures import Scored, save, sheet
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import read_published

    options, inputs = snakemake.params.figures, snakemake.input
    truth = {read_provenance(file)["space"]: read_table(file) for file in inputs.truth}
    # Score tables stand in the order of the correlations, one a seed for each.
    seeds = len(inputs.scores) // len(inputs.correlations)
    scored = []
    for i, file in enumerate(inputs.correlations):
        tables = [read_table(table) for table in inputs.scores[i * seeds : (i + 1) * seeds]]
        scored.append(Scored(tables, truth[read_provenance(file)["space"]], read_table(file)))
    figure = sheet(
        scored,
        read_published(inputs.published),
        x_label=read_provenance(snakemake.input.scores[0])["title"],
        split=options["split"],
    )
    save(figure, *snakemake.output, dpi=options["dpi"])
