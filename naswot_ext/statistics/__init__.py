"""How well a score ranks architectures, and whether one score or search is better than another.

What counts everywhere: a higher score is better; a singular architecture (score -inf) has the worst rank, tied with
every other singular one; a failed architecture has no score, so it is left out and counted. With several seeds, or
several proxies compared, one failure leaves it out of all of them, so that all numbers are of the same architectures.

What is undefined (fewer than 3 architectures, or scores or accuracies that are all equal) is NaN with its reason,
never an exception: it must not stop a run that has other results.
"""

from naswot_ext.statistics.comparison import holm, proxy_tests, search_tests
from naswot_ext.statistics.correlation import Correlation, Estimate, correlate, kendall, spearman
from naswot_ext.statistics.mean_ranks import MeanRanks, mean_ranks, search_win_rates
from naswot_ext.statistics.measures import MEASURES, TOP
from naswot_ext.statistics.pairing import Paired, pair

__all__ = [
    "MEASURES",
    "TOP",
    "Correlation",
    "Estimate",
    "MeanRanks",
    "Paired",
    "correlate",
    "holm",
    "kendall",
    "mean_ranks",
    "pair",
    "proxy_tests",
    "search_tests",
    "search_win_rates",
    "spearman",
]
