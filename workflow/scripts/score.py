"""Score one shard of the drawn architectures."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.sampling import sample_architectures
    from naswot_ext.scoring import score_architectures

    shard = snakemake.params.shard
    drawn = sample_architectures(snakemake.wildcards.space, shard["stop"], shard["draw_seed"])
    with claim(snakemake.params.device) as device:
        score_architectures(
            snakemake.wildcards.space,
            drawn[shard["start"] :],
            snakemake.wildcards.proxy,
            snakemake.input[0],
            int(snakemake.wildcards.seed),
            snakemake.output[0],
            device=device,
            threads=snakemake.threads,
            precision=snakemake.params.precision,
            record_seconds=snakemake.params.record_seconds,
        )
