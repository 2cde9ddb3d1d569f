"""Draw the score of networks while they are trained."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.figures.output import absent, accuracy_of, write
    from naswot_ext.papers.figures.training import training
    from naswot_ext.provenance import read_provenance, read_table

    params, files = snakemake.params, list(snakemake.input)
    traces = pd.concat([read_table(file) for file in files]) if files else pd.DataFrame()
    if files:
        figure = training(traces, y_label=read_provenance(files[0])["title"], accuracy=accuracy_of(files[0]))
    else:
        figure = absent(params.heading, [reason for *_, reason in params.missing])
    # Seconds are no part of what is drawn, and differ from run to run.
    write(figure, traces.drop(columns="seconds", errors="ignore"), **snakemake.output, dpi=params.figures["dpi"])
