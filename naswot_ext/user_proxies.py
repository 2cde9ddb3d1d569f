"""A user's own proxies: functions in files of their own, named ``my_proxies.py:function`` wherever a proxy is named.

The function takes a network and `naswot_ext.proxies.Images` and returns one number, higher is better unless it says
otherwise by an attribute (``function.higher_is_better = False``; likewise `needs_labels`, `title`, `cost`, `batch`); or
it was made with `naswot_ext.proxies.proxy`. Imports no torch, because the Snakefile reads this at every start.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from naswot_ext.errors import NaswotError, one_line, unknown
from naswot_ext.registry import Registry

if TYPE_CHECKING:
    from naswot_ext.proxies import Proxy

_REGISTERED: Registry[Proxy] = Registry("proxy", "naswot_ext.proxies")
_FACTS = ("title", "cost", "batch", "needs_labels", "higher_is_better")


def is_user_proxy(name: str) -> bool:
    """Whether a name is of the form FILE.py:FUNCTION."""
    return ".py:" in name


def label(name: str) -> str:
    """What a user's proxy is called in files and tables: its function."""
    return name.rpartition(":")[2]


def digest(name: str) -> str:
    """SHA-256 of the proxy's file; raises NaswotError where there is none."""
    return hashlib.sha256(_read(name)).hexdigest()


def check(name: str) -> None:
    """Raise NaswotError where FILE.py:FUNCTION can be seen to be wrong without running the file."""
    source, function = _read(name), label(name)
    if not function.isidentifier():
        raise NaswotError(f"{name} does not name a function. Write it as my_proxies.py:my_function.")
    try:
        names = set(_top_level_names(ast.parse(source)))
    except (SyntaxError, ValueError) as error:
        raise NaswotError(f"{_file(name)} is no Python file: {one_line(error)}") from None
    if "*" not in names and function not in names:
        raise unknown(f"name in {_file(name)}:", function, sorted(names))
    if function in _REGISTERED.names():
        raise NaswotError(f"{name} has the name of a proxy that naswot has already. Give your function another name.")


def load(name: str) -> Proxy:
    """The proxy that FILE.py:FUNCTION names; raises NaswotError where there is none, or the file cannot be run."""
    from naswot_ext.proxies import Proxy

    check(name)
    function = getattr(_module(str(Path(_file(name)).resolve()), digest(name)), label(name), None)
    if isinstance(function, Proxy):
        return function
    if not callable(function) or isinstance(function, type):
        raise NaswotError(f"{name} is a {type(function).__name__}; it must be a function of (network, batch).")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        raise NaswotError(f"{name} cannot be called with (network, batch): {error}.") from None
    except ValueError:
        pass  # a function in C says nothing about itself
    facts = {key: getattr(function, key) for key in _FACTS if hasattr(function, key)}
    return Proxy(**{"name": label(name), "title": label(name), "cost": "a user's own", "compute": function, **facts})


@functools.cache
def _module(path: str, digest: str) -> ModuleType:
    """The module in a file; run once as long as the file stays the same, since it may register things."""
    from naswot_ext.models import load_module

    return load_module(path)


def _file(name: str) -> str:
    return name.rpartition(":")[0]


def _read(name: str) -> bytes:
    try:
        return Path(_file(name)).read_bytes()
    except OSError as error:
        raise NaswotError(
            f"The proxy's file {_file(name)} cannot be read ({error.strerror}; looked for in {Path.cwd()}). Correct the "
            "path, which is relative to the working directory."
        ) from None


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    """Names that a file defines, assigns or imports at its top level; "*" where it imports whatever there is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
