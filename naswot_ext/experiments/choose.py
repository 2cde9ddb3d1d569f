"""Which architectures a measurement takes: by their accuracy, or at random among those that have one.

Sources: Mellor et al., ICML 2021, figures 1 (bands of accuracy), 5 (ten networks spread over the accuracies) and 6
(networks above 90 %); arXiv 2006.04647 version 1, figures 1 and 4 (8 at random).

Everywhere `accuracy` is percent float64 by `arch_index`; architectures whose accuracy is NaN are never chosen. What is
drawn does not depend on the order of the table.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from naswot_ext.errors import NaswotError, unknown
from naswot_ext.seeds import derive
from naswot_ext.truth import final_accuracies

log = logging.getLogger(__name__)

_BANDS = 20  # of 5 % of the architectures each
_WANTED = range(10, 20)  # those from the median up


def choose(truth: pd.DataFrame, by: str, dataset: str, split: str, **options: Any) -> pd.DataFrame:
    """The chosen architectures: a row each with arch_index, arch, accuracy (percent) and band (empty but for "bands").

    Args:
        truth: the ground truth, as `naswot_ext.benchmarks` makes it.
        by: "percentile", "random", "above" or "bands": a function of this file.
        dataset: whose accuracy after the longest training.
        split: "valid" or "test".
        options: the other arguments of that function.

    Raises:
        NaswotError: an unknown way, an accuracy that the ground truth has not, or fewer architectures than wanted.
    """
    ways: dict[str, Callable[..., Any]] = {
        "percentile": by_percentile,
        "random": at_random,
        "above": above,
        "bands": by_bands,
    }
    if by not in ways:
        raise unknown("way of choosing architectures", by, ways)
    known = final_accuracies(truth)
    if (dataset, split) not in known:
        there = ", ".join(" ".join(each) for each in known) or "none"
        raise NaswotError(
            f"The ground truth has no {split} accuracy on {dataset}, by which architectures are to be chosen. It has: "
            f"{there}. Choose by one of these, or give a table that has it."
        )
    accuracy = known[dataset, split]
    chosen = ways[by](accuracy, **options)
    bands = chosen if by == "bands" else pd.Series("", index=chosen)
    names = truth.drop_duplicates("arch_index").set_index("arch_index")["arch"]
    index: Any = bands.index.to_numpy(np.int64)
    return pd.DataFrame(
        {
            "arch_index": index.astype(np.int32),
            "arch": names.loc[index].to_numpy(),
            "accuracy": accuracy.loc[index].to_numpy(np.float64),
            "band": bands.to_numpy(),
        }
    )


def by_percentile(accuracy: pd.Series, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Up to ten architectures, one at random from each 5 % of them from the median of the accuracies up, lowest first.

    The paper says "one for each 5 % percentile range from 50-55 % to 95-100 %": ranges of percentiles, because no
    accuracy on CIFAR-100, which it takes, is above 74 %. A smaller count leaves ranges out and changes no draw; so do
    too few architectures for one in each range.

    Raises NaswotError for a count that is not 1 to 10, or where no architecture has an accuracy.
    """
    if not 1 <= count <= len(_WANTED):
        raise NaswotError(f"{count} architectures are to be chosen by percentile. Give 1 to {len(_WANTED)}.")
    ranked = _known(accuracy).sort_values(kind="stable").index.to_numpy(np.int64)
    # The highest range first, so that one architecture is one of the best.
    wanted = sorted({_WANTED[-1] - round(place) for place in np.linspace(0, len(_WANTED) - 1, count)})
    chosen = []
    for band in wanted:
        inside = ranked[len(ranked) * band // _BANDS : len(ranked) * (band + 1) // _BANDS]
        if len(inside):
            chosen.append(_shuffled(inside, seed, "percentile", band)[0])
    if len(chosen) < count:
        log.warning("%d architectures are too few for one in each of %d percentile ranges", len(ranked), count)
    return np.array(chosen, np.int64)


def at_random(accuracy: pd.Series, count: int, seed: int) -> npt.NDArray[np.int64]:
    """`count` architectures at random, each once; a smaller count gives the first of these.

    Raises NaswotError where there are fewer.
    """
    return _first(_known(accuracy).index.to_numpy(np.int64), count, seed, "random", "have an accuracy")


def above(accuracy: pd.Series, count: int, seed: int, threshold: float = 90.0) -> npt.NDArray[np.int64]:
    """`count` architectures at random of those with an accuracy above `threshold` percent.

    A smaller count gives the first of these. Raises NaswotError where there are fewer.
    """
    known = _known(accuracy)
    better = known[known > threshold].index.to_numpy(np.int64)
    return _first(better, count, seed, "above", f"have an accuracy above {threshold:g} %")


def by_bands(accuracy: pd.Series, cuts: Sequence[float], each: int, seed: int) -> pd.Series:
    """Up to `each` architectures at random from each band of accuracy between `cuts` (percent, ascending).

    The band, in words, by `arch_index`: the lowest band first. A smaller `each` gives the first of each band. Where
    the cuts leave a band empty, as those of NAS-Bench-201 do in spaces whose networks are all good, quantiles that
    make as many bands of equal numbers take their place.

    Raises NaswotError where cuts do not ascend, `each` is less than 1 or no architecture has an accuracy.
    """
    cuts = [float(cut) for cut in cuts]
    if each < 1 or cuts != sorted(set(cuts)):
        raise NaswotError(f"Bands need `each` of at least 1 and `cuts` that ascend, not {each} and {cuts}.")
    known = _known(accuracy)
    bands = np.searchsorted(cuts, known.to_numpy(np.float64), side="right")
    if len(np.unique(bands)) <= len(cuts):
        # Rounded first, so that what a band is called is what it is.
        quantiles = np.quantile(known, np.arange(1, len(cuts) + 1) / (len(cuts) + 1))
        log.warning("No accuracy is in some of the bands cut at %s %%: bands of equal numbers are taken", cuts)
        cuts = sorted({round(float(cut), 1) for cut in quantiles})
        bands = np.searchsorted(cuts, known.to_numpy(np.float64), side="right")
    found: dict[int, str] = {}
    for band, name in enumerate(_names(cuts)):
        inside = known.index.to_numpy(np.int64)[bands == band]
        found |= dict.fromkeys(_shuffled(inside, seed, "band", band)[:each].tolist(), name)
    return pd.Series(found, dtype="object")


def _names(cuts: Sequence[float]) -> list[str]:
    if not cuts:
        return ["all"]
    between = [f"{low:g} to {high:g} %" for low, high in itertools.pairwise(cuts)]
    return [f"below {cuts[0]:g} %", *between, f"{cuts[-1]:g} % and more"]


def _known(accuracy: pd.Series) -> pd.Series:
    known = accuracy.dropna().sort_index()
    if known.empty:
        raise NaswotError("No architecture has an accuracy by which it could be chosen. Give a larger ground truth.")
    return known


def _first(among: npt.NDArray[np.int64], count: int, seed: int, what_for: str, which: str) -> npt.NDArray[np.int64]:
    if not 1 <= count <= len(among):
        less = f"Choose 1 to {len(among)}, or give" if len(among) else "Give"
        raise NaswotError(
            f"{count} architectures are to be chosen, and {len(among)} {which}. {less} a larger ground truth."
        )
    return _shuffled(among, seed, what_for)[:count]


def _shuffled(among: npt.NDArray[np.int64], seed: int, *what_for: str | int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(derive(seed, "choose", *what_for)).permutation(among)
