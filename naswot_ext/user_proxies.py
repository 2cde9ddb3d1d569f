"""A user's own proxies, named ``my_proxies.py:function`` wherever a proxy is named.

The function takes a network and `naswot_ext.proxies.Images` and returns a number. It may carry the facts of a `Proxy`
as attributes (``function.higher_is_better = False``), or be made one by ``@naswot_ext.proxies.proxy(...)``. Network and
images are copies of its own, and torch is as before when it has returned, whatever it did: no other score depends on
it, nor its own on which networks it scored before, as long as its random numbers are torch's.

Imports no torch, because the Snakefile reads this at every start.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import hashlib
import inspect
import keyword
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from naswot_ext.errors import NaswotError, one_line, shown, unknown
from naswot_ext.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from naswot_ext.proxies import Compute, Images, Proxy, Scored

# The same folder as the package's own registry, whose import would bring torch with it.
_REGISTERED: Registry[Any] = Registry("proxy", "naswot_ext.proxies")
# What a function may say of itself by attributes of these names.
_FACTS = {"title": str, "cost": str, "batch": str, "needs_labels": bool, "higher_is_better": bool}


class _Name(NamedTuple):
    file: str
    function: str


def is_user_proxy(spec: str) -> bool:
    """Whether a proxy's name is that of a function in a file: ``FILE.py:FUNCTION``."""
    return ".py:" in spec


def label(spec: str) -> str:
    """What such a proxy is called in files and tables: its function's name, which `check` holds to be one.

    >>> label("code/my_proxies.py:depth")
    'depth'
    """
    return spec.rpartition(":")[2]


def digest(spec: str) -> str:
    """SHA-256 of the proxy's file; raises NaswotError where it cannot be read."""
    return hashlib.sha256(_source(_read(spec).file)).hexdigest()


def check(spec: str) -> None:
    """Raise NaswotError where `load` would not find the function. Runs nothing of the file, and imports no torch."""
    file, function = _read(spec)
    try:
        names = set(_top_level(ast.parse(_source(file), file).body))
    except (SyntaxError, ValueError) as error:  # a ValueError of what is no text
        raise NaswotError(f"{file} is not valid Python: {one_line(error)}.") from error
    if function not in names and "*" not in names:
        raise unknown(f"function in {file}:", function, {name for name in names if not name.startswith("_")})


def load(spec: str) -> Proxy:
    """The proxy, called `label(spec)`; runs its file.

    Raises NaswotError where the file is missing, cannot be imported or has no such function, where that is not callable
    with (network, batch) or says something of itself that is none of a proxy's facts, and where its name is taken.
    """
    from naswot_ext.proxies import Proxy

    file, function = _read(spec)
    module = _run(str(Path(file).resolve()), digest(spec))
    if not hasattr(module, function):
        raise unknown(f"function in {file}:", function, [name for name in vars(module) if not name.startswith("_")])
    entry = getattr(module, function)
    if isinstance(entry, Proxy):
        if entry.name in _REGISTERED.names():
            raise _taken(spec, entry.name)
        _check_callable(spec, entry.compute)
        _facts(spec, entry)
        return replace(entry, name=function, compute=_on_its_own(file, entry.compute))
    _check_callable(spec, entry)
    facts = {"title": function, "cost": "a user's own", **_facts(spec, entry)}
    return Proxy(name=function, compute=_on_its_own(file, entry), **facts)


def _on_its_own(file: str, compute: Compute) -> Compute:
    """`compute`, so that nothing that it does outlasts it, and its errors say on which line of its file they arose."""

    def compute_on_its_own(network: nn.Module, batch: Images) -> Scored | float:
        images, labels, classes = batch
        own = type(batch)(images.clone(), None if labels is None else labels.clone(), classes)
        with _torch_as_before(network):
            try:
                return compute(copy.deepcopy(network), own)
            except NaswotError:
                raise
            # It may raise anything, or end as programs do, which would end the scoring of all other networks.
            except (Exception, SystemExit) as error:
                lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == name]
                where = f" ({file}, line {lines[-1]})" if lines else ""
                text = one_line(error) or "no message"
                raise NaswotError(f"{type(error).__name__}: {text}{where}") from error

    name = Path(file).name
    return compute_on_its_own


@contextlib.contextmanager
def _torch_as_before(network: nn.Module) -> Iterator[None]:
    """Gradients are on inside; afterwards torch's modes, precision, threads and random states are what they were."""
    import torch

    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    devices = {p.device.index for p in network.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices), torch.enable_grad():
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


@functools.cache
def _run(path: str, digest: str) -> ModuleType:
    """The module of a file, which runs once for as long as the file stays the same."""
    from naswot_ext.models import load_module
    from naswot_ext.proxies import PROXIES

    before = set(PROXIES._entries)
    try:
        return load_module(path)
    finally:
        # What @proxy registers there is known by the name of the file, too, or not at all.
        for name in set(PROXIES._entries) - before:
            if not PROXIES._entries[name].compute.__module__.startswith(f"{PROXIES.package}."):
                del PROXIES._entries[name]


def _read(spec: str) -> _Name:
    file, _, function = spec.rpartition(":")
    if not file.endswith(".py") or not function.isidentifier() or keyword.iskeyword(function):
        raise NaswotError(f"{shown(spec)} does not name a function in a file. Use my_proxies.py:function.")
    if function in _REGISTERED.names():
        raise _taken(spec, function)
    return _Name(file, function)


def _taken(spec: str, name: str) -> NaswotError:
    return NaswotError(f"{spec} has the name of the proxy {name}, which there is already. Rename the function.")


def _source(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise NaswotError(
            f"The proxy's file {file} cannot be read ({error.strerror}; looked for in {Path.cwd()}). Correct the path, "
            "which is relative to the working directory."
        ) from None


def _top_level(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a module's statements define; "*" where they come from elsewhere."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
            case ast.Assign() | ast.AnnAssign():
                yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
            case _:
                # if, try, with, for: names of the module, too.
                for part in ("body", "orelse", "finalbody", "handlers"):
                    for inner in getattr(statement, part, []):
                        yield from _top_level(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _check_callable(spec: str, function: Any) -> None:
    if not callable(function) or isinstance(function, type):
        raise NaswotError(f"{spec} is a {type(function).__name__}; name a function (network, batch) -> float.")
    try:
        inspect.signature(function).bind("network", "batch")
    except TypeError as error:
        raise NaswotError(
            f"{spec} cannot be called with (network, batch): {error}. A proxy takes these two and returns a number."
        ) from error
    except ValueError:
        pass  # written in C, without a signature


def _facts(spec: str, function: Any) -> dict[str, Any]:
    facts = {name: getattr(function, name) for name in _FACTS if hasattr(function, name)}
    for name, value in facts.items():
        if not isinstance(value, _FACTS[name]):
            expected = "True or False" if _FACTS[name] is bool else "a text"
            raise NaswotError(f"{spec} has the attribute {name} = {shown(value)}; it must be {expected}.")
    return facts
