"""The software that results were made with: installed versions, and a lock file of wheels with hashes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

_PROJECT = "naswot"
# What installing adds or rewrites, so that it differs from machine to machine.
_ADDED = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")


def packages(lock: Path) -> list[dict[str, Any]]:
    """Every installed distribution: name, version, the hashes of its wheels and where they are from.

    What an index calls the SHA-256 of a wheel is not kept when the wheel is installed. It is taken from the lock file
    `lock` of the repository, written with an index at hand, where that has the same version (all files of the version
    that the index has, for whichever platform), else from the installer's own note of a file it was given
    (`direct_url.json`, PEP 610). `record_sha256` is known without either: the digest of the wheel's list of files with
    their hashes, as installed.
    """
    locked = read_lock(lock)
    found: dict[str, dict[str, Any]] = {}
    for distribution in importlib.metadata.distributions():
        name, version = distribution.name, distribution.version
        if not name or normalised(name) in found or normalised(name) == _PROJECT:
            continue  # the first on the path is the one that is imported; the project's own code is archived itself
        hashes, source = locked.get((normalised(name), version), []), "lock file of the repository"
        if not hashes:
            hashes, source = _direct(distribution), "installed from a file"
        found[normalised(name)] = {
            "name": name,
            "version": version,
            "hashes": hashes,
            "hashes_from": source if hashes else "unknown: no index was asked",
            "record_sha256": _record_digest(distribution),
        }
    return [found[name] for name in sorted(found)]


def read_lock(lock: Path) -> dict[tuple[str, str], list[str]]:
    """{(normalised name, version): hashes as "sha256:..."} of a requirements file; empty where there is none."""
    if not lock.is_file():
        return {}
    found = {}
    for requirement in lock.read_text().replace("\\\n", " ").splitlines():
        match = re.match(r"([\w.-]+)==([^\s;]+)", requirement)
        if match:
            found[normalised(match[1]), match[2]] = sorted(re.findall(r"--hash=(\S+)", requirement))
    return found


def normalised(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def freeze(found: list[dict[str, Any]]) -> str:
    """The packages as `pip freeze` lists them, without paths."""
    return "".join(f"{package['name']}=={package['version']}\n" for package in found)


def lock_text(found: list[dict[str, Any]]) -> str:
    """The packages as a requirements file with hashes; one without is a comment that says so."""
    lines = ["# pip install --require-hashes --no-deps -r requirements.lock"]
    for package in found:
        pinned = f"{package['name']}=={package['version']}"
        if package["hashes"]:
            lines.append(" \\\n    ".join([pinned, *(f"--hash={each}" for each in package["hashes"])]))
        else:
            lines.append(
                f"# {pinned}: hash {package['hashes_from']}; its files as installed: {package['record_sha256']}"
            )
    return "\n".join(lines) + "\n"


def _direct(distribution: importlib.metadata.Distribution) -> list[str]:
    text = distribution.read_text("direct_url.json")
    info = json.loads(text).get("archive_info", {}) if text else {}
    return sorted(f"{kind}:{value}" for kind, value in info.get("hashes", {}).items())


def _record_digest(distribution: importlib.metadata.Distribution) -> str | None:
    kept = sorted(
        f"{file.as_posix()},{file.hash.mode}={file.hash.value}"
        for file in distribution.files or []
        if file.hash and ".." not in file.parts and file.name not in _ADDED
    )
    return hashlib.sha256("\n".join(kept).encode()).hexdigest() if kept else None
