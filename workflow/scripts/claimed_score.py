"""Score the networks that a claim is about."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.papers.smallest import smallest_above
    from naswot_ext.provenance import read_table
    from naswot_ext.sampling import open_listing
    from naswot_ext.scoring import score_architectures

    space, _ = open_listing(snakemake.wildcards.space, snakemake.params.network, snakemake.input.get("listing"))
    with claim(snakemake.params.device) as device:
        score_architectures(
            space,
            smallest_above(read_table(snakemake.input.truth)),
            snakemake.params.proxy,
            snakemake.input.batch,
            int(snakemake.wildcards.seed),
            snakemake.output[0],
            device=device,
            threads=snakemake.threads,
            precision=snakemake.params.precision,
        )
