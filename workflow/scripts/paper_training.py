"""Draw the score of networks while they are trained."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.figures.output import absent, accuracy_of, write
    from naswot_ext.papers.figures.training import data, training
    from naswot_ext.provenance import read_provenance, read_table

    params, files = snakemake.params, list(snakemake.input)
    traces = pd.concat([read_table(file) for file in files]) if files else pd.DataFrame()
    if files:
        made_by = read_provenance(files[0])
        known = {"accuracy": accuracy_of(files[0]), "benchmark": made_by["space"]}
        figure = training(traces, y_label=made_by["title"], **known)
    else:
        figure = absent(params.heading, [reason for *_, reason in params.missing])
    write(figure, data(traces), **snakemake.output, dpi=params.figures["dpi"])
