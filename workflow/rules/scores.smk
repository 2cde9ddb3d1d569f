# Scatter: shards of the drawn architectures are scored by jobs of their own. Gather: one table a seed.
# Shards stay: they are what a later run with more architectures, or after a crash, goes on from.


rule score:
    input:
        unpack(listing),
        batch=batch_of,
    output:
        SHARD,
    log:
        "<results>/logs/scores/{space}/{dataset}/{group}/seed-{seed}/shard-{shard}.log",
    benchmark:
        "<results>/timings/scores/{space}/{dataset}/{group}/seed-{seed}/shard-{shard}.tsv"
    threads: 1  # a profile's set-threads may give more; scores are the same for the same number of threads
    resources:
        gpu=gpus_per_job(),
    params:
        shard=shard,
        proxies=proxies_scored,
        files=lambda w: proxy_names.digest_of(proxies_scored(w)),
        network=lambda w: config["spaces"][w.space]["network"],
        precision=config["scoring"]["precision"],
        record_seconds=config["scoring"]["record_seconds"],
        # GPUs offered, or another torch, must score again instead of mixing.
        device=lambda w: device_kind(),
        versions=versions(),
        code=lambda w: fingerprint(
            "naswot_ext.devices",
            "naswot_ext.sampling",
            "naswot_ext.scoring",
            *proxy_names.module_of(proxies_scored(w)),
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/score.py"


rule gather_scores:
    input:
        all_shards,
    output:
        SCORES,
    log:
        "<results>/logs/scores/{space}/{dataset}/{proxy}/seed-{seed}.log",
    benchmark:
        "<results>/timings/scores/{space}/{dataset}/{proxy}/seed-{seed}.tsv"
    wildcard_constraints:
        proxy=one_of(COMPUTED),
    threads: 1
    params:
        code=fingerprint("naswot_ext.scoring"),
    script:
        "../scripts/gather_scores.py"


# The ranks of several proxies among all that were scored.
rule aggregate_scores:
    input:
        lambda w: expand(SCORES, proxy=DEFINED[w.proxy].ranks, allow_missing=True),
    output:
        SCORES,
    log:
        "<results>/logs/scores/{space}/{dataset}/{proxy}/seed-{seed}.log",
    benchmark:
        "<results>/timings/scores/{space}/{dataset}/{proxy}/seed-{seed}.tsv"
    wildcard_constraints:
        proxy=one_of(AGGREGATES),
    threads: 1
    params:
        combined=lambda w: dataclasses.asdict(DEFINED[w.proxy]),
        code=fingerprint("naswot_ext.aggregates", "naswot_ext.provenance"),
    script:
        "../scripts/aggregate_scores.py"
