"""How well scores rank architectures, by each of the field's measures, in many bootstrap draws at once.

- `kendall`: tau-b (Kendall 1945), and `spearman`: rho, the correlation of mid-ranks.
- `weighted_tau`: Vigna (WWW 2015), hyperbolic and additive: a pair weighs 1/r + 1/s, its architectures being the r-th
  and s-th most accurate, so that the order among the best counts most. Ranked by accuracy, equals by score; this is
  `scipy.stats.weightedtau(accuracy, score, rank=None)`.
- `ndcg`, `ndcg_100`: normalised discounted cumulative gain (Jarvelin and Kekalainen, TOIS 2002; for architectures Zhang
  et al., AceNAS, 2021) of the whole list and of its first 100. The discount of place p is 1 / log2(p + 1), the gain of
  an architecture the number of less accurate ones, equals counting half. Gains that follow the accuracy itself would
  let a space's few broken networks decide: beside 10%, 93% and 94% are one. Equal scores share the mean of their
  places (McSherry and Najork, ECIR 2008).
- `regret_1`, `regret_10`, `regret_100`: percentage points between the best accuracy there is and the best among the k
  of the highest score. Of equal scores at the k-th place as many as fit are drawn, and the regret is the mean over all
  such draws: what a search that breaks ties at random loses on average. Where there are fewer than k, k is all.
- `kendall_filtered`: tau-b as the reference code of Mellor et al. plots it: of the first `keep` architectures whose
  accuracy is at least `filter_below` percent. It leaves out what a score should tell apart first, so it is beside
  `kendall`, not instead of it.
- `partial_kendall`, `partial_spearman`, `partial_pearson`: of score and accuracy given the parameters: what the score
  knows beyond the size. Kendall's formula (Biometrika 1942) for tau-b, and the same for rho and r.

The interval of a regret is rough: a draw misses the best architecture about once in three times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from naswot_ext.statistics.bootstrap import FloatArray, IntArray
from naswot_ext.statistics.order import Concordance, Level, Order

TOP = (1, 10, 100)
MEASURES = (
    "kendall",
    "spearman",
    "weighted_tau",
    "ndcg",
    "ndcg_100",
    *(f"regret_{k}" for k in TOP),
    "kendall_filtered",
    "partial_kendall",
    "partial_spearman",
    "partial_pearson",
)


class Ranking:
    """Scores of several seeds [seeds, n] against accuracy [n]; n at least 1, nothing NaN.

    `filtered` [n] says which architectures `kendall_filtered` is of; without it, or without `params` [n], there are
    none of their measures.
    """

    def __init__(
        self,
        scores: FloatArray,
        accuracy: FloatArray,
        filtered: NDArray[np.bool_] | None = None,
        params: FloatArray | None = None,
    ) -> None:
        self._scores, self._accuracy, self._params = scores, accuracy, params
        self._y = Order(accuracy)
        self._x = [Order(row) for row in scores]
        self._xy = [Concordance(x, self._y) for x in self._x]
        # From the most accurate down, equals by falling score.
        self._best_first = [np.lexsort((-x.rank, -self._y.rank)) for x in self._x]
        self._z = None if params is None else Order(params)
        if self._z is not None:
            self._yz = Concordance(self._y, self._z)
            self._xz = [Concordance(x, self._z) for x in self._x]
        self._kept = np.array([], np.intp) if filtered is None else np.flatnonzero(filtered)
        self._filtered = Ranking(scores[:, self._kept], accuracy[self._kept]) if len(self._kept) else None

    def measure(self, m: IntArray) -> FloatArray:
        """The `MEASURES` of each draw, in which the architectures occur m [b, n] times: [measures, b].

        Each is the mean over the seeds; NaN where it is undefined.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            y = self._y.level(m)
            z = None if self._z is None else self._z.level(m)
            return np.mean([self._one(seed, m, y, z) for seed in range(len(self._x))], axis=0)

    def kendall(self, m: IntArray) -> FloatArray:
        """Only Kendall's tau-b of each seed in each draw: [seeds, b]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            y = self._y.level(m)
            found = []
            for order, concordance in zip(self._x, self._xy, strict=True):
                x = order.level(m)
                found.append(tau(m, concordance(m, x, y), x, y))
            return np.stack(found)

    def _one(self, seed: int, m: IntArray, y: Level, z: Level | None) -> FloatArray:
        x = self._x[seed].level(m)
        concordant = self._xy[seed](m, x, y)
        found = {
            "kendall": tau(m, concordant, x, y),
            "spearman": _spearman(m, x, y),
            "weighted_tau": tau(_hyperbolic(m, self._best_first[seed]), concordant, x, y),
            "ndcg": ndcg(m, x, y),
            "ndcg_100": ndcg(m, x, y, 100),
            **{f"regret_{k}": regret(m, x, self._accuracy, k) for k in TOP},
        }
        if self._filtered is not None:
            found["kendall_filtered"] = self._filtered.kendall(m[:, self._kept])[seed]
        if z is not None and self._params is not None:
            yz, xz = tau(m, self._yz(m, y, z), y, z), tau(m, self._xz[seed](m, x, z), x, z)
            found["partial_kendall"] = partial(found["kendall"], xz, yz)
            found["partial_spearman"] = partial(found["spearman"], _spearman(m, x, z), _spearman(m, y, z))
            u, v, w = (_centred(m, values) for values in (self._scores[seed], self._accuracy, self._params))
            found["partial_pearson"] = partial(_moment(m, u, v), _moment(m, u, w), _moment(m, v, w))
        undefined = np.full(len(m), np.nan)
        return np.stack([found.get(name, undefined) for name in MEASURES])


def tau(weight: NDArray[Any], concordant: IntArray, x: Level, y: Level) -> FloatArray:
    """Kendall's tau-b [b] where each pair weighs the sum of its two weights.

    `weight` [b, n] sums over an observation's occurrences; the occurrences themselves weigh one in the plain tau-b.
    """
    weight = weight.astype(np.float64)
    size = (x.below + x.equal).max(axis=1, keepdims=True)
    untied = [(weight * (size - level.equal)).sum(axis=1) for level in (x, y)]
    # The root of the product, not the product of roots: a perfect order is 1 to the last bit.
    return (weight * concordant).sum(axis=1) / np.sqrt(untied[0] * untied[1])


def ndcg(m: IntArray, x: Level, y: Level, k: int | None = None) -> FloatArray:
    """Normalised discounted cumulative gain [b] of the ranking by x, of its first k; gains are the ranks in y."""
    size = m.sum(axis=1, keepdims=True)
    discounts = 1 / np.log2(np.arange(2, size.max() + 2))
    if k is not None:
        discounts[k:] = 0
    up_to = np.concatenate([[0], np.cumsum(discounts)])
    gain = m * (y.below + (y.equal - 1) / 2)

    def gained(level: Level) -> FloatArray:
        places = up_to[size - level.below] - up_to[size - level.below - level.equal]
        return (gain * places / np.maximum(level.equal, 1)).sum(axis=1)

    return gained(x) / gained(y)


def regret(m: IntArray, x: Level, accuracy: FloatArray, k: int) -> FloatArray:
    """The best accuracy [b] of each draw, less the best among the k with the highest x (the mean over ties)."""
    size = m.sum(axis=1, keepdims=True)
    above = size - x.below - x.equal
    present = np.where(m > 0, accuracy, -np.inf)
    best = present.max(axis=1)
    sure = np.where(above + x.equal <= k, present, -np.inf).max(axis=1)
    lost = best - sure
    torn = (above < k) & (above + x.equal > k) & (m > 0)
    for draw in np.flatnonzero(torn.any(axis=1)):
        tied = np.flatnonzero(torn[draw])
        tied = tied[np.argsort(-accuracy[tied], kind="stable")]
        group, chosen = int(x.equal[draw, tied[0]]), k - int(above[draw, tied[0]])
        # The chance that none of the more accurate ones is among the chosen, and that none of these and itself is.
        before = np.concatenate([[0], np.cumsum(m[draw, tied])])
        none = np.exp(_log_choose(group - before, chosen) - _log_choose(np.array(group), chosen))
        lost[draw] = (none[:-1] - none[1:]) @ (best[draw] - np.maximum(accuracy[tied], sure[draw]))
    return lost


def partial(xy: FloatArray, xz: FloatArray, yz: FloatArray) -> FloatArray:
    """The correlation of x and y given z from those of the pairs; NaN where z orders x or y alone."""
    left = np.stack([1 - xz**2, 1 - yz**2])
    # What is left of a perfect correlation is rounding.
    left[left < 1e-12] = np.nan
    return (xy - xz * yz) / np.sqrt(left[0] * left[1])


def _spearman(m: IntArray, x: Level, y: Level) -> FloatArray:
    half = m.sum(axis=1, keepdims=True) / 2
    u, v = (level.below + level.equal / 2 - half for level in (x, y))
    return _moment(m, u, v)


def _moment(m: IntArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """The correlation [b] of centred u and v [b, n]."""
    mu = m * u
    return (mu * v).sum(axis=1) / np.sqrt((mu * u).sum(axis=1) * (m * v * v).sum(axis=1))


def _centred(m: IntArray, values: FloatArray) -> FloatArray:
    """Each draw's values less their mean, [b, n]; NaN where they are all equal or not finite."""
    if not np.isfinite(values).all():
        return np.full(m.shape, np.nan)
    # Of one unit, lest squares overflow.
    values = values / (np.abs(values).max() or 1)
    drawn = np.where(m > 0, values, np.nan)
    constant = np.nanmax(drawn, axis=1) == np.nanmin(drawn, axis=1)
    centred = values - (m @ values / m.sum(axis=1))[:, None]
    centred[constant] = np.nan
    return centred


def _hyperbolic(m: IntArray, best_first: NDArray[np.intp]) -> FloatArray:
    """The weights 1, 1/2, 1/3, ... of the first, second, third, ... in `best_first` [n], summed over occurrences."""
    ranks = np.concatenate([np.zeros((len(m), 1), np.int32), np.cumsum(m[:, best_first], axis=1)], axis=1)
    up_to = np.concatenate([[0], np.cumsum(1 / np.arange(1, ranks.max() + 1))])[ranks]
    weights = np.empty(m.shape)
    weights[:, best_first] = np.diff(up_to, axis=1)
    return weights


def _log_choose(n: NDArray[Any], k: int) -> FloatArray:
    """The logarithm of the number of ways to choose k of n; -inf where there is none."""
    ways = gammaln(np.maximum(n, k) + 1) - gammaln(k + 1) - gammaln(np.maximum(n, k) - k + 1)
    return np.where(n >= k, ways, -np.inf)
