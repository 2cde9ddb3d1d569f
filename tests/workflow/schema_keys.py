"""Every key that a config may have, by walking the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.conftest import REPOSITORY

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"
# What a pattern of names stands for here: one of them.
_NAMES = {"^nds-(resnet|resnext|vanilla)": "nds-resnet", "^nds-(?!resnet|resnext|vanilla)": "nds-darts"}


def keys() -> list[str]:
    """The paths of all keys, such as "scoring.shard_size" and "searches.algorithms.rea.population".

    What users name themselves stands as `*`. What all spaces have stands under "spaces.*"; the options of a ground
    truth under its source, "spaces.*.benchmark.table.path", and those of a data set too, "datasets.cifar10.part".
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    walked = (re.sub(r"^spaces\.[^.]+\.(?!network)", "spaces.*.", key) for key in _walk(schema, schema["$defs"], ()))
    found = list(dict.fromkeys(walked))
    # What one schema says has no options may have some by another.
    return [key for key in found if not any(other.startswith(f"{key}.") for other in found)]


def _walk(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The keys below one place of the schema, and the place itself where there are none."""
    inner: list[tuple[str, Mapping[str, Any]]] = []
    by_source = False
    for part in _parts(schema, definitions):
        inner += part.get("properties", {}).items()
        inner += [(_name(pattern), value) for pattern, value in part.get("patternProperties", {}).items()]
        if isinstance(other := part.get("additionalProperties"), Mapping) and not part.get("patternProperties"):
            inner.append(("*", other))
        if isinstance(part.get("items"), Mapping):
            inner += [(name, below) for name, below in part["items"].get("properties", {}).items()]
        for case in part.get("allOf", []):
            chosen = case["if"]["properties"].get("source", {})
            sources = chosen.get("enum", [chosen["const"]] if "const" in chosen else [])
            by_source |= bool(sources)
            for source in sources:
                yield from _walk(case["then"], definitions, (*(p for p in path if p != "*"), source))
    if not inner:
        yield ".".join(path)
    for name, value in inner:
        if not (by_source or (path and "source" in dict(inner) and not value)) or name != "source":
            yield from _walk(value, definitions, (*path, name))


def _parts(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and all that it refers to."""
    yield schema
    if "$ref" in schema:
        yield from _parts(definitions[schema["$ref"].rpartition("/")[2]], definitions)


def _name(pattern: str) -> str:
    """The plain name of a pattern, gdas of ^gdas(@|$)."""
    return _NAMES.get(pattern, pattern.lstrip("^").removesuffix("(@|$)").replace("[12]", "1"))
