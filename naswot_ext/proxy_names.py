"""Proxies as a config names them: registered ones, a user's own, and aggregates of the ranks of others.

Imports no torch, because the Snakefile reads this at every start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from naswot_ext import user_proxies
from naswot_ext.registry import Registry

if TYPE_CHECKING:
    from naswot_ext.proxies import Proxy

# The same folder as the package's own registry, whose import would bring torch with it.
REGISTERED: Registry[Any] = Registry("proxy", "naswot_ext.proxies")

# Those that need the network only, or two images for their size.
_SHAPE = ("params", "flops", "units", "random")
# Those that one forward pass gives. Whoever wants one of them has all the others for next to nothing, so they are
# always scored together: comparing one more of them is then no reason to score again.
_FORWARD = ("naswot", "naswot_normalised")


@dataclass(frozen=True)
class Aggregate:
    """The ranks of several proxies (labels), combined as `naswot_ext.aggregates` says."""

    ranks: tuple[str, ...]
    how: str = "mean"


# What is scored under a label: the name that `find` takes, or an aggregate of other labels.
Definition = str | Aggregate


def label(entry: str | Mapping[str, Any]) -> str:
    """What an entry of `proxies` is called in files and tables.

    >>> label("my_proxies.py:depth"), label({"aggregate": {"ranks": ["naswot", "synflow"]}})
    ('depth', 'ranks-naswot-synflow')
    """
    if isinstance(entry, str):
        return user_proxies.label(entry) if user_proxies.is_user_proxy(entry) else entry
    made = entry["aggregate"]
    how = [] if made.get("how", "mean") == "mean" else [made["how"]]
    return str(made.get("name") or "-".join(["ranks", *how, *(label(member) for member in made["ranks"])]))


def definitions(entries: Iterable[str | Mapping[str, Any]]) -> dict[str, Definition]:
    """{label: definition} of entries of `proxies`, the members of aggregates included, in order."""
    found: dict[str, Definition] = {}
    for entry in entries:
        if isinstance(entry, str):
            found[label(entry)] = entry
        else:
            made = entry["aggregate"]
            found[label(entry)] = Aggregate(tuple(label(x) for x in made["ranks"]), made.get("how", "mean"))
            found = {**definitions(made["ranks"]), **found}
    return found


def group(name: str, wanted: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The proxies that a job scores `name` together with, and what the group is called; `wanted` is all of the run's.

    A proxy that costs more than one forward pass has a job of its own.
    """
    wanted = set(wanted)
    if name not in (*_SHAPE, *_FORWARD):
        return name, (name,)
    return ("forward", (*_FORWARD, *_SHAPE)) if wanted & set(_FORWARD) else ("shape", _SHAPE)


def find(name: str) -> Proxy:
    """The proxy of a name, registered or "my_file.py:function"; raises NaswotError where there is none."""
    if user_proxies.is_user_proxy(name):
        # Under the name that its files and rows have, whatever it calls itself.
        return replace(user_proxies.load(name), name=label(name))
    from naswot_ext.proxies import PROXIES

    return PROXIES.get(name)


def module_of(names: Iterable[str]) -> list[str]:
    """The modules that registered proxies are in, for a fingerprint."""
    return [REGISTERED.module(name) for name in names if not user_proxies.is_user_proxy(name)]


def digest_of(names: Sequence[str]) -> dict[str, str]:
    """{name: digest of its file} of the proxies that are a user's own."""
    return {name: user_proxies.digest(name) for name in names if user_proxies.is_user_proxy(name)}
