# Ground truth: an official file or the user's own table -> one format.


rule ground_truth:
    input:
        lambda w: config["spaces"][w.space]["benchmark"].get("path", []),
    output:
        TRUTH,
    log:
        "<results>/logs/benchmarks/{space}.log",
    benchmark:
        "<results>/timings/benchmarks/{space}.tsv"
    threads: 1
    params:
        options=lambda w: config["spaces"][w.space]["benchmark"],
        code=lambda w: fingerprint(
            "naswot_ext.benchmarks",
            "naswot_ext.provenance",
            configuration.BENCHMARKS.module(
                config["spaces"][w.space]["benchmark"]["source"]
            ),
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/ground_truth.py"
