"""Draw the kernels of untrained networks by accuracy."""

from _common import reporting

with reporting(snakemake):
    import pandas as pd

    from naswot_ext.papers.figures.kernels import data, kernels
    from naswot_ext.papers.figures.output import accuracy_of, write
    from naswot_ext.provenance import read_table

    params, files = snakemake.params, list(snakemake.input)
    measured = dict.fromkeys(params.spaces, pd.DataFrame())
    measured |= {space: read_table(file) for space, file in zip(params.there, files, strict=True)}
    reasons = {space: reason for space, _, reason in params.missing}
    accuracy = " / ".join(dict.fromkeys(map(accuracy_of, files)))
    figure = kernels(measured, reasons=reasons, accuracy=accuracy)
    write(figure, data(measured), **snakemake.output, dpi=params.figures["dpi"])
