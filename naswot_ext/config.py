"""The workflow's config: defaults filled in, and every mistake told in one sentence before any work starts.

The keys, their defaults and descriptions stand in a JSON Schema (workflow/schemas/config.schema.yaml); what a
schema cannot say (names of registered things, files that must exist, N against the number scored) is checked here.
Imports no torch, because the Snakefile reads this at every start; only a draw so large that it may exceed its
space is held against the space's own number of architectures.
"""

from __future__ import annotations

import copy
import csv
import importlib.util
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from naswot_ext import at_hand, proxy_names, user_proxies
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.experiments import library_names
from naswot_ext.papers.items import ITEMS
from naswot_ext.proxy_names import REGISTERED as PROXIES
from naswot_ext.registry import Registry

# The same folders as the packages' own registries, whose import would bring torch with it.
SPACES: Registry[Any] = Registry("search space", "naswot_ext.spaces", dashes=True)
BENCHMARKS: Registry[Any] = Registry("ground-truth source", "naswot_ext.benchmarks", dashes=True)
DATASETS: Registry[Any] = Registry("data set source", "naswot_ext.datasets", dashes=True)
SEARCHES: Registry[Any] = Registry("search algorithm", "naswot_ext.searches")

# Those that build networks, so that their runs are jobs for a GPU; they look at images of their own.
NETWORK_SEARCHES = ("darts_v1", "darts_v2", "enas", "funnel", "gdas", "nasi", "naswot_live", "rsps", "setn")

# Files and folders among those that are named by proxies, and what the groups of `proxy_names.group` are called.
_TAKEN = ("forward", "proxies", "search_ranks", "search_wins", "searches", "shape", "shards")

# Kinds of the papers' tables and figures that are made from score tables.
_BY_SCORES = ("ablation", "bars", "claim", "scatter")

# No search space has fewer architectures. To count those of one means to import it, and torch, which takes seconds.
_FEW_ARCHITECTURES = 1000

# Official sources and the space, or the start of the names of the spaces, that each has the ground truth of.
_SPACE_OF = {
    "analog-nasbench": "nasbench201",
    "nasbench101": "nasbench101",
    "nasbench201": "nasbench201",
    "nats-sss": "nats-sss",
    "nats-tss": "nasbench201",
    "nds": "nds-",
}

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a section of keys and values",
    "string": "text",
}


def resolve(
    config: Mapping[str, Any], schema_file: str | os.PathLike[str], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A copy of `config` with all defaults filled in, keys in the schema's order.

    `given` is the part of it that was given on the command line, which a scale of the config does not change.
    Raises NaswotError that lists every problem found: which key, what was found, what was meant, what to do.
    """
    if unreadable := [*_names_that_are_no_text(config), *_numbers_that_are_not_finite(config)]:
        raise _cannot_be_used(unreadable)
    resources = Path(schema_file).parents[1] / "resources"
    config = at_hand.choose(at_hand.with_scale(config, given), resources / "sources.yaml")
    schema = yaml.safe_load(Path(schema_file).read_text())
    filled = _fill(config, schema, schema["$defs"])
    errors = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda e: [str(p) for p in e.absolute_path])
    problems = [problem for error in errors for problem in _sentences(error, schema["$defs"])]
    problems += _unknown_names(filled)
    problems += _unknown_methods(filled, resources / "published.csv")
    if not problems:
        problems = [*_missing_files(filled), *_contradictions(filled)]
    if problems:
        raise _cannot_be_used(problems)
    filled["results"] = os.path.normpath(filled["results"])
    return filled


def search_labels(entry: str, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The searches that one entry of `searches.algorithms` asks for, by label: {label: options of that one search}.

    >>> search_labels("naswot", {"n_samples": [10], "proxy": ["naswot", "params"]})
    {'naswot-10': {'n_samples': 10, 'proxy': 'naswot'}, 'naswot-params-10': {'n_samples': 10, 'proxy': 'params'}}
    """
    proxies = options.get("proxy", [None])
    # A search that scores for itself needs the name that finds the proxy, which is not what files are called by.
    scores_itself = algorithm_of(entry) in NETWORK_SEARCHES
    found = {}
    for proxy in [proxies] if isinstance(proxies, str) else proxies:
        name = proxy and proxy_names.label(proxy)
        counts = options.get("n_samples")
        for n_samples in counts if isinstance(counts, list) else [counts]:
            parts = [entry, name if name != "naswot" else None, n_samples if isinstance(counts, list) else None]
            chosen = {**options, "n_samples": n_samples, "proxy": proxy if scores_itself else name}
            label = "-".join(str(part) for part in parts if part is not None)
            found[label] = {key: value for key, value in chosen.items() if value is not None}
    return found


def split_title(split: str) -> str:
    """What people call a split of the ground truth, which columns call valid or test."""
    return {"valid": "validation"}.get(split, split)


def image_size(config: Mapping[str, Any], proxy: str | None) -> int:
    """How many images a proxy, or a group of them, is scored on by a resolved config."""
    size: int = config["batch_sizes"].get(proxy, config["batch_size"])
    return size


def algorithm_of(entry: str) -> str:
    """The algorithm that an entry of `searches.algorithms` is a variant of."""
    return entry.partition("@")[0]


def _cannot_be_used(problems: Iterable[str]) -> NaswotError:
    listed = "".join(f"\n  {problem}" for problem in dict.fromkeys(problems))
    return NaswotError(f"The config cannot be used. Correct:{listed}")


def _names_that_are_no_text(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """A sentence for each key that YAML read as a number, a date, true or false, or nothing."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                why = " (without quotes, YAML reads on, off, yes and no so)" if isinstance(key, bool) else ""
                yield f"{_path(path)}: the name {key!r} is not text{why}. Put quotes around it."
            yield from _names_that_are_no_text(value[key], (*path, str(key)))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _names_that_are_no_text(item, (*path, i))


def _numbers_that_are_not_finite(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """A sentence for each .inf and .nan, which no limit of the schema keeps out and nothing here can mean."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers_that_are_not_finite(item, (*path, str(key)))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _numbers_that_are_not_finite(item, (*path, i))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{_path(path)}: found {value}; give a finite number."


def _dereferenced(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return dict(schema)
    target = _dereferenced(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    # What stands beside the reference (a description, a default, a property) is the more special of the two.
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    if "properties" in beside:
        shared = target.get("properties", {})
        special = {key: {**shared.get(key, {}), **value} for key, value in beside["properties"].items()}
        beside["properties"] = {**shared, **special}
    return {**target, **beside}


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _fill(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """`value` with the schema's defaults; anything of the wrong type is left for the validator to complain about."""
    schema = _dereferenced(schema, definitions)
    if value is None and schema.get("type") == "object":
        value = {}  # `random:` in YAML, with nothing behind it
    if isinstance(value, float) and value.is_integer() and "integer" in _types(schema):
        return int(value)  # 4.0 is a whole number to JSON Schema, but not to Python or in a file's name
    if isinstance(value, list) and "items" in schema:
        return [_fill(item, schema["items"], definitions) for item in value]
    if not isinstance(value, dict):
        return value
    for case in schema.get("allOf", []):
        branch = case["then"] if Draft202012Validator(case["if"]).is_valid(value) else case.get("else", {})
        value = _fill(value, branch, definitions)
    properties = dict(schema.get("properties", {}))
    for pattern, sub in schema.get("patternProperties", {}).items():
        properties |= {key: sub for key in value if re.search(pattern, key)}
    others = schema.get("additionalProperties")
    filled = {}
    for key, sub in properties.items():
        default = _dereferenced(sub, definitions).get("default")
        if key in value or default is not None:
            filled[key] = _fill(value.get(key, copy.deepcopy(default)), sub, definitions)
    for key, item in value.items():
        if key not in filled:
            filled[key] = _fill(item, others, definitions) if isinstance(others, dict) else item
    return filled


def _path(parts: Iterable[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "the top level"


def _sentences(error: ValidationError, definitions: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each thing that a schema violation says."""
    where = _path(error.absolute_path)
    schema = _dereferenced(error.schema, definitions)
    meaning = f" Meaning: {schema['description']}." if "description" in schema else ""
    found, rule = error.instance, error.validator_value
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        of_searches = where == "searches.algorithms"
        for key in found:
            if key not in known and not any(re.search(pattern, key) for pattern in patterns):
                names = SEARCHES.names() if of_searches else known
                yield f"{where}: {unknown(SEARCHES.kind if of_searches else 'key', algorithm_of(key), names)}"
    elif error.validator == "required":
        for key in rule:
            if key not in found:
                about = _dereferenced(schema.get("properties", {}).get(key, {}), definitions).get("description")
                yield f"{where}: {key!r} is missing" + (f". Meaning: {about}." if about else ".")
    elif error.validator == "anyOf":
        keys = " or ".join(repr(key) for case in rule for key in case["required"])
        yield f"{where}: name at least one of {keys}."
    elif error.validator == "pattern" and "propertyNames" in error.absolute_schema_path:
        if where == "searches.algorithms":
            yield f"{where}: {found!r} must be an algorithm's name, or name@variant with letters, digits, '_' and '-'."
        else:
            yield f"{where}: the name {found!r} may hold only letters, digits, '_', '-' and '.', and no other signs."
    elif error.validator == "uniqueItems":
        twice = sorted({str(item) for item in found if found.count(item) > 1})
        yield f"{where}: {', '.join(twice)} stands there more than once; keep one.{meaning}"
    elif error.validator in ("minItems", "minProperties"):
        holds = f"holds only {len(found)}" if found else "is empty"
        yield f"{where}: it {holds}; give at least {'one' if rule == 1 else rule}.{meaning}"
    else:
        yield f"{where}: found {_shown(found, _types(schema))}, but it must be {_wanted(error)}.{meaning}"


def _shown(value: Any, types: list[str]) -> str:
    """What was found; for text that was meant as a number, with how to write it."""
    if value is None:
        return "nothing"
    if isinstance(value, str) and {"integer", "number"} & set(types):
        try:
            number = float(value)
        except ValueError:
            return repr(value)
        if "number" in types:
            return f"the text {value!r} (a number has no quotes, and in YAML its exponent needs a point: 1.0e+6)"
        if number.is_integer():
            return f"the text {value!r} (a whole number has neither quotes nor an exponent: {int(number)})"
    return f"{value!r}"


def _wanted(error: ValidationError) -> str:
    rule: Any = error.validator_value
    if error.validator == "type":
        return " or ".join(_TYPES[kind] for kind in _types(error.schema))
    if error.validator == "enum":
        return " or ".join(repr(choice) for choice in rule)
    if error.validator == "pattern" and rule.startswith("^all"):
        return "a whole number or 'all'"
    if error.validator == "pattern" and rule.startswith("^[A-Za-z0-9]"):
        return "letters, digits, '_', '-' and '.', the first a letter or digit"
    limits = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "more than {}",
        "exclusiveMaximum": "less than {}",
        "minLength": "at least {} sign long",
        "pattern": "text that matches {}",
    }
    return limits[str(error.validator)].format(rule)


def _unknown_names(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that nothing is registered under. The config may still be malformed here."""
    sections = {
        key: config[key] if isinstance(config.get(key), dict) else {} for key in ("spaces", "datasets", "searches")
    }
    for space, options in sections["spaces"].items():
        yield from _check(SPACES, space, "spaces")
        benchmark = options.get("benchmark") if isinstance(options, dict) else None
        if isinstance(benchmark, dict) and "source" in benchmark:
            yield from _check(BENCHMARKS, benchmark["source"], f"spaces.{space}.benchmark.source")
    for dataset, options in sections["datasets"].items():
        if isinstance(options, dict) and "source" in options:
            yield from _check(DATASETS, options["source"], f"datasets.{dataset}.source")
        if isinstance(options, dict) and isinstance(options.get("normalise"), str):
            from naswot_ext.datasets.npz import NORMALISATIONS

            if options["normalise"] not in NORMALISATIONS:
                yield f"datasets.{dataset}.normalise: {unknown('data set', options['normalise'], NORMALISATIONS)}"
    yield from _unknown_proxies(config.get("proxies"), sections["searches"].get("algorithms"))


def _unknown_proxies(proxies: Any, algorithms: Any) -> Iterator[str]:
    """Proxies that there are none of, and those that others have the labels of."""
    # {label: the entry that has it}, first of all entries of `proxies`, which searches may go by, then of others, too.
    listed: dict[str, str] = {}
    for entry in proxies if isinstance(proxies, list) else []:
        if isinstance(entry, str) or _members(entry):
            label = proxy_names.label(entry)
            if not isinstance(entry, str) and label in PROXIES.names():
                yield f"proxies: an aggregate is called {label!r}, as a proxy is. Give it another `name`."
            else:
                yield from _label_problems(entry, "proxies", listed)
    meanings = dict(listed)
    for entry in proxies if isinstance(proxies, list) else []:
        for name in [entry] if isinstance(entry, str) else _members(entry):
            if name in listed and not isinstance(entry, str) and name not in PROXIES.names():
                yield f"proxies: the ranks of {name!r} cannot be combined: an aggregate names proxies, not labels."
            else:
                yield from _check_proxy(name, "proxies", meanings)
    for algorithm, options in algorithms.items() if isinstance(algorithms, dict) else []:
        live = algorithm_of(algorithm) in NETWORK_SEARCHES
        for key in ("proxy", "proxies", "first"):
            where = f"searches.algorithms.{algorithm}.{key}"
            given = options.get(key) if isinstance(options, dict) else None
            # What is no text, the schema tells.
            for proxy in [x for x in (given if isinstance(given, list) else [given]) if isinstance(x, str)]:
                if live and proxy in listed and proxy not in PROXIES.names():
                    yield (
                        f"{where}: a search that scores for itself takes no label of `proxies` such as {proxy!r}. Name "
                        "proxies, your own as my_file.py:function."
                    )
                elif proxy not in listed:
                    yield from _check_proxy(proxy, where, meanings)


def _members(entry: Any) -> list[str]:
    """The names that an aggregate combines; none where it is malformed, which the schema tells."""
    made = entry.get("aggregate") if isinstance(entry, dict) else None
    if not isinstance(made, dict) or not isinstance(made.get("ranks"), list):
        return []
    texts = [x for x in (*made["ranks"], made.get("how", "mean")) if isinstance(x, str)]
    return made["ranks"] if len(texts) == len(made["ranks"]) + 1 else []


def _check_proxy(name: str, where: str, meanings: dict[str, str]) -> Iterator[str]:
    if user_proxies.is_user_proxy(name):
        try:
            user_proxies.check(name)
        except NaswotError as error:
            yield f"{where}: {error}"
        else:
            yield from _label_problems(name, where, meanings)
    elif name.endswith(".py"):
        yield f"{where}: {name!r} names no function of that file. Write {name}:function."
    else:
        yield from _check(PROXIES, name, where)


def _label_problems(entry: str | Mapping[str, Any], where: str, meanings: dict[str, str]) -> Iterator[str]:
    """What is wrong with an entry's label, which is added to `meanings`, {label: the entry that has it}."""
    label = proxy_names.label(entry)
    if label in _TAKEN:
        yield f"{where}: {label!r} is the name of something else among the results. Choose another."
    elif meanings.setdefault(label, str(entry)) != str(entry):
        yield f"{where}: {entry} and {meanings[label]} are both called {label!r} in files. Rename one."


def _check(registry: Registry[Any], name: Any, where: str) -> Iterator[str]:
    if isinstance(name, str) and name not in registry.names():
        yield f"{where}: {unknown(registry.kind, name, registry.names())}"


def _unknown_methods(config: Mapping[str, Any], published: Path) -> Iterator[str]:
    """Methods that stand nowhere among the published numbers. The config may still be malformed here."""
    searches = config.get("searches")
    if not isinstance(searches, dict):
        return
    algorithms = searches.get("algorithms")
    named = [
        (f"searches.algorithms.{entry}.published", options["published"])
        for entry, options in (algorithms.items() if isinstance(algorithms, dict) else [])
        if isinstance(options, dict) and "published" in options
    ]
    quoted = searches.get("quoted")
    named += [("searches.quoted", method) for method in (quoted if isinstance(quoted, list) else [])]
    if named:
        with open(published, newline="", encoding="utf-8") as file:
            rows = [row["method"] for row in csv.DictReader(file) if row["measure"] == "accuracy_percent"]
        known = {method_key(method): method for method in rows}
        for where, method in named:
            if isinstance(method, str) and method_key(method) not in known:
                yield f"{where}: {unknown('published method', method, sorted(known.values()))}"


def method_key(method: str) -> str:
    """A published method's name without regard to case, hyphens and underscores."""
    return method.casefold().replace("-", "_")


def method_of(algorithm: str, proxy: str | None) -> str | None:
    """What the papers call a search, or None: they have NASWOT by the score of 2021, and by that of 2020."""
    algorithm = algorithm.removesuffix("_live")
    if proxy in (None, "naswot"):
        return algorithm
    return "NASWOT-Jacobian" if (algorithm, proxy) == ("naswot", "jacobian") else None


def _missing_files(config: Mapping[str, Any]) -> Iterator[str]:
    named = {f"spaces.{name}.benchmark": space["benchmark"] for name, space in config["spaces"].items()}
    named |= {f"datasets.{name}": dataset for name, dataset in config["datasets"].items()}
    for where, options in named.items():
        for key in ("path", "local", "split"):
            # An official download may lie there unpacked.
            if key in options and not (
                Path(options[key]).is_file() or (key == "local" and Path(options[key]).is_dir())
            ):
                yield (
                    f"{where}.{key}: there is no file {options[key]} (looked for in {Path.cwd()}). "
                    "Correct the path, which is relative to the working directory."
                )


def _searches_of_one_label(algorithms: Mapping[str, Any]) -> Iterator[str]:
    """Searches that would write the same files."""
    entries: dict[str, str] = {}
    for entry, options in algorithms.items():
        by = options.get("proxy", [])
        names = [proxy_names.label(name) for name in ([by] if isinstance(by, str) else by)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"searches.algorithms.{entry}.proxy: {name!r} is named twice, also by its file; keep one."
        for label in search_labels(entry, options):
            if entries.setdefault(label, entry) != entry:
                yield f"searches.algorithms: {entry} and {entries[label]} both have a search {label}. Rename a variant."


def _computed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The proxies that are scored, also those that only searches go by; {label: definition}."""
    searched = [
        proxy
        for entry, options in config["searches"]["algorithms"].items()
        if algorithm_of(entry) not in NETWORK_SEARCHES
        for proxy in ([options["proxy"]] if isinstance(options.get("proxy"), str) else options.get("proxy", []))
    ]
    labels = {proxy_names.label(entry) for entry in config["proxies"]}
    return proxy_names.definitions([*config["proxies"], *(name for name in searched if name not in labels)])


def _batch_sizes_of_no_job(config: Mapping[str, Any]) -> Iterator[str]:
    """Batch sizes of proxies that are not scored, or that share their one forward pass with others."""
    computed = _computed(config)
    for name in config["batch_sizes"]:
        if name not in computed:
            yield f"batch_sizes: {unknown('scored proxy', name, sorted(computed))}"
        elif proxy_names.group(name, [name])[1] != (name,):
            yield f"batch_sizes: {name!r} shares one forward pass with other proxies. Set `batch_size`."


def _papers_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What the papers' tables and figures need and the config lacks, and networks that pytorchcv has not."""
    if "papers" not in config:
        return
    computed = _computed(config)
    shown = [
        item for item in ITEMS if item.kind in _BY_SCORES and any(space in config["spaces"] for space, _ in item.panels)
    ]
    for name in dict.fromkeys(name for item in shown for name in item.proxies):
        if name not in computed:
            yield f"proxies: the papers' tables and figures of the spaces of this config need {name!r}. Add it."
    networks = config["papers"]["library"]["networks"]
    if isinstance(networks, list) and importlib.util.find_spec("pytorchcv") is not None:
        try:
            library_names.chosen(networks)
        except NaswotError as error:
            yield f"papers.library.networks: {error}"


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Settings that are each allowed but do not fit each other."""
    yield from _batch_sizes_of_no_job(config)
    yield from _papers_problems(config)
    yield from _searches_of_one_label(config["searches"]["algorithms"])
    for name, space in config["spaces"].items():
        scored = space["architectures"]
        for dataset in space.get("datasets", []):
            if dataset not in config["datasets"]:
                yield f"spaces.{name}.datasets: {unknown('data set', dataset, config['datasets'])}"
        source = space["benchmark"]["source"]
        if not name.startswith(_SPACE_OF.get(source, name)):
            owner = _SPACE_OF[source] + ("..." if source == "nds" else "")
            yield f"spaces.{name}.benchmark.source: {source} has the ground truth of {owner}, not of {name}."
        # How many a table holds is known only when it has been read.
        if scored != "all" and scored > _FEW_ARCHITECTURES and space["draw_from"] == "space":
            from naswot_ext.spaces import SPACES as spaces

            if scored > (size := len(spaces.get(name))):
                yield (
                    f"spaces.{name}.architectures: {scored} cannot be drawn without replacement from {size}. "
                    f"Give 1 to {size}, or all."
                )
        # The papers make each search in some of the spaces only, and say where too few were scored.
        for algorithm, options in config["searches"]["algorithms"].items() if "papers" not in config else ():
            counts = options.get("n_samples", [])
            for n_samples in counts if isinstance(counts, list) else [counts]:
                if "all" not in (scored, n_samples) and n_samples > scored:
                    yield (
                        f"searches.algorithms.{algorithm}.n_samples: {n_samples} architectures a run are more than the "
                        f"{scored} that are scored of {name}. Lower it, or raise spaces.{name}.architectures."
                    )
        accuracies = space["benchmark"]["accuracy"] if source == "table" else []
        of = [accuracy["dataset"] for accuracy in accuracies]
        for algorithm, options in config["searches"]["algorithms"].items() if "papers" not in config else ():
            if of and options.get("dataset", of[0]) not in of:
                wrong = unknown("ground-truth data set", options["dataset"], set(of))
                yield f"searches.algorithms.{algorithm}.dataset: {wrong}"
        measured = [(accuracy["dataset"], accuracy["epochs"]) for accuracy in accuracies]
        for dataset, epochs in sorted({m for m in measured if measured.count(m) > 1}):
            yield (
                f"spaces.{name}.benchmark.accuracy: {dataset} after {epochs} epochs stands there more than once; "
                "keep one, or say their epochs."
            )
