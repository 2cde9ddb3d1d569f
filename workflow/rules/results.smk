# What people look at: correlations, tables, figures, and the report that holds them with their captions.
#
# Results of one category and subcategory of the report have the same labels. A label after the first that has two
# values, each with the same of the first, becomes a switch; so there is a subcategory a space, each with all its images.


rule correlation:
    input:
        truth=TRUTH,
        scores=expand(SCORES, seed=SEEDS, allow_missing=True),
        published=PUBLISHED,
    output:
        CORRELATIONS,
    log:
        "<results>/logs/correlations/{space}/{dataset}/{proxy}.log",
    benchmark:
        "<results>/timings/correlations/{space}/{dataset}/{proxy}.tsv"
    threads: 1
    params:
        statistics=statistics_of,
        code=fingerprint("naswot_ext.provenance", "naswot_ext.tables"),
    script:
        "../scripts/correlation.py"


rule correlation_table:
    input:
        each(CORRELATIONS, proxy=PROXIES),
    output:
        csv=report(
            "<results>/tables/correlations.csv",
            caption="../report/correlations.rst",
            category="Tables",
            labels={"table": "Rank correlations", "format": "CSV"},
        ),
        md="<results>/tables/correlations.md",
        html=report(
            "<results>/tables/correlations.html",
            caption="../report/correlations.rst",
            category="Tables",
            labels={"table": "Rank correlations", "format": "A page"},
        ),
    log:
        "<results>/logs/tables/correlations.log",
    benchmark:
        "<results>/timings/tables/correlations.tsv"
    threads: 1
    params:
        order=" ".join(PROXIES),  # Snakemake compares inputs as a set
        statistics=config["statistics"],
        code=fingerprint("naswot_ext.provenance", "naswot_ext.tables"),
    script:
        "../scripts/correlation_table.py"


rule search_table:
    input:
        searches=each(SEARCH, algorithm=SEARCHES),
        published=PUBLISHED,
    output:
        csv=report(
            "<results>/tables/searches.csv",
            caption="../report/searches.rst",
            category="Tables",
            labels={"table": "Searches", "format": "CSV"},
        ),
        md="<results>/tables/searches.md",
        html=report(
            "<results>/tables/searches.html",
            caption="../report/searches.rst",
            category="Tables",
            labels={"table": "Searches", "format": "A page"},
        ),
    log:
        "<results>/logs/tables/searches.log",
    benchmark:
        "<results>/timings/tables/searches.tsv"
    threads: 1
    params:
        order=" ".join(SEARCHES),  # Snakemake compares inputs as a set
        beside=BESIDE,
        quoted=config["searches"]["quoted"],
        code=fingerprint("naswot_ext.provenance", "naswot_ext.tables"),
    script:
        "../scripts/search_table.py"


rule score_figure:
    input:
        truth=TRUTH,
        scores=expand(SCORES, seed=SEEDS, allow_missing=True),
        correlations=CORRELATIONS,
    output:
        pdf="<results>/figures/{space}/{dataset}/{proxy}.pdf",
        png=report(
            "<results>/figures/{space}/{dataset}/{proxy}.png",
            caption="../report/score_figure.rst",
            category="Scores against accuracy",
            subcategory="{space}",
            labels={"score": "{proxy}", "images": "{dataset}"},
        ),
    log:
        "<results>/logs/figures/{space}/{dataset}/{proxy}.log",
    benchmark:
        "<results>/timings/figures/{space}/{dataset}/{proxy}.tsv"
    threads: 1
    params:
        figures=config["figures"],
        code=fingerprint("naswot_ext.figures", "naswot_ext.provenance"),
    script:
        "../scripts/score_figure.py"


rule space_sheet:
    input:
        truth=expand(TRUTH, space=SPACES),
        scores=each(SCORES, seed=SEEDS, allow_missing=True),
        correlations=each(CORRELATIONS, allow_missing=True),
        published=PUBLISHED,
    output:
        pdf="<results>/figures/spaces/{proxy}.pdf",
        png=report(
            "<results>/figures/spaces/{proxy}.png",
            caption="../report/space_sheet.rst",
            category="All spaces",
            labels={"figure": "{proxy} against accuracy"},
        ),
    log:
        "<results>/logs/figures/spaces/{proxy}.log",
    benchmark:
        "<results>/timings/figures/spaces/{proxy}.tsv"
    threads: 1
    params:
        order=" ".join(each("{space}/{dataset}")),  # Snakemake compares inputs as a set
        figures=config["figures"],
        code=fingerprint(
            "naswot_ext.figures", "naswot_ext.provenance", "naswot_ext.tables"
        ),
    script:
        "../scripts/space_sheet.py"


rule search_figure:
    input:
        searches=expand(SEARCH, algorithm=SEARCHES, allow_missing=True),
        published=PUBLISHED,
    output:
        pdf="<results>/figures/{space}/{dataset}/searches.pdf",
        png=report(
            "<results>/figures/{space}/{dataset}/searches.png",
            caption="../report/search_figure.rst",
            category="Searches",
            subcategory="{space}",
            labels={"figure": "Accuracy found", "images": "{dataset}"},
        ),
    log:
        "<results>/logs/figures/{space}/{dataset}/searches.log",
    benchmark:
        "<results>/timings/figures/{space}/{dataset}/searches.tsv"
    threads: 1
    params:
        order=" ".join(SEARCHES),  # Snakemake compares inputs as a set
        beside=BESIDE,
        figures=config["figures"],
        code=fingerprint(
            "naswot_ext.figures", "naswot_ext.provenance", "naswot_ext.tables"
        ),
    script:
        "../scripts/search_figure.py"


rule html_report:
    input:
        TABLES,
        FIGURES,
        captions=CAPTIONS,
    output:
        html="<results>/report.html",
        config="<results>/resolved_config.yaml",
    log:
        "<results>/logs/report.log",
    benchmark:
        "<results>/timings/report.tsv"
    threads: 1
    params:
        config=config,
        snakefile=workflow.main_snakefile,
        code=fingerprint("naswot_ext.headline"),
    script:
        "../scripts/report.py"
