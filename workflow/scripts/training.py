"""Train one architecture and score it after each epoch."""

from _common import reporting

with reporting(snakemake):
    from naswot_ext.devices import claim
    from naswot_ext.experiments.choose import choose
    from naswot_ext.experiments.training import train
    from naswot_ext.provenance import read_table
    from naswot_ext.sampling import open_listing

    # A smaller choice is the beginning of a larger one, so network k does not depend on how many there are.
    choice = {**snakemake.params.choose, "count": int(snakemake.wildcards.k) + 1}
    chosen = choose(read_table(snakemake.input.truth), **choice).iloc[-1]
    space, _ = open_listing(snakemake.wildcards.space, snakemake.params.network, snakemake.input.get("listing"))
    with claim(snakemake.params.device) as device:
        train(
            space,
            int(chosen["arch_index"]),
            float(chosen["accuracy"]),
            snakemake.input.images,
            snakemake.params.proxy,
            snakemake.output[0],
            device=device,
            threads=snakemake.threads,
            made_by={"dataset": snakemake.wildcards.dataset, "choose": choice},
            **snakemake.params.options,
        )
