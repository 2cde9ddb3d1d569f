"""Score one shard of the drawn architectures."""

from _common import reporting

with reporting(snakemake):
    import torch

    from naswot_ext.scoring import sample_architectures, score_architectures

    shard = snakemake.params.shard
    drawn = sample_architectures(snakemake.wildcards.space, shard["stop"], shard["draw_seed"])
    score_architectures(
        snakemake.wildcards.space,
        drawn[shard["start"] :],
        snakemake.wildcards.proxy,
        snakemake.input[0],
        int(snakemake.wildcards.seed),
        snakemake.output[0],
        # A GPU only where one was asked for: scores depend on the kind of device.
        device="cuda" if snakemake.resources.gpu and torch.cuda.is_available() else "cpu",
        threads=snakemake.threads,
        record_seconds=snakemake.params.record_seconds,
    )
