"""Draw scores against accuracy, a panel a space and data set."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.figures import Scored
    from naswot_ext.papers.figures.output import absent, write
    from naswot_ext.papers.figures.scatter import data, scatter
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import read_published

    params, files = snakemake.params, snakemake.input
    panels = [tuple(panel) for panel in params.panels]
    reasons = {(space, dataset): reason for space, dataset, reason in params.missing}
    # The score tables of one panel stand together, one a seed.
    seeds = len(files.scores) // max(len(files.truth), 1)
    scored = [
        Scored(
            [read_table(table) for table in files.scores[i * seeds : (i + 1) * seeds]],
            read_table(truth),
            read_table(rows),
            read_provenance(rows)["statistics"]["filter_below"],
        )
        for i, (truth, rows) in enumerate(zip(files.truth, files.correlations, strict=True))
    ]
    split, published = params.figures["split"], read_published(files.published)
    if scored:
        label = read_provenance(files.scores[0])["title"]
        figure = scatter(panels, scored, x_label=label, reasons=reasons, published=published, split=split)
    else:
        figure = absent(params.heading, reasons.values())
    drawn = data(panels, scored, published=published, split=split)
    write(figure, drawn, **snakemake.output, dpi=params.figures["dpi"])
