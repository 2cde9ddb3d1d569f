"""Draw what mini-batch, Gaussian input, initialisation and batch size change of the score."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.figures.ablation import ablation, data
    from naswot_ext.papers.figures.output import absent, accuracy_of, write
    from naswot_ext.provenance import read_provenance, read_table

    params, files = snakemake.params, list(snakemake.input)
    if files:
        samples = pd.concat([read_table(file) for file in files])
        figure = ablation(
            samples,
            params.kinds,
            y_label=read_provenance(files[0])["title"],
            accuracy=accuracy_of(files[0]),
            reasons=params.reasons,
        )
        drawn = data(samples, params.kinds)
    else:
        figure, drawn = (
            absent(params.heading, [*(reason for *_, reason in params.missing), *params.reasons.values()]),
            pd.DataFrame(),
        )
    write(figure, drawn, **snakemake.output, dpi=params.figures["dpi"])
