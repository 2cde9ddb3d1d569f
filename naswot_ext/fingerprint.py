"""Fingerprints of the library code behind a rule, so that Snakemake re-runs what a source change touches.

Snakemake compares a rule's `params`, not the modules its script imports. A rule that names its modules here
is re-run when any code that they reach changes, and only then: comments and docstrings do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path

_PACKAGE = "naswot_ext"
# Messages, look-ups and the writing of files: no number depends on them, and a better message is no reason to score
# for hours again. (The package itself re-exports lazily and is not followed either.)
_NUMBERLESS = {f"{_PACKAGE}.{name}" for name in ("errors", "files", "fingerprint", "registry")}
_BUILD_FACTS = Path(__file__).with_name("_build.json")


def build_fingerprint() -> str:
    """SHA-256 of the C++/CUDA sources that the extension was compiled from; "none" before a build."""
    if not _BUILD_FACTS.is_file():
        return "none"
    return str(json.loads(_BUILD_FACTS.read_text())["source_fingerprint"])


@functools.cache
def fingerprint(*modules: str) -> str:
    """A short digest of the code of `modules` and of every naswot_ext module that they import, compiled part included.

    Modules are dotted names, such as "naswot_ext.scoring". Imports no torch and runs none of the code.
    Raises ModuleNotFoundError for a module that does not exist.
    """
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting.extend(_imports(module))
    digest = hashlib.sha256()
    for module in sorted(reached):
        digest.update(f"{module}:{_code(module)}\n".encode())
    if f"{_PACKAGE}.ops" in reached:
        digest.update(build_fingerprint().encode())
    return digest.hexdigest()[:16]


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_source(module).read_text())


def _source(module: str) -> Path:
    """The file of a module, without importing the packages above it (which would bring torch with them)."""
    path = Path(__file__).parent.joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if module.startswith(f"{_PACKAGE}.") and file.is_file():
            return file
    raise ModuleNotFoundError(f"no module {module}")


def _is_module(name: str) -> bool:
    try:
        return bool(_source(name))
    except ModuleNotFoundError:
        return False


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """The naswot_ext modules that `module` imports anywhere in its code (functions included)."""
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found.update(n for n in names if n.startswith(f"{_PACKAGE}.") and n not in _NUMBERLESS and _is_module(n))
    return frozenset(found)


@functools.cache
def _code(module: str) -> str:
    tree = ast.parse(_source(module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    digest = hashlib.sha256(ast.dump(tree).encode())
    # Data that go with a module share its name: figures.py reads figures.mplstyle.
    source = _source(module)
    for beside in sorted(source.parent.glob(f"{source.stem}.*")):
        if beside != source:
            digest.update(beside.read_bytes())
    return digest.hexdigest()
