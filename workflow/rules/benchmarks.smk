# Ground truth: an official file or the user's own table -> one format; and the architectures that it lists.


rule ground_truth:
    input:
        unpack(benchmark_files),
    output:
        TRUTH,
    log:
        "<results>/logs/benchmarks/{space}.log",
    benchmark:
        "<results>/timings/benchmarks/{space}.tsv"
    threads: 1
    params:
        options=lambda w: config["spaces"][w.space]["benchmark"],
        network=lambda w: reading_options(w.space),
        download=lambda w: local_download(config["spaces"][w.space]["benchmark"]),
        code=lambda w: benchmark_code(w.space),
    script:
        "../scripts/ground_truth.py"


# A file of its own, so that another accuracy or a new data set in the table is no reason to score again.
checkpoint architectures:
    input:
        unpack(benchmark_files),
    output:
        LISTING,
    log:
        "<results>/logs/architectures/{space}.log",
    benchmark:
        "<results>/timings/architectures/{space}.tsv"
    threads: 1
    params:
        options=lambda w: {
            key: value
            for key, value in config["spaces"][w.space]["benchmark"].items()
            if key in ("source", "version", "path", "local", "arch")
        },
        network=lambda w: reading_options(w.space),
        code=lambda w: benchmark_code(w.space),
    script:
        "../scripts/architectures.py"
