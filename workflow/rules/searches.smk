# Searches, one file each. Those that look up scores and accuracies make all their runs in one job, or some in each;
# those that build networks have a job for some runs, on a device. Nothing that trains waits for the ground truth.


rule search:
    input:
        unpack(listing),
        truth=TRUTH,
        scores=scores_to_search_by,
    output:
        SEARCH,
    log:
        "<results>/logs/searches/{space}/{dataset}/{algorithm}.log",
    benchmark:
        "<results>/timings/searches/{space}/{dataset}/{algorithm}.tsv"
    wildcard_constraints:
        algorithm=one_of(IN_ONE_JOB),
    threads: 1
    params:
        search=how_to_search,
        draw=draw,
        repeats=repeats,
        code=search_code,
    script:
        "../scripts/search.py"


rule search_runs:
    input:
        unpack(listing),
        truth=TRUTH,
        scores=scores_to_search_by,
    output:
        RUNS,
    log:
        "<results>/logs/searches/{space}/{dataset}/{algorithm}/runs-{first}-{last}.log",
    benchmark:
        "<results>/timings/searches/{space}/{dataset}/{algorithm}/runs-{first}-{last}.tsv"
    wildcard_constraints:
        algorithm=one_of(IN_MANY_JOBS),
    threads: 1
    params:
        search=how_to_search,
        draw=draw,
        repeats=lambda w: {"seed": config["searches"]["seed"]},
        code=search_code,
    script:
        "../scripts/search.py"


rule network_search:
    input:
        unpack(listing),
        images=images_to_search_with,
    output:
        RUNS,
    log:
        "<results>/logs/searches/{space}/{dataset}/{algorithm}/runs-{first}-{last}.log",
    benchmark:
        "<results>/timings/searches/{space}/{dataset}/{algorithm}/runs-{first}-{last}.tsv"
    wildcard_constraints:
        algorithm=one_of(WITH_NETWORKS),
    threads: 1
    resources:
        gpu=gpus_per_job(),
    params:
        search=how_to_search,
        draw=draw,
        files=lambda w: proxy_names.digest_of(proxies_while_searching(w.algorithm)),
        network=lambda w: config["spaces"][w.space]["network"],
        repeats=lambda w: {"seed": config["searches"]["seed"], "seeds": SEEDS},
        device=lambda w: device_kind(),
        versions=versions(),
        code=network_search_code,
    script:
        "../scripts/network_search.py"


rule gather_runs:
    input:
        unpack(listing),
        truth=TRUTH,
        runs=all_runs,
    output:
        SEARCH,
    log:
        "<results>/logs/searches/{space}/{dataset}/{algorithm}.log",
    benchmark:
        "<results>/timings/searches/{space}/{dataset}/{algorithm}.tsv"
    wildcard_constraints:
        algorithm=one_of([*IN_MANY_JOBS, *WITH_NETWORKS]),
    threads: 1
    params:
        search=how_to_search,
        draw=draw,
        repeats=repeats,
        code=lambda w: fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.searches",
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/gather_runs.py"
