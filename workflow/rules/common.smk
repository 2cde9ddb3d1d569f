# What the rules share: the checked config, names, and the parts of the config that jobs depend on.
#
# Snakemake compares a job's params as a set of values without names, so values that could trade places (start and
# stop, seed and count) are kept together in one dictionary.

import fcntl
import importlib.metadata
import math
import re
import tempfile
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecMode

import naswot_ext
from naswot_ext import config as configuration
from naswot_ext.errors import NaswotError
from naswot_ext.fingerprint import fingerprint


def checked(config):
    """The config with its defaults; stops Snakemake with one message that lists all that is wrong."""
    try:
        return configuration.resolve(
            config, Path(workflow.basedir, "workflow/schemas/config.schema.yaml")
        )
    except NaswotError as error:
        raise WorkflowError(str(error)) from None


def discard_stale_locks():
    """Remove the locks of a Snakemake that was killed in this directory, so that the same command goes on.

    Every main process holds a shared lock of the operating system's, which a killed process cannot leave behind.
    Whoever gets it exclusively is alone, and any Snakemake lock file there is belongs to nobody.
    """
    try:
        Path(".snakemake").mkdir(exist_ok=True)
        lock = open(".snakemake/naswot.lock", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for stale in Path(".snakemake/locks").glob("*.lock"):
                stale.unlink()
        except BlockingIOError:
            pass  # others are running: whose locks these are is Snakemake's to judge
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock
    except OSError:
        return None  # no such locks on this file system: Snakemake's own remain


def check_writable(folder):
    """Say before any job starts that nothing could be written; raises WorkflowError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WorkflowError(
            f"Cannot write into the results folder {folder}: {error.strerror}. "
            "Make it writable, or name another folder under `results` in the config."
        ) from None


def say_what_was_found(folder):
    """Print where the results are, and the headline."""
    from naswot_ext.headline import headline

    print("", *headline(f"{folder}/tables"), "", sep="\n")
    for what in ("report.html", "tables", "figures"):
        print(f"{what.removesuffix('.html'):8}{Path(folder, what)}")


def search_options(algorithm):
    """The options of every search of an algorithm, by label."""
    return configuration.search_labels(
        algorithm, config["searches"]["algorithms"][algorithm]
    )


def download_of(options):
    """The entry of sources.yaml that a ground truth or a data set is downloaded as, or None."""
    name = options["source"]
    if name == "nasbench201":
        name += f"-{options['version']}"
    return name if name in DOWNLOADS else None


def downloaded(name):
    """The files of a download."""
    return expand(
        DOWNLOAD, download=name, file=[f["name"] for f in DOWNLOADS[name]["files"]]
    )


def source_files(options):
    """{name of a rule's input: files} that a ground truth or a data set is read from."""
    files = {}
    given = [options[key] for key in ("path", "local") if key in options]
    if given or download_of(options):
        files["files"] = given or downloaded(download_of(options))
    if options.get("part", "").endswith("-half"):
        files["split"] = options.get("split") or downloaded("cifar10-split")
    return files


def benchmark_files(wildcards):
    """What the ground truth of a space is read from."""
    return source_files(config["spaces"][wildcards.space]["benchmark"])


def local_download(options):
    """The download that a file of the user's own stands for, or None."""
    return download_of(options) if "local" in options else None


def number_of_architectures(space):
    """How many architectures of a space are scored."""
    options = config["spaces"][space]
    if options["architectures"] != "all":
        return options["architectures"]
    if options["draw_from"] == "table":
        # Snakemake makes the listing first, and plans the shards when it is there.
        import pyarrow.parquet

        listing = checkpoints.architectures.get(space=space).output[0]
        return pyarrow.parquet.read_metadata(listing).num_rows
    # Takes seconds: it imports torch.
    from naswot_ext.spaces import SPACES as spaces

    return len(spaces.get(space))


def listing(wildcards):
    """The architectures that a space's are drawn from; none where all that there are may be drawn."""
    by_table = config["spaces"][wildcards.space]["draw_from"] == "table"
    return {"listing": LISTING.format(space=wildcards.space)} if by_table else {}


def shard(wildcards):
    """The part of the draw that one job scores, and nothing else, so that drawing more leaves it as it is."""
    size = config["scoring"]["shard_size"]
    start = int(wildcards.shard) * size
    stop = min(start + size, number_of_architectures(wildcards.space))
    draw_seed = config["spaces"][wildcards.space]["draw_seed"]
    return {"draw_seed": draw_seed, "start": start, "stop": stop}


def all_shards(wildcards):
    """The shards of one score table."""
    return expand(
        SHARD,
        space=wildcards.space,
        dataset=wildcards.dataset,
        proxy=wildcards.proxy,
        seed=wildcards.seed,
        shard=range(
            math.ceil(
                number_of_architectures(wildcards.space)
                / config["scoring"]["shard_size"]
            )
        ),
    )


def scores_to_search_by(wildcards):
    """The score tables that a search reads, one a seed; none for one that goes by the ground truth alone."""
    proxy = SEARCHES[wildcards.algorithm].get("proxy", [])
    return expand(
        SCORES,
        space=wildcards.space,
        dataset=wildcards.dataset,
        proxy=proxy,
        seed=SEEDS,
    )


def draw(wildcards):
    """The whole draw, whose architectures searches choose among."""
    space = config["spaces"][wildcards.space]
    return {key: space[key] for key in ("architectures", "draw_seed")}


def reading_options(space):
    """The network options that the reading of a ground truth goes by: sizes that a table leaves out, checked stems."""
    network = config["spaces"][space]["network"]
    return {key: network[key] for key in ("width", "depth", "stem") if key in network}


def benchmark_code(space):
    """The code that reads the ground truth of a space."""
    return fingerprint(
        "naswot_ext.benchmarks",
        "naswot_ext.provenance",
        "naswot_ext.spaces",
        configuration.BENCHMARKS.module(config["spaces"][space]["benchmark"]["source"]),
        configuration.SPACES.module(space),
    )


def each(pattern, **wildcards):
    """The files of a pattern for each space and each data set that it is scored on."""
    return [
        file
        for space in SPACES
        for file in expand(
            pattern,
            space=space,
            dataset=config["spaces"][space].get("datasets", DATASETS),
            **wildcards,
        )
    ]


def one_of(names):
    """A regular expression that matches just these names."""
    return "|".join(re.escape(str(name)) for name in names)


def gpus_per_job():
    """1 where GPUs were offered (`--resources gpu=4`, or a profile), so that as many jobs run as there are GPUs."""
    return min(1, workflow.global_resources.get("gpu").value or 0)


def device_kind():
    """The kind of device that scoring jobs ask for.

    Read off the rule: Snakemake sees no change in a param that is a function of the job's resources.
    """
    return "cuda" if workflow.get_rule("score").resources["gpu"].value else "cpu"


def versions():
    """The versions that scores may depend on, found without importing torch."""
    installed = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {"naswot": naswot_ext.__version__, **installed}


config = checked(config)

if workflow.exec_mode == ExecMode.DEFAULT:
    naswot_lock = discard_stale_locks()

DOWNLOADS = yaml.safe_load(
    Path(workflow.basedir, "workflow/resources/sources.yaml").read_text()
)
SPACES = list(config["spaces"])
DATASETS = list(config["datasets"])
PROXIES = config["proxies"]
SEEDS = config["seeds"]
SEARCHES = {
    label: {"algorithm": algorithm, **options}
    for algorithm in config["searches"]["algorithms"]
    for label, options in search_options(algorithm).items()
}
# Searches may go by a proxy that is not among those compared.
SCORED = sorted({*PROXIES} | {s["proxy"] for s in SEARCHES.values() if "proxy" in s})

BATCH = f"<results>/batches/{{dataset}}/size-{config['batch_size']}/seed-{{seed}}.npz"
DOWNLOAD = "<downloads>/{download}/{file}"
LISTING = "<results>/architectures/{space}.parquet"
TRUTH = "<results>/benchmarks/{space}.parquet"
SCORES = "<results>/scores/{space}/{dataset}/{proxy}/seed-{seed}.parquet"
SHARD = "<results>/scores/{space}/{dataset}/{proxy}/seed-{seed}/shard-{shard}.parquet"
SEARCH = "<results>/searches/{space}/{dataset}/{algorithm}.parquet"
CORRELATIONS = "<results>/correlations/{space}/{dataset}/{proxy}.parquet"
TABLES = [
    f"<results>/tables/{table}.{form}"
    for table in ("searches", "correlations")
    for form in ("csv", "md", "html")
]
FIGURES = each(
    "<results>/figures/{space}/{dataset}/{figure}.{form}",
    figure=[*PROXIES, "searches"],
    form=("pdf", "png"),
) + expand(
    "<results>/figures/spaces/{proxy}.{form}", proxy=PROXIES, form=("pdf", "png")
)
PUBLISHED = Path(workflow.basedir, "workflow/resources/published.csv")
CAPTIONS = sorted(Path(workflow.basedir, "workflow/report").glob("*.rst"))


pathvars:
    results=config["results"],
    downloads=config["downloads"],


wildcard_constraints:
    space=one_of(SPACES),
    dataset=one_of(DATASETS),
    proxy=one_of(SCORED),
    algorithm=one_of(SEARCHES),
    seed=one_of(SEEDS),
    shard=r"\d+",
    size=r"\d+",
