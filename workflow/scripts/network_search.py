"""Make some runs of one search that builds networks."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.sampling import open_listing, sample_architectures
    from naswot_ext.search_runs import run_networks

    draw, repeats, options = snakemake.params.draw, snakemake.params.repeats, dict(snakemake.params.search)
    space, available = open_listing(snakemake.wildcards.space, snakemake.params.network, snakemake.input.get("listing"))
    with claim(snakemake.params.device) as device:
        run_networks(
            options.pop("algorithm"),
            options,
            space,
            sample_architectures(available, draw["architectures"], draw["draw_seed"]),
            dict(zip(repeats["seeds"], snakemake.input.images, strict=True)),
            range(int(snakemake.wildcards.first), int(snakemake.wildcards.last) + 1),
            repeats["seed"],
            snakemake.output[0],
            device=device,
            threads=snakemake.threads,
        )
