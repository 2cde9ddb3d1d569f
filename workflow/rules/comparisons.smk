# Proxies against proxies and searches against searches: paired tests, and the figures that show who wins.


rule proxy_tests:
    input:
        truth=TRUTH,
        scores=expand(SCORES, proxy=PROXIES, seed=SEEDS, allow_missing=True),
    output:
        "<results>/comparisons/{space}/{dataset}/proxies.parquet",
    log:
        "<results>/logs/comparisons/{space}/{dataset}/proxies.log",
    benchmark:
        "<results>/timings/comparisons/{space}/{dataset}/proxies.tsv"
    threads: 1
    params:
        proxies=PROXIES,
        statistics={
            key: config["statistics"][key] for key in ("bootstrap", "confidence")
        },
        code=fingerprint("naswot_ext.comparison_tables", "naswot_ext.provenance"),
    script:
        "../scripts/proxy_tests.py"


rule search_tests:
    input:
        searches=expand(SEARCH, algorithm=SEARCHES, allow_missing=True),
    output:
        "<results>/comparisons/{space}/{dataset}/searches.parquet",
    log:
        "<results>/logs/comparisons/{space}/{dataset}/searches.log",
    benchmark:
        "<results>/timings/comparisons/{space}/{dataset}/searches.tsv"
    threads: 1
    params:
        order=" ".join(SEARCHES),  # Snakemake compares inputs as a set
        statistics={
            key: config["statistics"][key] for key in ("bootstrap", "confidence")
        },
        code=fingerprint(
            "naswot_ext.comparison_tables",
            "naswot_ext.provenance",
            "naswot_ext.tables",
        ),
    script:
        "../scripts/search_tests.py"


rule test_table:
    input:
        each(
            "<results>/comparisons/{space}/{dataset}/{compared}.parquet",
            allow_missing=True,
        ),
    output:
        csv=report(
            "<results>/tables/{compared}_tests.csv",
            caption="../report/tests.rst",
            category="Tables",
            labels={"table": "Paired tests of {compared}", "format": "CSV"},
        ),
        md="<results>/tables/{compared}_tests.md",
        html=report(
            "<results>/tables/{compared}_tests.html",
            caption="../report/tests.rst",
            category="Tables",
            labels={"table": "Paired tests of {compared}", "format": "A page"},
        ),
    log:
        "<results>/logs/tables/{compared}_tests.log",
    benchmark:
        "<results>/timings/tables/{compared}_tests.tsv"
    threads: 1
    params:
        statistics={
            key: config["statistics"][key] for key in ("bootstrap", "confidence")
        },
        code=fingerprint(
            "naswot_ext.comparison_tables",
            "naswot_ext.provenance",
            "naswot_ext.tables",
        ),
    script:
        "../scripts/test_table.py"


rule proxy_matrix:
    input:
        each(CORRELATIONS, proxy=PROXIES),
    output:
        pdf="<results>/figures/proxies.pdf",
        png=report(
            "<results>/figures/proxies.png",
            caption="../report/proxy_matrix.rst",
            category="All spaces",
            labels={"figure": "Rank correlation of every proxy"},
        ),
    log:
        "<results>/logs/figures/proxies.log",
    benchmark:
        "<results>/timings/figures/proxies.tsv"
    threads: 1
    params:
        order=" ".join(PROXIES),  # Snakemake compares inputs as a set
        figures=config["figures"],
        code=fingerprint(
            "naswot_ext.figures",
            "naswot_ext.figures_comparison",
            "naswot_ext.provenance",
        ),
    script:
        "../scripts/proxy_matrix.py"


rule proxy_bars:
    input:
        expand(CORRELATIONS, proxy=PROXIES, allow_missing=True),
    output:
        pdf="<results>/figures/{space}/{dataset}/proxies.pdf",
        png=report(
            "<results>/figures/{space}/{dataset}/proxies.png",
            caption="../report/proxy_bars.rst",
            category="Scores against accuracy",
            subcategory="{space}",
            labels={"score": "all proxies", "images": "{dataset}"},
        ),
    log:
        "<results>/logs/figures/{space}/{dataset}/proxies.log",
    benchmark:
        "<results>/timings/figures/{space}/{dataset}/proxies.tsv"
    threads: 1
    params:
        order=" ".join(PROXIES),  # Snakemake compares inputs as a set
        figures=config["figures"],
        code=fingerprint(
            "naswot_ext.figures",
            "naswot_ext.figures_comparison",
            "naswot_ext.provenance",
        ),
    script:
        "../scripts/proxy_bars.py"


rule search_ranks:
    input:
        expand(SEARCH, algorithm=SEARCHES, allow_missing=True),
    output:
        pdf="<results>/figures/{space}/{dataset}/search_ranks.pdf",
        png=report(
            "<results>/figures/{space}/{dataset}/search_ranks.png",
            caption="../report/search_ranks.rst",
            category="Searches",
            subcategory="{space}",
            labels={"figure": "Mean ranks", "images": "{dataset}"},
        ),
    log:
        "<results>/logs/figures/{space}/{dataset}/search_ranks.log",
    benchmark:
        "<results>/timings/figures/{space}/{dataset}/search_ranks.tsv"
    threads: 1
    params:
        order=" ".join(SEARCHES),  # Snakemake compares inputs as a set
        figures=config["figures"],
        confidence=config["statistics"]["confidence"],
        code=fingerprint(
            "naswot_ext.figures",
            "naswot_ext.figures_comparison",
            "naswot_ext.provenance",
            "naswot_ext.tables",
        ),
    script:
        "../scripts/search_ranks.py"


rule search_wins:
    input:
        expand(SEARCH, algorithm=SEARCHES, allow_missing=True),
    output:
        pdf="<results>/figures/{space}/{dataset}/search_wins.pdf",
        png=report(
            "<results>/figures/{space}/{dataset}/search_wins.png",
            caption="../report/search_wins.rst",
            category="Searches",
            subcategory="{space}",
            labels={"figure": "Who wins", "images": "{dataset}"},
        ),
    log:
        "<results>/logs/figures/{space}/{dataset}/search_wins.log",
    benchmark:
        "<results>/timings/figures/{space}/{dataset}/search_wins.tsv"
    threads: 1
    params:
        order=" ".join(SEARCHES),  # Snakemake compares inputs as a set
        figures=config["figures"],
        code=fingerprint(
            "naswot_ext.figures",
            "naswot_ext.figures_comparison",
            "naswot_ext.provenance",
            "naswot_ext.tables",
        ),
    script:
        "../scripts/search_wins.py"
