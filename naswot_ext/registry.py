"""Registries: one file a thing, found by its file name and imported only when asked for.

Importing lazily keeps the workflow's start fast (no torch to list names) and lets a rule's
fingerprint cover the one proxy that it runs instead of all of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
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
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        modules = (m.name for m in pkgutil.iter_modules(spec.submodule_search_locations))
        files = {m.replace("_", self._join) for m in modules if not m.startswith("_")}
        return sorted(files | set(self._entries))

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
        return f"{self.package}.{name.replace('-', '_')}"

    def get(self, name: str) -> Entry:
        """The entry called `name`; raises NaswotError with the nearest known name if there is none."""
        if name not in self._entries:
            importlib.import_module(self.module(name))
        return self._entries[name]
