"""Which files a run has: the first of several sources that is there, and what must be left out.

A space or a data set of the config may name several sources under `first_of`, each a part of its section. The first
whose files are there is taken, else the first that can be downloaded; its `architectures` are at most as many as the
section asks for, as it may be a part of a space. With `offline: true` nothing is downloaded: what has no source at hand
is taken out of the config and told under `absent`, with the file that would fill it.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import yaml

from naswot_ext.errors import NaswotError

_AND = "; "  # between reasons


def with_scale(config: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The config with what `scales` says of its `scale` laid over it; raises NaswotError for a scale it has not.

    What is `given` on the command line (`--config KEY=VALUE`), already a part of the config, is laid over the scale.
    """
    given = {key: _read_text(value) for key, value in (given or {}).items()}
    found = _laid_over(copy.deepcopy(dict(config)), given)
    scales, scale = found.pop("scales", None), found.get("scale", "full")
    if scales is None:
        if scale != "full":
            raise NaswotError(f"scale: found {scale!r}, but the config has no `scales` that would say what it changes.")
        return found
    if not isinstance(scales, dict) or not all(isinstance(part, dict) for part in scales.values()):
        raise NaswotError("scales must be a section of names, each with the part of the config that it changes.")
    if scale != "full" and scale not in scales:
        raise NaswotError(f"scale: found {scale!r}, but it must be one of {', '.join(['full', *scales])}.")
    found = _laid_over(_laid_over(found, scales.get(scale, {})), {k: v for k, v in given.items() if k != "scales"})
    # What was laid over is not laid over again, when this config is read once more.
    return found if scale == "full" else {**found, "scales": {scale: {}}}


def choose(config: Mapping[str, Any], sources_file: str | os.PathLike[str]) -> dict[str, Any]:
    """The config with one source for each space and data set, and `absent`: what has none, with the reason.

    Raises NaswotError where `first_of` is no list of sections. What else may be wrong is left to the schema.
    """
    found = copy.deepcopy(dict(config))
    downloads = yaml.safe_load(Path(sources_file).read_text())
    folder = Path(str(found.get("downloads", "downloads")))
    offline = found.get("offline") is True
    absent: dict[str, dict[str, str]] = {}
    for kind in ("spaces", "datasets"):
        section = _section(found, kind)
        for name, options in list(section.items()):
            if not isinstance(options, dict):
                continue
            several = "first_of" in options
            chosen, reasons = _first(f"{kind}.{name}", options, kind, downloads, folder, offline)
            if chosen is not None:
                section[name] = chosen
            elif several or offline:
                absent.setdefault(kind, {})[name] = " and ".join(reasons)
                del section[name]
    spaces = _section(found, "spaces")
    for options in spaces.values():
        if isinstance(options, dict) and isinstance(options.get("datasets"), list):
            options["datasets"] = [x for x in options["datasets"] if x not in absent.get("datasets", {})]
    # A space with no images left cannot be scored.
    for name, options in list(spaces.items()) if absent else []:
        if isinstance(options, dict) and options.get("datasets") == []:
            absent.setdefault("spaces", {})[name] = "there are no images to score it on"
            del spaces[name]
    for kind in ("spaces", "datasets") if absent else ():
        if found.get(kind) == {}:
            lacking = "".join(f"\n  {name}: {why}" for name, why in absent[kind].items())
            raise NaswotError(f"None of the {kind} is at hand. Fetch one (`offline: false`), or name a file:{lacking}")
    if absent:
        known = found.get("absent", {})
        found["absent"] = {**known, **{kind: {**known.get(kind, {}), **why} for kind, why in absent.items()}}
    return found


def images_in(source: Mapping[str, Any]) -> int | None:
    """How many images a source of the user's own has, read off the file's header; None where only reading it tells."""
    if source.get("source") != "npz":
        return None
    try:
        with ZipFile(source["path"]) as archive, archive.open("images.npy") as file:
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            return int(read(file)[0][0])
    except (OSError, KeyError, ValueError, IndexError, BadZipFile):
        return None  # what is wrong with the file, the job that reads it says


def known_accuracies(benchmark: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(data set, split) of each accuracy of a ground truth, where the config tells them; else none."""
    if benchmark["source"] == "analog-nasbench":
        return [("cifar10", "test")]
    accuracies = benchmark["accuracy"] if benchmark["source"] == "table" else []
    return [(a["dataset"], s) for a in accuracies for s in ("valid", "test") if s in a]


def lacks(benchmark: Mapping[str, Any], dataset: str, split: str | None = None) -> bool:
    """Whether a ground truth is known to have no accuracy on a data set, of a split where one is given."""
    known = known_accuracies(benchmark)
    return bool(known) and not any(d == dataset and split in (None, s) for d, s in known)


def why_not(config: Mapping[str, Any], space: str, dataset: str, official: str) -> str:
    """Why a space cannot be scored on a data set here, with each file that it takes; empty where it can.

    `config` is resolved, and `official` the file that has the whole ground truth of the space.
    """
    spaces, absent = config["spaces"], config.get("absent", {})
    reasons = []
    if space not in spaces:
        reason = absent.get("spaces", {}).get(space, "the config does not name it")
        reasons.append(f"no ground truth of {space}: {reason}")
    if dataset not in spaces.get(space, {}).get("datasets", config["datasets"]):
        reason = absent.get("datasets", {}).get(dataset, "the config does not name them")
        reasons.append(f"no images of {dataset}: {reason}")
    # Imagenette stands in for ImageNet.
    if space in spaces and dataset != "imagenette2" and lacks(spaces[space]["benchmark"], dataset):
        reasons.append(f"no accuracy of {space} on {dataset}: {official} has it")
    return joined(*reasons)


def joined(*reasons: str, file: str = "") -> str:
    """Several reasons, of which one may hold several, as one text, each once; of those that `file` mends, the first."""
    found: list[str] = []
    for reason in (part for several in reasons for part in several.split(_AND) if part):
        mended = bool(file) and file in reason and any(file in known for known in found)
        if reason not in found and not mended:
            found.append(reason)
    return _AND.join(found)


def without_titles(reason: str) -> str:
    """A reason without what its files are called, which stands behind each in brackets."""
    return re.sub(r" \((?:[^()]|\([^()]*\))*\)", "", reason)


def in_panel(reason: str, space: str, dataset: str) -> str:
    """A reason of `why_not` that fits a panel, whose heading names the space and the data set."""
    names = "|".join(f" {word} {re.escape(name)}" for word, name in (("of", space), ("of", dataset), ("on", dataset)))
    return re.sub(rf"(?:{names})(?=[:\s])", "", without_titles(reason))


def _section(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The sections of a kind; none where it is malformed, which the schema tells."""
    section = config.get(kind)
    return section if isinstance(section, dict) else {}


def _first(
    where: str,
    options: Mapping[str, Any],
    kind: str,
    downloads: Mapping[str, Any],
    folder: Path,
    offline: bool,
) -> tuple[dict[str, Any] | None, list[str]]:
    """The section with the first source that is there, else that can be had; and why not, one reason a source."""
    rest = {key: value for key, value in options.items() if key != "first_of"}
    if "first_of" not in options and not offline:
        return rest, []  # a file that is not there is a mistake, which the checks of the config tell
    parts = options.get("first_of", [{}])
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise NaswotError(f"{where}.first_of must be a list of sections, each with a source.")
    candidates = [_laid_over(copy.deepcopy(rest), {**part, **_at_most(rest, part)}) for part in parts]
    reasons, fetchable = [], []
    for candidate in candidates:
        source = candidate.get("benchmark") if kind == "spaces" else candidate
        lacking = list(_lacking(source, downloads, folder)) if isinstance(source, dict) else []
        if not lacking:
            return candidate, []
        reasons += [text for text, _ in lacking]
        if all(can_be_fetched for _, can_be_fetched in lacking):
            fetchable.append(candidate)
    if fetchable and not offline:
        return fetchable[0], []
    return None, list(dict.fromkeys(reasons))


def _at_most(section: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """How many architectures of a source that has a part of them are taken, where both say a number."""
    counts = [each["architectures"] for each in (section, part) if isinstance(each.get("architectures"), int)]
    return {"architectures": min(counts)} if counts and "architectures" in part else {}


def _lacking(source: Mapping[str, Any], downloads: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, bool]]:
    """(what is not there, whether it could be downloaded), one for each file that a source needs and has not.

    Tables, figures and archives print these, so no text has an absolute path: one within the folder of downloads begins
    with `downloads`, wherever that is, and of a file elsewhere the name is told.
    """
    given = [str(source[key]) for key in ("path", "local") if key in source]
    for path in [*given, *([str(source["split"])] if "split" in source else [])]:
        if not Path(path).exists():
            yield f"no {Path(path).name if Path(path).is_absolute() else path}", False
    names = [] if given else [download_name(source)]
    if str(source.get("part", "")).endswith("-half") and "split" not in source:
        names.append("cifar10-split")
    for name in names:
        for file in downloads.get(name, {}).get("files", []):
            if not (folder / name / file["name"]).exists():
                yield f"no downloads/{name}/{file['name']} ({downloads[name]['title']})", True
                break  # one line for a download of many files


def download_name(source: Mapping[str, Any]) -> str:
    """What the download of a source is called, where it is one."""
    name = str(source.get("source"))
    return f"{name}-{source.get('version', 'v1_1')}" if name == "nasbench201" else name


def _read_text(value: Any) -> Any:
    """A value of the command line with numbers, true, false and null for texts that spell them, as in a file.

    Snakemake reads `offline=False`, but leaves `offline=false` and what stands in brackets, `seeds=[0,1]`, texts.
    """
    if isinstance(value, dict):
        return {key: _read_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_read_text(inner) for inner in value]
    try:
        read = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value
    return read if isinstance(read, bool | int | float) or (read is None and value) else value


def _laid_over(base: dict[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` changed by `part`, section by section: one that others share (`*alias` in YAML) stays."""
    base = dict(base)
    for key, value in part.items():
        inner = base.get(key)
        base[key] = _laid_over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return base
