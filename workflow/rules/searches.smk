# Simulated searches, one file each. Those that go by the ground truth alone do not wait for scores.


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
    threads: 1
    params:
        search=lambda w: SEARCHES[w.algorithm],
        draw=draw,
        repeats={key: config["searches"][key] for key in ("runs", "seed")},
        code=lambda w: fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.searches",
            configuration.SEARCHES.module(SEARCHES[w.algorithm]["algorithm"]),
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/search.py"
