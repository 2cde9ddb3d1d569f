# The mini-batches that score networks, kept so that a score can be made again without the data set.


rule batch:
    input:
        unpack(lambda w: source_files(config["datasets"][w.dataset])),
    output:
        BATCH,
    log:
        "<results>/logs/batches/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "<results>/timings/batches/{dataset}/size-{size}/seed-{seed}.tsv"
    threads: 1
    params:
        options=lambda w: config["datasets"][w.dataset],
        download=lambda w: local_download(config["datasets"][w.dataset]),
        code=lambda w: fingerprint(
            "naswot_ext.datasets",
            configuration.DATASETS.module(config["datasets"][w.dataset]["source"]),
        ),
    script:
        "../scripts/batch.py"
