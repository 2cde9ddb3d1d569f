"""Funnel: many architectures by a proxy that costs next to nothing, the best of them by one that looks at images.

A training-free search of this project's own. Of N architectures, drawn without replacement, the `keep` with the highest
`first` score are scored with `proxies`, and the one with the highest mean rank among these is the result. It rests on
two findings: the number of parameters ranks large networks about as well as NASWOT's score does (Lee and Ham, AZ-NAS,
CVPR 2024, table 1), and the two err on different architectures, so their ranks together rank better than either.

Options: `n_samples`, N ("all" for all that were drawn); `keep` (100); `first` (params), a proxy that needs only the
network, which is built without values; `first_network`, network options for it: in a space of cells, networks of one
cell a stage have the order that those of five have, and are built in a fifth of the time; `proxies` ([naswot, params]).
Runs differ by their draw, if any, and by the networks' initialisation; the images are the same.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch

from naswot_ext import devices
from naswot_ext.aggregates import aggregate
from naswot_ext.errors import NaswotError, one_line
from naswot_ext.proxies import Images
from naswot_ext.proxy_names import find
from naswot_ext.sampling import sample_architectures
from naswot_ext.scoring import Engine, in_flight_on
from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting, best
from naswot_ext.searches._live import batch_of

_SAY_EVERY = 2000


def funnel(setting: Setting) -> Outcome:
    """One run; a network that fails or is singular by one of the proxies is never chosen."""
    start = time.perf_counter()
    drawn = sample_architectures(setting.sampled, setting.options.get("n_samples", "all"), setting.seed)
    by_first = _by_network(setting, drawn)
    # Equal ones, which small spaces have many of, in the order of the draw.
    kept = drawn[np.argsort(-by_first, kind="stable")[: setting.options.get("keep", 100)]]
    names = setting.options.get("proxies", ["naswot", "params"])
    batch = batch_of(setting, names)
    engine = Engine(setting.space, [find(name) for name in names], batch, setting.seed, setting.device)
    scores = np.full((len(names), len(kept)), np.nan)
    rows = (row for chunk in engine.score(kept, in_flight_on(setting.device)) for row in chunk)
    for number, row in enumerate(rows):
        if row["status"] == "ok":
            scores[number % len(names), number // len(names)] = row["score"]
    devices.synchronise(setting.device)
    found = best(aggregate(scores), kept)
    arch = setting.space.architecture(found) if found >= 0 else ""
    return Outcome(arch, time.perf_counter() - start, len(kept))


def _by_network(setting: Setting, drawn: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The first score of each architecture [N], of networks that have shapes but no values.

    Raises NaswotError for a proxy that needs values or labels.
    """
    proxy = find(setting.options.get("first", "params"))
    space = setting.space.with_network(**setting.options.get("first_network", {}))
    batch = Images(torch.empty(2, *setting.images.shape[1:], device="meta"), None, setting.classes)
    scores = np.empty(len(drawn))
    for i, index in enumerate(drawn.tolist()):
        with torch.device("meta"):
            network = space.build(space.architecture(index), setting.classes)
        try:
            scores[i] = proxy.score(network, batch).score
        except (NaswotError, RuntimeError) as error:
            raise NaswotError(
                f"The search funnel cannot rank by {proxy.name} first: {one_line(error)} (architecture {index}). "
                "`first` takes a proxy that needs only the network's shapes, such as params or flops."
            ) from error
        if (i + 1) % _SAY_EVERY == 0:
            setting.say(f"run {setting.number}: {i + 1} of {len(drawn)} by {proxy.name}")
    return scores


SEARCHES.register("funnel")(NetworkSearch(funnel, needs_labels=False))
