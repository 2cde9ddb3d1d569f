"""The archive's description for machines: RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), by the package `rocrate`."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from rocrate.rocrate import ROCrate

from naswot_ext.archive.container import MANIFEST, files_in, sha256

METADATA = "ro-crate-metadata.json"
_VERSION = "1.1"
# What describes files cannot describe itself: the manifest has the digest of the metadata.
_DESCRIBING = (METADATA, MANIFEST)
_CODE = "code/source"
_WORKFLOW = f"{_CODE}/Snakefile"
# Python's own, without what a machine adds to them.
_TYPES = mimetypes.MimeTypes().types_map[True]
_TYPES |= {".parquet": "application/vnd.apache.parquet", ".md": "text/markdown", ".tsv": "text/tab-separated-values"}
_TYPES |= {".yaml": "application/yaml", ".npz": "application/zip", ".log": "text/plain", ".tex": "application/x-tex"}
_TYPES |= {".diff": "text/x-diff", ".dot": "text/vnd.graphviz", ".lock": "text/plain"}


def write_crate(folder: Path, facts: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> None:
    """Describe all files of a folder, with size and SHA-256, in its `ro-crate-metadata.json`.

    Args:
        folder: what will be the archive.
        facts: `version`, `date` (of the code, ISO 8601) and `commit` (or None).
        records: the job records; each is an action that made files of others.
    """
    crate = ROCrate(version=_VERSION)
    crate.name = "Neural architecture search without training: results"
    crate.description = (
        "Results of the workflow naswot: scores of untrained networks, searches by them, tables, figures and the "
        "report, with all that they were made from. `naswot verify` makes them again and compares."
    )
    # The date of the code, because the same content is to give the same bytes.
    crate.datePublished = facts["date"]
    crate.license = "MIT"
    code = {"version": facts["version"], **({"identifier": facts["commit"]} if facts["commit"] else {})}
    crate.add_dataset(folder / _CODE, _CODE, properties={"name": "the code, as it was", **code})
    for name in files_in(folder):
        facts = _facts_of(folder / name)
        if name == _WORKFLOW:
            properties = {"name": "the workflow", **code, **facts}
            crate.add_workflow(folder / name, name, main=True, lang="snakemake", properties=properties)
        elif name not in _DESCRIBING:
            crate.add_file(folder / name, name, properties=facts)
    for record in sorted(records, key=lambda record: str(record["output"]["values"][0])):
        _add_action(crate, record)
    crate.metadata.write(folder)


def check_crate(folder: Path) -> list[str]:
    """What the description of a folder lacks, a sentence each; raises ValueError for one that is no RO-Crate."""
    described = {unquote(entity.id): entity for entity in ROCrate(folder).data_entities}
    problems = [f"{name} is described but not there" for name in sorted(described) if not (folder / name).exists()]
    for name in files_in(folder):
        if name in _DESCRIBING:
            continue
        if name not in described:
            problems.append(f"{name} is not described")
        elif any(described[name].get(fact) != value for fact, value in _digest_of(folder / name).items()):
            problems.append(f"{name} has another size or SHA-256 than described")
    return problems


def _facts_of(path: Path) -> dict[str, str]:
    return {"encodingFormat": _TYPES.get(path.suffix, "application/octet-stream"), **_digest_of(path)}


def _digest_of(path: Path) -> dict[str, str]:
    return {"contentSize": str(path.stat().st_size), "sha256": sha256(path)}


def _add_action(crate: Any, record: Mapping[str, Any]) -> None:
    made, used = ([crate.get(quote(_entity(path))) for path in record[key]["values"]] for key in ("output", "input"))
    crate.add_action(
        crate.mainEntity,
        identifier=f"#{_entity(record['output']['values'][0])}",
        object=[entity for entity in used if entity is not None],
        result=[entity for entity in made if entity is not None],
        properties={"@type": "CreateAction", "name": str(record["rule"])},
    )


def _entity(path: str) -> str:
    return path.replace("<results>/", "results/", 1).replace("<code>/", "code/source/", 1)
