# The table of contents: ground truth and batches, scores, searches, and what people look at.

import os

from snakemake.utils import min_version

min_version("9.27")


# A config given on the command line stands alone: merged into the default one, it could never remove a data set.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/searches.smk"
include: "workflow/rules/comparisons.smk"


if "papers" in config:

    include: "workflow/rules/papers.smk"

else:
    refuse_papers()


include: "workflow/rules/results.smk"
include: "workflow/rules/archive.smk"


# The report's landing page, another one where workflow/scripts/report.py has written it for this run.
report: os.environ.get("NASWOT_LANDING", "workflow/report/workflow.rst")


rule all:
    default_target: True
    input:
        "<results>/report.html",


rule results:
    input:
        TABLES,
        FIGURES,


rule scores:
    input:
        each(SCORES, proxy=PROXIES, seed=SEEDS),


onstart:
    check_writable(config["results"])


onsuccess:
    if {job.rule.name for job in workflow.dag.finished_jobs} & {"all", "results"}:
        say_what_was_found(config["results"])
