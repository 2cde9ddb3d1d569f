"""Score the networks that a claim is about."""

from _common import reporting

with reporting(snakemake):
    import logging

    import pandas as pd

    from naswot_ext.devices import claim
    from naswot_ext.papers.smallest import smallest_and_params
    from naswot_ext.provenance import read_table, write_table
    from naswot_ext.sampling import open_listing
    from naswot_ext.scoring import COLUMNS, score_architectures

    smallest, _, why = smallest_and_params(read_table(snakemake.input.truth))
    if why:
        # The claim's cells then say why; all else that is made with this ground truth needs no such network.
        logging.warning("No network is scored for the claim: %s.", why)
        write_table(pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS), snakemake.output[0], missing=why)
    else:
        space, _ = open_listing(snakemake.wildcards.space, snakemake.params.network, snakemake.input.get("listing"))
        with claim(snakemake.params.device) as device:
            score_architectures(
                space,
                smallest,
                snakemake.params.proxy,
                snakemake.input.batch,
                int(snakemake.wildcards.seed),
                snakemake.output[0],
                device=device,
                threads=snakemake.threads,
                precision=snakemake.params.precision,
            )
