"""Score one network of the package pytorchcv with many initialisations."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.experiments.library import score_library

    with claim(snakemake.params.device) as device:
        score_library(
            snakemake.wildcards.network,
            snakemake.input.images,
            snakemake.output[0],
            proxy=snakemake.params.proxy,
            device=device,
            threads=snakemake.threads,
            dataset=snakemake.wildcards.dataset,
            **snakemake.params.options,
        )
