# Every table and figure of the two papers, one target each (icml2021_table2a, arxiv2020_figure1, ...), and the summary
# that counts what was reproduced. What is not at hand is left out of them, and the cells that need it say why.

import csv
import importlib.metadata
import importlib.util
from types import SimpleNamespace

from naswot_ext.experiments import library_names
from naswot_ext.experiments import notes as measurement_notes
from naswot_ext.papers.items import ITEMS, PAPERS, VERDICTS_CATEGORY, official
from naswot_ext.papers.items import SOURCES as PAPER_SOURCES

# Searches that pay for trainings, so that their ground truth must know those.
TRAINING_SEARCHES = ("area", "bohb", "rea", "reinforce", "rs")
# Epochs of the trainings whose cost the official files tell.
PAID_EPOCHS = {
    "nasbench101": (108,),
    "nasbench201": (12, 200),
    "nats-sss": (1, 12, 90),
    "nats-tss": (12, 200),
}
# Percent; the bands of accuracy of NAS-Bench-201 in figures 1.
CUTS = [60, 70, 80, 90]
ITEM = {(item.paper, item.name): item for item in ITEMS}
# Those with published numbers or claims to stand beside.
WITH_CELLS = ["icml2021/figure3", "arxiv2020/figure5"]
OF_KIND = {
    kind: one_of([f"{item.paper}/{item.name}" for item in ITEMS if item.kind == kind])
    for kind in {item.kind for item in ITEMS}
}
ABLATION = "<results>/ablations/{space}/{dataset}/{proxy}/{kind}.parquet"
TRAINING = "<results>/trainings/{space}/{dataset}/network-{k}.parquet"
KERNELS = "<results>/kernels/{space}/{dataset}.parquet"
MAPS = "<results>/jacobian_correlations/{space}/{dataset}.parquet"
LIBRARY = "<results>/library/{dataset}/{network}.parquet"
CLAIMED = "<results>/claims/{space}/{dataset}/{proxy}/seed-{seed}.parquet"
# Which accuracy chooses networks and colours them; of a table that has it not, its first.
CHOSEN_BY = ("cifar10", "valid")
ABLATION_KINDS = {
    "icml2021": ["minibatch", "gaussian", "initialisation", "batch_size"],
    "arxiv2020": ["minibatch", "initialisation", "gaussian"],
}


def official_file(space):
    """Where the official ground truth of a space would be, within the folder of downloads."""
    name = official(space)
    return Path("downloads", name, DOWNLOADS[name]["files"][0]["name"])


def lacks(space, dataset, split=None):
    """Whether a space's ground truth is known to have no accuracy on a data set, of a split where one is given."""
    return at_hand.lacks(config["spaces"][space]["benchmark"], dataset, split)


def why_not(space, dataset):
    """Why a space cannot be scored on a data set here, and which files would change that; empty where it can."""
    return at_hand.why_not(config, space, dataset, str(official_file(space)))


def there(item):
    """The panels of a table or figure that can be made here."""
    return [panel for panel in item.panels if not why_not(*panel)]


def missing_panels(item):
    """[space, data set, reason] of those that cannot; the reason without what the files are called."""
    return [
        [*panel, at_hand.without_titles(why_not(*panel))]
        for panel in item.panels
        if why_not(*panel)
    ]


def empty_panels(item):
    """As `missing_panels`, the reasons short enough to be drawn."""
    return [
        [*panel, at_hand.in_panel(reason, *panel)]
        for *panel, reason in missing_panels(item)
    ]


def can_be_made(item):
    """Whether any panel of a table or figure can be made here."""
    if item.kind == "library":
        return not why_no_library(item.panels[0][1])
    if item.kind == "training":
        return any(not too_few(d, training_size()) for _, d in there(item))
    if item.kind == "ablation":
        return any(not reason for *_, reason in ablations(item).values())
    return bool(there(item))


def item_of(wildcards):
    """The table or figure that a rule's wildcards mean."""
    return ITEM[tuple(wildcards.paper_item.split("/"))]


def panel_files(pattern, item, **wildcards):
    """The files of a pattern for each panel that can be made, in order."""
    return [
        file
        for space, dataset in there(item)
        for file in expand(pattern, space=space, dataset=dataset, **wildcards)
    ]


def published_rows(item):
    """The rows of a published table, in its order."""
    with open(PUBLISHED, newline="", encoding="utf-8") as file:
        return [
            row
            for row in csv.DictReader(file)
            if row["source"] == PAPER_SOURCES[item.paper] and row["table"] == item.name
        ]


def published_methods(item):
    """(method, N or None) of each row of a published table, in its order."""
    found = [
        (r["method"], int(r["n_samples"]) if r["n_samples"] else None)
        for r in published_rows(item)
    ]
    return list(dict.fromkeys(found))


def has_trainings(space, epochs):
    """Whether the ground truth of a space knows trainings of a length, with what they cost."""
    benchmark = config["spaces"][space]["benchmark"]
    if benchmark["source"] != "table":
        return epochs in PAID_EPOCHS.get(benchmark["source"], ())
    return any(
        accuracy["epochs"] == epochs and {"valid", "train_seconds"} <= accuracy.keys()
        for accuracy in benchmark["accuracy"]
    )


def no_accuracy(space, which):
    """That a space's ground truth lacks an accuracy, and which file has it."""
    return f"the ground truth of {space} has no {which}: {official_file(space)} has it"


def why_not_searched(label, space, scored_on):
    """Why a search cannot be made in a space here, on the scores of a data set; empty where it can."""
    search = SEARCHES[label]
    scored = config["spaces"][space]["architectures"]
    n_samples = search.get("n_samples", 1)
    reasons = []
    if search["algorithm"] in TRAINING_SEARCHES and not has_trainings(
        space, search["epochs"]
    ):
        reason = f"the ground truth of {space} has no trainings of {search['epochs']} epochs with their seconds"
        known = search["epochs"] in PAID_EPOCHS.get(official(space), ())
        reasons.append(
            f"{reason}: {official_file(space)} has them" if known else reason
        )
    wanted = search.get("dataset")
    if wanted and lacks(space, wanted):
        reasons.append(no_accuracy(space, f"accuracy on {wanted}"))
    elif search["algorithm"] == "optimal" and search["by"] != "either":
        # Where the option does not say which, the data set that was scored, else the first by name.
        by = search["by"]
        known = at_hand.known_accuracies(config["spaces"][space]["benchmark"])
        first = sorted(dataset for dataset, _ in known)[:1]
        best_on = wanted or (first[0] if lacks(space, scored_on) else scored_on)
        if lacks(space, best_on, by):
            split = configuration.split_title(by)
            reasons.append(no_accuracy(space, f"{best_on} {split} accuracy"))
    # From a pool of about N every run finds the same few: that says nothing of the space.
    if scored != "all" and 2 * n_samples > scored:
        larger = "" if config["scale"] == "full" else ", or a larger scale,"
        reasons.append(
            f"N = {n_samples} needs twice as many scored architectures, and {scored} are: "
            f"`architectures: {2 * n_samples}` of {space} in the config{larger} would do"
        )
    return at_hand.joined(*reasons, file=str(official_file(space)))


def searches_of_table(item):
    """{label: (method, N)} of the searches that stand beside the rows of a published table."""
    space = item.panels[0][0]
    wanted = {
        (configuration.method_key(method), n) for method, n in published_methods(item)
    }
    found = {}
    for label in LOOKING_UP:
        search = SEARCHES[label]
        method = BESIDE.get(label) or configuration.method_of(
            search["algorithm"], search.get("proxy")
        )
        drawn = search["algorithm"] in ("naswot", "optimal")
        key = (
            configuration.method_key(method or ""),
            search.get("n_samples") if drawn else None,
        )
        # A variant that is named after a space is for that space.
        variant = search.get("variant")
        elsewhere = variant != space and variant in configuration.SPACES.names()
        if key in wanted and not elsewhere:
            found[label] = key
    for_space = {
        key for label, key in found.items() if SEARCHES[label].get("variant") == space
    }
    return {
        label: key
        for label, key in found.items()
        if key not in for_space or SEARCHES[label].get("variant") == space
    }


def table_searches(wildcards):
    """The search tables that a published table is made of."""
    item = item_of(wildcards)
    return [
        SEARCH.format(space=space, dataset=dataset, algorithm=label)
        for space, dataset in there(item)
        for label in searches_of_table(item)
        if not why_not_searched(label, space, dataset)
    ]


def missing_searches(item):
    """[method or None, N or None, data set or None, reason] of what a published table lacks here."""
    unscored = {
        dataset: reason
        for space, dataset in item.panels
        if (reason := why_not(space, dataset))
    }
    lacking = [[None, None, dataset, reason] for dataset, reason in unscored.items()]
    # What is searched on one data set is reported on all, those of which the ground truth has an accuracy.
    if len(item.panels) == 1:
        lacking = [[None, None, None, reason] for *_, reason in lacking]
        unscored = {
            dataset: no_accuracy(space, f"accuracy on {dataset}")
            for space, _ in there(item)
            for dataset in dict.fromkeys(datasets_of(item))
            if lacks(space, dataset)
        }
    for space, scored_on in there(item)[:1]:
        for label, (method, n_samples) in searches_of_table(item).items():
            if reason := why_not_searched(label, space, scored_on):
                # One that goes by the accuracy on a data set is missing there alone.
                on = SEARCHES[label].get("dataset")
                lacking.append([method, n_samples, on, reason])
                # A column of a data set that lacks another file by itself says both.
                for dataset, more in unscored.items() if on is None else ():
                    both = at_hand.joined(reason, more, file=str(official_file(space)))
                    lacking.append([method, n_samples, dataset, both])
    return lacking


def beside(files):
    """{search table: the published method that it names}."""
    return {file: BESIDE.get(Path(file).stem) for file in files}


def choose(space, wanted, **options):
    """How a measurement chooses its networks among those with ground truth: by the wanted (data set, split), or the like."""
    dataset, split = wanted
    benchmark = config["spaces"][space]["benchmark"]
    known = at_hand.known_accuracies(benchmark)
    if lacks(space, dataset, split):
        dataset, split = next((k for k in known if k[0] == dataset), known[0])
    elif benchmark["source"] == "nds":
        split = "test"
    return {"dataset": dataset, "split": split, "seed": 0, **options}


def bands(kind, space):
    """Networks of each band of accuracy, as the papers cut NAS-Bench-201."""
    each = config["papers"][kind]["networks"]
    return choose(space, CHOSEN_BY, by="bands", cuts=CUTS, each=each)


def ablation_options(w):
    """Of the paper whose score it is."""
    which = "ablation" if w.proxy == "naswot" else "ablation_2020"
    options = config["papers"][which]
    chosen = {
        "by": "percentile" if w.proxy == "naswot" else "random",
        "count": options["networks"],
    }
    more = {"batch_sizes": options["batch_sizes"]} if w.kind == "batch_size" else {}
    return {
        "choose": choose(w.space, (w.dataset, "test"), **chosen),
        "options": {
            "samples": options["samples"],
            "batch_size": image_size_of(w.proxy),
            "seed": SEEDS[0],
            **more,
        },
    }


def ablation_size(w):
    """How many images an ablation takes: one large batch that the mini-batches of all samples are parts of."""
    options = ablation_options(w)["options"]
    parts = options["samples"] if w.kind == "minibatch" else 1
    return max([parts * options["batch_size"], *options.get("batch_sizes", [])])


def ablation_images(w):
    """The images of an ablation."""
    return BATCH.format(dataset=w.dataset, size=ablation_size(w), seed=SEEDS[0])


def too_few(dataset, wanted):
    """Why a file of the user's own has not enough images; empty where it has, or only reading it would tell."""
    source = config["datasets"][dataset]
    known = at_hand.images_in(source)
    if known is None or known >= wanted:
        return ""
    return f"{wanted} images are needed, and {Path(source['path']).name} has {known}"


def ablations(item):
    """{kind: (space, data set, why it cannot be made)} of the ablations of a figure."""
    found = {}
    for kind in ABLATION_KINDS[item.paper]:
        for space, dataset in there(item):
            w = SimpleNamespace(
                space=space, dataset=dataset, proxy=item.proxies[0], kind=kind
            )
            found[kind] = (space, dataset, too_few(dataset, ablation_size(w)))
    return found


def ablation_files(wildcards):
    """The ablations that can be made."""
    item = item_of(wildcards)
    return [
        ABLATION.format(space=space, dataset=dataset, proxy=item.proxies[0], kind=kind)
        for kind, (space, dataset, reason) in ablations(item).items()
        if not reason
    ]


def training_size():
    """How many images a training takes, those that are scored included."""
    return config["papers"]["training"]["images"] + config["batch_size"]


def training_files(wildcards):
    """The trainings that can be made."""
    item = item_of(wildcards)
    return [
        TRAINING.format(space=space, dataset=dataset, k=k)
        for space, dataset in there(item)
        if not too_few(dataset, training_size())
        for k in range(config["papers"]["training"]["networks"])
    ]


def why_no_library(dataset):
    """Why no network of pytorchcv can be scored here; empty where they can."""
    if importlib.util.find_spec("pytorchcv") is None:
        return "the package pytorchcv is not installed: pip install pytorchcv"
    absent = config.get("absent", {}).get("datasets", {})
    return (
        ""
        if dataset in DATASETS
        else f"no images of {dataset}: {absent.get(dataset, 'the config does not name them')}"
    )


def library_versions():
    """The versions that scores of the networks of pytorchcv may depend on."""
    installed = importlib.util.find_spec("pytorchcv") is not None
    return (
        {**versions(), "pytorchcv": importlib.metadata.version("pytorchcv")}
        if installed
        else versions()
    )


def library_scores(wildcards):
    """The scores of the networks of pytorchcv."""
    ((_, dataset),) = item_of(wildcards).panels
    if why_no_library(dataset):
        return []
    wanted = config["papers"]["library"]["networks"]
    return expand(LIBRARY, dataset=dataset, network=library_names.chosen(wanted))


def table_of_time(item):
    """The table whose searches a figure shows over their time."""
    (table,) = [
        other
        for other in ITEMS
        if other.kind == "searches"
        and other.panels == item.panels
        and other.proxies == item.proxies
    ]
    return table


def table_beside(wildcards):
    """The cells of the table whose searches a figure shows over their time."""
    table = table_of_time(item_of(wildcards))
    return f"<results>/{table.paper}/{table.name}.csv"


def live_labels(item):
    """(label, space, data set) of the searches that build their networks, whose seconds are those of the whole search."""
    return [
        (label, space, dataset)
        for label in WITH_NETWORKS
        if SEARCHES[label]["algorithm"] == "naswot_live"
        and SEARCHES[label]["proxy"] in item.proxies
        for space, dataset in there(item)
        if not why_not_searched(label, space, dataset)
    ]


def live_searches(wildcards):
    """The tables of searches that build their networks while they search."""
    return [
        SEARCH.format(space=space, dataset=dataset, algorithm=label)
        for label, space, dataset in live_labels(item_of(wildcards))
    ]


def run_facts():
    """What the first page of the report says was run."""
    return {
        "scale": config["scale"],
        "spaces": {
            space: {
                "architectures": options["architectures"],
                "benchmark": options["benchmark"]["source"],
                "remark": remark_of(space),
                "datasets": options.get("datasets", DATASETS),
            }
            for space, options in config["spaces"].items()
        },
        "datasets": {
            name: options["source"] for name, options in config["datasets"].items()
        },
        "runs": config["searches"]["runs"],
        "seeds": SEEDS,
        "batch_size": config["batch_size"],
        "batch_sizes": config["batch_sizes"],
        "absent": config.get("absent", {}),
    }


def remark_of(space):
    """What a reader must know of a space's ground truth; empty where there is nothing."""
    return config["spaces"].get(space, {}).get("remark", "")


def scale_note():
    """What a caption says of how much was made."""
    return "" if config["scale"] == "full" else f"scale {config['scale']}"


def note_of(wildcards):
    """What a table or figure says of how it was made, and in what unlike the paper."""
    item = item_of(wildcards)
    notes = [scale_note()]
    if not can_be_made(item):
        return at_hand.joined(*notes, "nothing of it can be measured")
    if item.kind == "searches":
        runs = config["searches"]["runs"]
        own = {
            label: SEARCHES[label].get("runs", runs)
            for label in searches_of_table(item)
        }
        others = [f"{label} {n}" for label, n in own.items() if n != runs]
        notes.append(f"{runs} runs" + (f" ({', '.join(others)})" if others else ""))
    looked_up = item.kind in ("searches", "scatter", "bars", "claim", "time")
    if looked_up:
        notes += [
            scored_note(there(item)),
            images_note(item),
            (
                "the scores of one initialisation"
                if len(SEEDS) == 1
                else f"the scores of {len(SEEDS)} initialisations"
            ),
        ]
    else:
        notes += [*measured_note(item), images_note(item)]
    if item.kind in ("searches", "time"):
        device = "a GPU" if device_kind() == "cuda" else "the CPU"
        live = live_samples(item) if item.kind == "time" else []
        notes.append(measurement_notes.seconds(item.paper, device, live))
    if item.paper == "arxiv2020":
        if looked_up:
            notes.append(
                "one mini-batch for all networks (the paper: a new one for each)"
            )
        if not any("augment" in config["datasets"].get(d, {}) for _, d in item.panels):
            notes.append("without flips and crops (the paper: with them)")
    notes += [remark_of(space) for space in dict.fromkeys(s for s, _ in there(item))]
    if item.kind in ("scatter", "time", "library"):
        notes.append("accuracy axes show the logarithm of the error")
    return "; ".join(filter(None, notes))


def measured_note(item):
    """What a figure of measurements that no score table holds says of its networks."""
    papers = config["papers"]
    if item.kind == "library":
        wanted = papers["library"]["networks"]
        numbers = len(library_names.chosen(wanted)), len(library_names.listing())
        return measurement_notes.library(papers["library"], *numbers)
    if item.kind == "ablation":
        return (
            measurement_notes.ablation(papers["ablation"])
            if item.paper == "icml2021"
            else measurement_notes.ablation_2020(papers["ablation_2020"])
        )
    if item.kind == "kernels":
        return measurement_notes.kernels(papers["kernels"], CUTS)
    if item.kind == "histograms":
        return measurement_notes.histograms(papers["histograms"], CUTS)
    return measurement_notes.training(papers["training"])


def live_samples(item):
    """The numbers of samples of a table's searches that were made live, whose seconds a figure shows instead."""
    in_table = {n for _, n in published_methods(table_of_time(item))}
    there_is = {SEARCHES[label]["n_samples"] for label, *_ in live_labels(item)}
    return sorted(there_is & in_table)


def scored_note(panels):
    """How many architectures of each space were scored."""
    counts = {}
    for space in dict.fromkeys(space for space, _ in panels):
        counts.setdefault(config["spaces"][space]["architectures"], []).append(space)
    if len(counts) < 2:
        return "".join(f"{n} architectures scored" for n in counts)
    parts = [f"{n} of {', '.join(names)}" for n, names in counts.items()]
    return f"architectures scored: {'; '.join(parts)}"


def images_note(item):
    """How many images a network was scored on, and in the paper."""
    sizes = sorted({image_size_of(proxy) for proxy in item.proxies})
    return measurement_notes.images(item.paper, sizes)


def paper_of(wildcards):
    """The category of a table or figure in the report."""
    return PAPERS[item_of(wildcards).paper]


def datasets_of(item):
    """The data sets whose numbers a table or figure shows: a search by one data set is reported on all."""
    if item.kind != "searches":
        return [dataset for _, dataset in item.panels]
    return [row["dataset"] for row in published_rows(item)]


def item_labels(wildcards, form):
    """What a table or figure is told from the others of its paper by, in the report."""
    item = item_of(wildcards)
    shown = {
        "space": [space for space, _ in item.panels],
        "data set": datasets_of(item),
        "score": item.proxies,
    }
    name = re.sub(r"_|(?<=[a-z])(?=\d)", " ", item.name).capitalize()
    # The report sorts by letters: two spaces, of which a browser shows one, put figure 3 before figure 10.
    name = re.sub(r" (?=\d$)", "  ", name)
    labels = {"what": f"{name}: {item.title}"}
    for label, names in shown.items():
        labels[label] = names[0] if len(set(names)) == 1 else "several"
    return labels if form == "figure" else {**labels, "format": form}


def cells_in_report(name, form):
    """Where the report has the numbers that stand beside those of a figure."""
    named = SimpleNamespace(paper_item=name)
    return {
        "caption": f"../report/{name.replace('/', '_')}_cells.rst",
        "category": paper_of(named),
        "subcategory": "Tables",
        "labels": item_labels(named, form),
    }


wildcard_constraints:
    paper_item=one_of([f"{item.paper}/{item.name}" for item in ITEMS]),
    kind=one_of(["minibatch", "gaussian", "initialisation", "batch_size"]),
    k=r"\d+",


rule ablation:
    input:
        unpack(listing),
        truth=TRUTH,
        images=ablation_images,
    output:
        ABLATION,
    log:
        "<results>/logs/ablations/{space}/{dataset}/{proxy}/{kind}.log",
    benchmark:
        "<results>/timings/ablations/{space}/{dataset}/{proxy}/{kind}.tsv"
    threads: 1
    resources:
        gpu=gpus_per_job(),
    params:
        network=lambda w: config["spaces"][w.space]["network"],
        proxy=lambda w: DEFINED[w.proxy],
        choose=lambda w: ablation_options(w)["choose"],
        options=lambda w: ablation_options(w)["options"],
        device=lambda w: device_kind(),
        versions=versions(),
        code=lambda w: fingerprint(
            "naswot_ext.devices",
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.experiments.ablation",
            "naswot_ext.experiments.choose",
            *proxy_names.module_of([DEFINED[w.proxy]]),
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/ablation.py"


rule training:
    input:
        unpack(listing),
        truth=TRUTH,
        images=lambda w: BATCH.format(
            dataset=w.dataset,
            size=training_size(),
            seed=SEEDS[0],
        ),
    output:
        TRAINING,
    log:
        "<results>/logs/trainings/{space}/{dataset}/network-{k}.log",
    benchmark:
        "<results>/timings/trainings/{space}/{dataset}/network-{k}.tsv"
    threads: 1
    resources:
        gpu=gpus_per_job(),
    params:
        network=lambda w: config["spaces"][w.space]["network"],
        proxy="naswot",
        choose=lambda w: choose(w.space, CHOSEN_BY, by="above", threshold=90.0),
        options={
            "seed": SEEDS[0],
            "held_out": config["batch_size"],
            **{
                key: config["papers"]["training"][key]
                for key in ("epochs", "batch_size")
            },
        },
        device=lambda w: device_kind(),
        versions=versions(),
        code=lambda w: fingerprint(
            "naswot_ext.devices",
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.experiments.training",
            "naswot_ext.experiments.choose",
            *proxy_names.module_of(["naswot"]),
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/training.py"


rule kernels:
    input:
        unpack(listing),
        truth=TRUTH,
        images=BATCH.replace("{size}", str(config["batch_size"])).replace(
            "{seed}", str(SEEDS[0])
        ),
    output:
        KERNELS,
    log:
        "<results>/logs/kernels/{space}/{dataset}.log",
    benchmark:
        "<results>/timings/kernels/{space}/{dataset}.tsv"
    threads: 1
    resources:
        gpu=gpus_per_job(),
    params:
        network=lambda w: config["spaces"][w.space]["network"],
        choose=lambda w: bands("kernels", w.space),
        options={"seed": SEEDS[0]},
        device=lambda w: device_kind(),
        versions=versions(),
        code=lambda w: fingerprint(
            "naswot_ext.devices",
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.experiments.kernels",
            "naswot_ext.experiments.choose",
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/kernels.py"


rule jacobian_correlations:
    input:
        unpack(listing),
        truth=TRUTH,
        images=BATCH.replace("{size}", str(image_size_of("jacobian"))).replace(
            "{seed}", str(SEEDS[0])
        ),
    output:
        MAPS,
    log:
        "<results>/logs/jacobian_correlations/{space}/{dataset}.log",
    benchmark:
        "<results>/timings/jacobian_correlations/{space}/{dataset}.tsv"
    threads: 1
    resources:
        gpu=gpus_per_job(),
    params:
        network=lambda w: config["spaces"][w.space]["network"],
        choose=lambda w: bands("histograms", w.space),
        options={"seed": SEEDS[0]},
        device=lambda w: device_kind(),
        versions=versions(),
        code=lambda w: fingerprint(
            "naswot_ext.devices",
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.experiments.jacobian_correlations",
            "naswot_ext.experiments.choose",
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/jacobian_correlations.py"


rule library:
    input:
        images=BATCH.replace("{size}", str(image_size_of("jacobian"))).replace(
            "{seed}", str(SEEDS[0])
        ),
    output:
        LIBRARY,
    log:
        "<results>/logs/library/{dataset}/{network}.log",
    benchmark:
        "<results>/timings/library/{dataset}/{network}.tsv"
    threads: 1
    resources:
        # The largest of them, with 256 images.
        mem_mb=16000,
        gpu=gpus_per_job(),
    params:
        proxy="jacobian",
        options={
            "seed": SEEDS[0],
            "initialisations": config["papers"]["library"]["initialisations"],
        },
        device=lambda w: device_kind(),
        versions=library_versions(),
        code=fingerprint(
            "naswot_ext.devices",
            "naswot_ext.experiments.library",
            *proxy_names.module_of(["jacobian"]),
        ),
    script:
        "../scripts/library.py"


# The one network that the claim of 2020 is about, which a sample of the space need not hold.
rule claimed_score:
    input:
        unpack(listing),
        truth=TRUTH,
        batch=lambda w: BATCH.format(
            dataset=w.dataset, size=image_size_of(w.proxy), seed=w.seed
        ),
    output:
        CLAIMED,
    log:
        "<results>/logs/claims/{space}/{dataset}/{proxy}/seed-{seed}.log",
    benchmark:
        "<results>/timings/claims/{space}/{dataset}/{proxy}/seed-{seed}.tsv"
    threads: 1
    resources:
        gpu=gpus_per_job(),
    params:
        proxy=lambda w: DEFINED[w.proxy],
        network=lambda w: config["spaces"][w.space]["network"],
        precision=config["scoring"]["precision"],
        device=lambda w: device_kind(),
        versions=versions(),
        code=lambda w: fingerprint(
            "naswot_ext.devices",
            "naswot_ext.provenance",
            "naswot_ext.sampling",
            "naswot_ext.papers.smallest",
            "naswot_ext.scoring",
            *proxy_names.module_of([DEFINED[w.proxy]]),
            configuration.SPACES.module(w.space),
        ),
    script:
        "../scripts/claimed_score.py"


rule paper_searches:
    input:
        published=PUBLISHED,
        searches=table_searches,
    output:
        csv=report(
            "<results>/{paper_item}.csv",
            caption="../report/paper_table.rst",
            category=paper_of,
            subcategory="Tables",
            labels=lambda w: item_labels(w, "CSV"),
        ),
        markdown="<results>/{paper_item}.md",
        tex="<results>/{paper_item}.tex",
        html=report(
            "<results>/{paper_item}.html",
            caption="../report/paper_table.rst",
            category=paper_of,
            subcategory="Tables",
            labels=lambda w: item_labels(w, "A page"),
        ),
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["searches"],
    threads: 1
    params:
        order=lambda w, input: " ".join(input.searches),  # Snakemake compares inputs as a set
        beside=lambda w, input: beside(input.searches),
        missing=lambda w: missing_searches(item_of(w)),
        remark=lambda w: remark_of(item_of(w).panels[0][0]),
        heading=lambda w: item_of(w).title,
        official=lambda w: str(official_file(item_of(w).panels[0][0])),
        note=note_of,
        code=fingerprint(
            "naswot_ext.tables",
            "naswot_ext.provenance",
            "naswot_ext.papers.search_cells",
            "naswot_ext.papers.layout",
        ),
    script:
        "../scripts/paper_searches.py"


rule paper_scatter:
    input:
        published=PUBLISHED,
        truth=lambda w: [TRUTH.format(space=space) for space, _ in there(item_of(w))],
        scores=lambda w: panel_files(
            SCORES, item_of(w), proxy=item_of(w).proxies, seed=SEEDS
        ),
        correlations=lambda w: panel_files(
            CORRELATIONS, item_of(w), proxy=item_of(w).proxies
        ),
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["scatter"],
    threads: 1
    params:
        panels=lambda w: [list(panel) for panel in item_of(w).panels],
        missing=lambda w: empty_panels(item_of(w)),
        heading=lambda w: item_of(w).title,
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.figures",
            "naswot_ext.tables",
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.scatter",
        ),
    script:
        "../scripts/paper_scatter.py"


rule paper_bars:
    input:
        lambda w: panel_files(CORRELATIONS, item_of(w), proxy=item_of(w).proxies),
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["bars"],
    threads: 1
    params:
        order=lambda w, input: " ".join(input),  # Snakemake compares inputs as a set
        missing=lambda w: empty_panels(item_of(w)),
        spaces=lambda w: [space for space, _ in item_of(w).panels],
        proxies=lambda w: list(item_of(w).proxies),
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.tables",
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.bars",
        ),
    script:
        "../scripts/paper_bars.py"


rule paper_kernels:
    input:
        lambda w: panel_files(KERNELS, item_of(w)),
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["kernels"],
    threads: 1
    params:
        missing=lambda w: empty_panels(item_of(w)),
        spaces=lambda w: [space for space, _ in item_of(w).panels],
        there=lambda w: [space for space, _ in there(item_of(w))],
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.kernels",
        ),
    script:
        "../scripts/paper_kernels.py"


rule paper_histograms:
    input:
        lambda w: panel_files(MAPS, item_of(w)),
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["histograms"],
    threads: 1
    params:
        missing=lambda w: empty_panels(item_of(w)),
        heading=lambda w: item_of(w).title,
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.histograms",
        ),
    script:
        "../scripts/paper_histograms.py"


rule paper_ablation:
    input:
        ablation_files,
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["ablation"],
    threads: 1
    params:
        missing=lambda w: empty_panels(item_of(w)),
        heading=lambda w: item_of(w).title,
        kinds=lambda w: ABLATION_KINDS[item_of(w).paper],
        reasons=lambda w: {
            kind: reason for kind, (*_, reason) in ablations(item_of(w)).items()
        },
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.ablation",
        ),
    script:
        "../scripts/paper_ablation.py"


rule paper_training:
    input:
        training_files,
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["training"],
    threads: 1
    params:
        missing=lambda w: [
            *empty_panels(item_of(w)),
            *(
                [*panel, too_few(panel[1], training_size())]
                for panel in there(item_of(w))
            ),
        ],
        heading=lambda w: item_of(w).title,
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.training",
        ),
    script:
        "../scripts/paper_training.py"


rule paper_time:
    input:
        cells=table_beside,
        live=live_searches,
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["time"],
    threads: 1
    params:
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.papers.cells",
            "naswot_ext.provenance",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.time",
            "naswot_ext.papers.live",
        ),
    script:
        "../scripts/paper_time.py"


rule paper_library:
    input:
        library_scores,
    output:
        pdf="<results>/{paper_item}.pdf",
        png=report(
            "<results>/{paper_item}.png",
            caption="../report/paper_figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=lambda w: item_labels(w, "figure"),
        ),
        csv="<results>/{paper_item}.csv",
        cells=report(
            "<results>/{paper_item}_cells.csv",
            **cells_in_report("arxiv2020/figure5", "CSV"),
        ),
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["library"],
    threads: 1
    params:
        missing=lambda w: why_no_library(item_of(w).panels[0][1]),
        known=lambda w, input: len(library_names.listing()) if input else 0,
        heading=lambda w: item_of(w).title,
        figures=config["figures"],
        note=note_of,
        code=fingerprint(
            "naswot_ext.papers.cells",
            "naswot_ext.provenance",
            "naswot_ext.papers.claims",
            "naswot_ext.papers.figures.output",
            "naswot_ext.papers.figures.library",
        ),
    script:
        "../scripts/paper_library.py"


rule paper_claim:
    input:
        truth=lambda w: [TRUTH.format(space=space) for space, _ in there(item_of(w))],
        scores=lambda w: panel_files(
            SCORES, item_of(w), proxy=item_of(w).proxies, seed=SEEDS
        ),
        claimed=lambda w: panel_files(
            CLAIMED, item_of(w), proxy=item_of(w).proxies, seed=SEEDS
        ),
    output:
        csv=report(
            "<results>/{paper_item}.csv",
            caption="../report/paper_table.rst",
            category=paper_of,
            subcategory="Tables",
            labels=lambda w: item_labels(w, "CSV"),
        ),
        markdown="<results>/{paper_item}.md",
        tex="<results>/{paper_item}.tex",
        html=report(
            "<results>/{paper_item}.html",
            caption="../report/paper_table.rst",
            category=paper_of,
            subcategory="Tables",
            labels=lambda w: item_labels(w, "A page"),
        ),
    log:
        "<results>/logs/{paper_item}.log",
    benchmark:
        "<results>/timings/{paper_item}.tsv"
    wildcard_constraints:
        paper_item=OF_KIND["claim"],
    threads: 1
    params:
        missing=lambda w: missing_panels(item_of(w)),
        heading=lambda w: item_of(w).title,
        official=lambda w: str(official_file(item_of(w).panels[0][0])),
        images=lambda w: image_size_of(item_of(w).proxies[0]),
        remark=lambda w: remark_of(item_of(w).panels[0][0]),
        note=note_of,
        code=fingerprint(
            "naswot_ext.provenance",
            "naswot_ext.papers.claims",
            "naswot_ext.papers.layout",
        ),
    script:
        "../scripts/paper_claim.py"


# The published taus beside those of figure 3's panels.
rule paper_tau_cells:
    input:
        published=PUBLISHED,
        correlations=lambda w: panel_files(
            CORRELATIONS, item_of(w), proxy=item_of(w).proxies
        ),
    output:
        report(
            "<results>/{paper_item}_cells.csv",
            **cells_in_report("icml2021/figure3", "CSV"),
        ),
    log:
        "<results>/logs/{paper_item}_cells.log",
    benchmark:
        "<results>/timings/{paper_item}_cells.tsv"
    wildcard_constraints:
        paper_item="icml2021/figure3",
    threads: 1
    params:
        order=lambda w, input: " ".join(input.correlations),  # Snakemake compares inputs as a set
        missing=lambda w: missing_panels(item_of(w)),
        remarks=lambda w: {space: remark_of(space) for space, _ in there(item_of(w))},
        note=note_of,
        confidence=config["statistics"]["confidence"],
        code=fingerprint(
            "naswot_ext.tables",
            "naswot_ext.papers.cells",
            "naswot_ext.papers.tau_cells",
            "naswot_ext.provenance",
        ),
    script:
        "../scripts/paper_tau_cells.py"


CELLS = [
    f"<results>/{item.paper}/{item.name}.csv"
    for item in ITEMS
    if item.kind in ("searches", "claim")
] + [f"<results>/{name}_cells.csv" for name in WITH_CELLS]


rule paper_summary:
    input:
        cells=CELLS,
    output:
        csv="<results>/summary.csv",
        md="<results>/summary.md",
        rst="<results>/summary.rst",
        html=report(
            "<results>/summary.html",
            caption="../report/paper_summary.rst",
            category=VERDICTS_CATEGORY,
            labels={"page": "1. What was reproduced, what differs and why"},
        ),
        numbers=report(
            "<results>/numbers.html",
            caption="../report/paper_numbers.rst",
            category=VERDICTS_CATEGORY,
            labels={"page": "2. Every number, by space, data set, method and verdict"},
        ),
        icml2021_figure3=report(
            "<results>/icml2021/figure3_cells.html",
            **cells_in_report("icml2021/figure3", "A page"),
        ),
        arxiv2020_figure5=report(
            "<results>/arxiv2020/figure5_cells.html",
            **cells_in_report("arxiv2020/figure5", "A page"),
        ),
    log:
        "<results>/logs/summary.log",
    benchmark:
        "<results>/timings/summary.tsv"
    threads: 1
    params:
        note=scale_note(),
        # The numbers beside a figure were made as it was.
        notes={name: note_of(SimpleNamespace(paper_item=name)) for name in WITH_CELLS},
        facts=run_facts(),
        code=fingerprint(
            "naswot_ext.papers.cells",
            "naswot_ext.papers.items",
            "naswot_ext.tables",
            "naswot_ext.papers.pages",
            "naswot_ext.papers.story",
            "naswot_ext.papers.summary",
        ),
    script:
        "../scripts/paper_summary.py"


def item_files(item):
    """All that is made of a table or figure."""
    path = f"<results>/{item.paper}/{item.name}"
    forms = (
        ("csv", "md", "tex", "html")
        if item.kind in ("searches", "claim")
        else ("pdf", "png", "csv")
    )
    files = [f"{path}.{form}" for form in forms]
    return files + [f"{path}_cells.csv"] * (f"{item.paper}/{item.name}" in WITH_CELLS)


for item in ITEMS:

    rule:
        name:
            item.target
        input:
            item_files(item),


TABLES = [
    *expand("<results>/summary.{form}", form=("csv", "md", "rst", "html")),
    "<results>/numbers.html",
    *expand("<results>/{name}_cells.html", name=WITH_CELLS),
]
FIGURES = [file for item in ITEMS for file in item_files(item)]
