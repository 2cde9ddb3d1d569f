"""Registries: one file a thing, found by its file name and imported only when asked for.

A file that holds a family of things (`nds.py`: nds-darts, nds-enas, ...) says so in a literal ``MEMBERS = (...)`` at
its top level, which is read without importing it.

Importing lazily keeps the workflow's start fast (no torch to list names) and lets a rule's
fingerprint cover the one proxy that it runs instead of all of them.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from naswot_ext.errors import NaswotError, unknown

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """The `kind`s of a package: ``package/my_name.py`` registers "my_name" (or "my-name" with `dashes`)."""

    def __init__(self, kind: str, package: str, dashes: bool = False) -> None:
        self.kind = kind
        self.package = package
        self._join = "-" if dashes else "_"
        self._entries: dict[str, Entry] = {}

    def names(self) -> list[str]:
        """The known names, sorted, without importing what they name."""
        return sorted({*self._modules(), *self._entries})

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator: file an entry under `name`; raises NaswotError where another one has it already."""

        def add(entry: Entry) -> Entry:
            if name in self._entries:
                raise NaswotError(f"Two {self.kind}s are called {name!r}; rename one of them.")
            self._entries[name] = entry
            return entry

        return add

    def module(self, name: str) -> str:
        """The dotted module that registers `name`; raises NaswotError with the nearest name if there is none."""
        if name not in self.names():
            raise unknown(self.kind, name, self.names())
        return f"{self.package}.{self._modules().get(name, name.replace('-', '_'))}"

    def get(self, name: str) -> Entry:
        """The entry called `name`; raises NaswotError with the nearest known name if there is none."""
        if name not in self._entries:
            importlib.import_module(self.module(name))
        return self._entries[name]

    def _modules(self) -> dict[str, str]:
        """{name: the module of the package that registers it}."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        found: dict[str, str] = {}
        for folder in spec.submodule_search_locations:
            found |= _modules_in(folder, Path(folder).stat().st_mtime_ns, self._join)
        return found


@functools.cache
def _modules_in(folder: str, changed: int, join: str) -> dict[str, str]:
    """{name: module} of a folder as it was when it `changed`: the workflow asks for names thousands of times."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules([folder]):
        if not module.name.startswith("_"):
            own_name = module.name.replace("_", join)
            members = _members(Path(folder, f"{module.name}.py")) or (own_name,)
            found |= dict.fromkeys(members, module.name)
    return found


@functools.cache
def _members(source: Path) -> tuple[str, ...]:
    """The names in a file's ``MEMBERS = (...)``; none where it has no such line."""
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["MEMBERS"]:
            return tuple(ast.literal_eval(node.value))
    return ()
