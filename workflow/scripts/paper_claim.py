"""Set the ranks of the smallest accurate network beside the published ones."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.papers.claims import no_rank_claim, rank_claim
    from naswot_ext.papers.layout import write_table
    from naswot_ext.provenance import read_table

    if snakemake.params.missing:
        cells = no_rank_claim(snakemake.params.missing[0][-1])
    else:
        # One of each a seed.
        files = zip(snakemake.input.scores, snakemake.input.claimed, strict=True)
        scores = [(read_table(sample), read_table(claimed)) for sample, claimed in files]
        params = snakemake.params
        told = {"official": params.official, "images": params.images, "remark": params.remark}
        cells = rank_claim(scores, read_table(snakemake.input.truth[0]), **told)
    write_table(cells, snakemake.params.heading, snakemake.params.note, **snakemake.output)
