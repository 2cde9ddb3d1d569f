# One file that holds what a reader needs to check the results or to make them again: `naswot verify` proves it.


rule archive:
    input:
        report="<results>/report.html",
        config="<results>/resolved_config.yaml",
    output:
        "<results>/archive/naswot.tar.zst",
    log:
        "<results>/logs/archive.log",
    benchmark:
        "<results>/timings/archive.tsv"
    threads: 1
    params:
        config=config,
        configfiles=[str(file) for file in workflow.configfiles],
        snakefile=workflow.main_snakefile,
        # The code is in it, too.
        code=fingerprint("naswot_ext.archive.pack"),
    script:
        "../scripts/archive.py"
