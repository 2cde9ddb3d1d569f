# Official downloads. They outlive the results, and keep the parts of files and a second name of each in folders
# `.fetch`, so that neither a kill nor Snakemake's removing of outputs costs a download.

from naswot_ext.downloads import identity

SOURCES = Path(workflow.basedir, "workflow/resources/sources.yaml")


rule fetch:
    output:
        DOWNLOAD,
    log:
        "<results>/logs/downloads/{download}/{file}.log",
    benchmark:
        "<results>/timings/downloads/{download}/{file}.tsv"
    wildcard_constraints:
        download=one_of(DOWNLOADS),
        file=one_of({f["name"] for d in DOWNLOADS.values() for f in d["files"]}),
    # Computing nodes often have no way to the internet.
    localrule: True
    threads: 1
    # `--resources downloads=1`: one at a time.
    resources:
        downloads=1,
    # Which bytes the file must be is a reason to fetch it again; which code fetched it is not.
    params:
        file=lambda w: identity(w.download, w.file, SOURCES),
    script:
        "../scripts/fetch.py"
