"""Score one shard of the drawn architectures."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.sampling import open_listing, sample_architectures
    from naswot_ext.scoring import score_architectures

    shard = snakemake.params.shard
    space, among = open_listing(snakemake.wildcards.space, snakemake.params.network, snakemake.input.get("listing"))
    drawn = sample_architectures(among, shard["stop"], shard["draw_seed"])
    with claim(snakemake.params.device) as device:
        score_architectures(
            space,
            drawn[shard["start"] :],
            snakemake.params.proxies,
            snakemake.input.batch,
            int(snakemake.wildcards.seed),
            snakemake.output[0],
            device=device,
            threads=snakemake.threads,
            precision=snakemake.params.precision,
            record_seconds=snakemake.params.record_seconds,
        )
