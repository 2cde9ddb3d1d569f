# What the rules share: the checked config, names, and the parts of the config that jobs depend on.
#
# Snakemake compares a job's params as a set of values without names, so values that could trade places (start and
# stop, seed and count) are kept together in one dictionary.

import dataclasses
import fcntl
import importlib.metadata
import math
import os
import re
import sys
import tempfile
from pathlib import Path

import yaml
from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecMode

import naswot_ext
from naswot_ext import at_hand, lifeline
from naswot_ext import config as configuration
from naswot_ext import proxy_names
from naswot_ext.errors import NaswotError
from naswot_ext.fingerprint import fingerprint
from naswot_ext.papers import items
from naswot_ext.proxy_names import Aggregate


def checked(config):
    """The config with its defaults; stops Snakemake with one message that lists all that is wrong."""
    try:
        return configuration.resolve(
            config,
            Path(workflow.basedir, "workflow/schemas/config.schema.yaml"),
            workflow.config_settings.config,
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


def refuse_papers():
    """Say to whom asks for a table or figure of the papers which config makes it; raises WorkflowError."""
    known = {item.target for item in items.ITEMS}
    if known.isdisjoint(sys.argv):
        return
    arguments, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    if asked := [name for name in arguments.targets or [] if name in known]:
        raise WorkflowError(
            f"This config has no section `papers`, and so no {', '.join(asked)}. "
            f"Use `snakemake {' '.join(asked)} --cores all --configfile config/paper.yaml`."
        )


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
    from naswot_ext.headline import headline, reproduced

    if "papers" in config:
        lines, made = reproduced(f"{folder}/summary.csv"), ("summary.md", *PAPERS)
    else:
        lines, made = headline(f"{folder}/tables"), ("tables", "figures")
    print("", *lines, "", sep="\n")
    for what in ("report.html", *made):
        print(f"{Path(what).stem:10}{Path(folder, what)}")


def searches_of(algorithms):
    """{label: options} of every search, and {label: published method} of those that name what they stand beside."""
    searches, beside = {}, {}
    for entry, given in algorithms.items():
        algorithm, _, variant = entry.partition("@")
        for label, options in configuration.search_labels(entry, given).items():
            options = dict(options)
            if "published" in options:
                beside[label] = options.pop("published")
            kind = {"variant": variant} if variant else {}
            searches[label] = {"algorithm": algorithm, **kind, **options}
    return searches, beside


def searched_by(algorithms):
    """The proxies whose tables searches look up, but for those that are labels of aggregates."""
    named = [
        options.get("proxy", [])
        for entry, options in algorithms.items()
        if configuration.algorithm_of(entry) not in configuration.NETWORK_SEARCHES
    ]
    flat = [x for by in named for x in ([by] if isinstance(by, str) else by)]
    return [name for name in flat if name not in PROXIES]


def download_of(options):
    """The entry of sources.yaml that a ground truth or a data set is downloaded as, or None."""
    name = at_hand.download_name(options)
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


def group_of(proxy):
    """The name and the proxies of the group that a proxy is scored in."""
    return proxy_names.group(proxy, COMPUTED)


def image_size_of(proxy):
    """How many images a proxy, or a group of them, is scored on."""
    return configuration.image_size(config, proxy)


def batch_of(wildcards):
    """The images that a group of proxies is scored with."""
    size = image_size_of(wildcards.group)
    return BATCH.format(dataset=wildcards.dataset, size=size, seed=wildcards.seed)


def proxies_scored(wildcards):
    """The proxies of a group of this run, as the library names them, in its order."""
    members = next(
        members
        for group, members in map(group_of, COMPUTED)
        if group == wildcards.group
    )
    return [DEFINED.get(member, member) for member in members]


def all_shards(wildcards):
    """The shards of one score table."""
    return expand(
        SHARD,
        space=wildcards.space,
        dataset=wildcards.dataset,
        group=group_of(wildcards.proxy)[0],
        seed=wildcards.seed,
        shard=range(
            math.ceil(
                number_of_architectures(wildcards.space)
                / config["scoring"]["shard_size"]
            )
        ),
    )


def proxies_searched_by(label):
    """The proxies whose scores a search looks up, several for an aggregate; none where it looks up none."""
    proxy = SEARCHES[label].get("proxy")
    defined = DEFINED.get(proxy)
    return (
        list(defined.ranks) if isinstance(defined, Aggregate) else [proxy] * bool(proxy)
    )


def scores_to_search_by(wildcards):
    """The score tables that a search looks up, those of all proxies for one seed after those for another."""
    return [
        SCORES.format(
            space=wildcards.space, dataset=wildcards.dataset, proxy=proxy, seed=seed
        )
        for seed in SEEDS
        for proxy in proxies_searched_by(wildcards.algorithm)
    ]


def repeats(wildcards):
    """How often a search is run, and with which seed."""
    search = SEARCHES[wildcards.algorithm]
    common = config["searches"]
    return {"runs": search.get("runs", common["runs"]), "seed": common["seed"]}


def all_runs(wildcards):
    """The files of all runs of a search, some runs in each."""
    search = SEARCHES[wildcards.algorithm]
    runs = repeats(wildcards)["runs"]
    size = search.get("runs_per_job", config["searches"]["runs_per_job"])
    return [
        RUNS.format(
            space=wildcards.space,
            dataset=wildcards.dataset,
            algorithm=wildcards.algorithm,
            first=first,
            last=min(first + size, runs) - 1,
        )
        for first in range(0, runs, size)
    ]


def images_to_search_with(wildcards):
    """The images of a search that builds networks, a file a seed: as many as it asks for, or as its proxy is scored on."""
    search = SEARCHES[wildcards.algorithm]
    size = search.get("images", image_size_of(search.get("proxy")))
    return expand(BATCH, dataset=wildcards.dataset, size=size, seed=SEEDS)


def search_code(wildcards):
    """The code of a search that looks up."""
    return fingerprint(
        "naswot_ext.provenance",
        "naswot_ext.sampling",
        "naswot_ext.searches",
        configuration.SEARCHES.module(SEARCHES[wildcards.algorithm]["algorithm"]),
        configuration.SPACES.module(wildcards.space),
    )


def proxies_while_searching(label):
    """The proxies that a search scores for itself."""
    search = SEARCHES[label]
    named = [search.get(key) for key in ("proxy", "first")]
    return [name for name in [*named, *search.get("proxies", [])] if name]


def network_search_code(wildcards):
    """The code of a search that builds networks."""
    return fingerprint(
        *proxy_names.module_of(proxies_while_searching(wildcards.algorithm)),
        "naswot_ext.devices",
        "naswot_ext.sampling",
        "naswot_ext.search_runs",
        configuration.SEARCHES.module(SEARCHES[wildcards.algorithm]["algorithm"]),
        configuration.SPACES.module(wildcards.space),
    )


def how_to_search(wildcards):
    """The options that each run of a search depends on, and how the ranks that it goes by are combined.

    How many runs there are is not among them, so that more runs leave those alone that are there.
    """
    search = {
        key: value
        for key, value in SEARCHES[wildcards.algorithm].items()
        if key not in ("runs", "runs_per_job")
    }
    defined = DEFINED.get(search.get("proxy"))
    return {**search, "how": defined.how} if isinstance(defined, Aggregate) else search


def statistics_of(wildcards):
    """How scores are correlated: of NAS-Bench-101, the papers' code leaves out networks below 50 %, not 15 %."""
    statistics = config["statistics"]
    least = 50 if wildcards.space == "nasbench101" else 0
    return {**statistics, "filter_below": max(statistics["filter_below"], least)}


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
    """A regular expression that matches just these names, and nothing where there are none."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


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

# Not those that a job starts: the one that writes the report may outlive a killed main process, and must not hold
# up the next.
if "NASWOT_LANDING" not in os.environ:
    if workflow.exec_mode == ExecMode.DEFAULT:
        naswot_lock = discard_stale_locks()
    if workflow.exec_mode != ExecMode.SUBPROCESS:
        lifeline.hold(".snakemake")

DOWNLOADS = yaml.safe_load(
    Path(workflow.basedir, "workflow/resources/sources.yaml").read_text()
)
SPACES = list(config["spaces"])
DATASETS = list(config["datasets"])
PROXIES = [proxy_names.label(entry) for entry in config["proxies"]]
SEEDS = config["seeds"]
SEARCHES, BESIDE = searches_of(config["searches"]["algorithms"])
# What each label means. Searches may go by a proxy that is not among those compared, and aggregates by such ones.
DEFINED = proxy_names.definitions(
    [*config["proxies"], *searched_by(config["searches"]["algorithms"])]
)
AGGREGATES = [name for name, by in DEFINED.items() if isinstance(by, Aggregate)]
COMPUTED = [name for name in DEFINED if name not in AGGREGATES]
WITH_NETWORKS = [
    label
    for label, search in SEARCHES.items()
    if search["algorithm"] in configuration.NETWORK_SEARCHES
]
LOOKING_UP = [label for label in SEARCHES if label not in WITH_NETWORKS]
IN_ONE_JOB = (
    LOOKING_UP
    if config["searches"]["runs"] <= config["searches"]["runs_per_job"]
    else []
)
IN_MANY_JOBS = [label for label in LOOKING_UP if label not in IN_ONE_JOB]

BATCH = "<results>/batches/{dataset}/size-{size}/seed-{seed}.npz"
DOWNLOAD = "<downloads>/{download}/{file}"
LISTING = "<results>/architectures/{space}.parquet"
TRUTH = "<results>/benchmarks/{space}.parquet"
SCORES = "<results>/scores/{space}/{dataset}/{proxy}/seed-{seed}.parquet"
SHARD = "<results>/scores/{space}/{dataset}/shards/{group}/seed-{seed}/shard-{shard}.parquet"
SEARCH = "<results>/searches/{space}/{dataset}/{algorithm}.parquet"
RUNS = "<results>/searches/{space}/{dataset}/{algorithm}/runs-{first}-{last}.parquet"
CORRELATIONS = "<results>/correlations/{space}/{dataset}/{proxy}.parquet"
COMPARED = {"proxies": PROXIES, "searches": SEARCHES}
# What there is one of cannot be compared.
TESTED = [what for what, names in COMPARED.items() if len(names) > 1]
TABLES = expand(
    "<results>/tables/{table}.{form}",
    table=["searches", "correlations", *(f"{what}_tests" for what in TESTED)],
    form=("csv", "md", "html"),
)
FIGURES = (
    each(
        "<results>/figures/{space}/{dataset}/{figure}.{form}",
        figure=[*PROXIES, "searches", "proxies"]
        + ["search_ranks", "search_wins"] * ("searches" in TESTED),
        form=("pdf", "png"),
    )
    + expand(
        "<results>/figures/spaces/{proxy}.{form}", proxy=PROXIES, form=("pdf", "png")
    )
    + expand("<results>/figures/proxies.{form}", form=("pdf", "png"))
)
PUBLISHED = Path(workflow.basedir, "workflow/resources/published.csv")
CAPTIONS = sorted(Path(workflow.basedir, "workflow/report").glob("*.rst"))


pathvars:
    results=config["results"],
    downloads=config["downloads"],


wildcard_constraints:
    space=one_of(SPACES),
    dataset=one_of(DATASETS),
    proxy=one_of(DEFINED),
    group=one_of({group_of(proxy)[0] for proxy in COMPUTED}),
    algorithm=one_of(SEARCHES),
    seed=one_of(SEEDS),
    shard=r"\d+",
    size=r"\d+",
    compared="proxies|searches",
    first=r"\d+",
    last=r"\d+",
