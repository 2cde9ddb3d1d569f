"""The accuracies of analog-nasbench: whole, in the right order, and read without trusting the pickle."""

from __future__ import annotations

import os
import pickle

import pandas as pd
import pytest
from scipy.stats import kendalltau

from naswot_ext import benchmarks
from naswot_ext.benchmarks import analog_nasbench
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return benchmarks.convert("nasbench201", {"source": "analog-nasbench"})


def test_it_covers_the_space_with_test_accuracies(table: pd.DataFrame) -> None:
    assert table["arch_index"].tolist() == list(range(15_625))
    assert table["arch"].tolist() == [SPACES.get("nasbench201").architecture(i) for i in range(15_625)]
    assert table["test_accuracy"].max() == pytest.approx(94.07, abs=0.01)
    assert table["test_accuracy"].notna().all()
    assert table["valid_accuracy"].isna().all()


def test_it_ranks_as_nas_bench_201_itself_does(table: pd.DataFrame, real_data) -> None:
    # A wrong order of edges or operations would bring tau near zero; the published agreement is 0.926.
    official = pd.read_csv(real_data("nasbench201.csv.gz")).sort_values("index")
    tau = kendalltau(table["test_accuracy"], official["cifar10_test_200"]).statistic
    assert tau == pytest.approx(0.926, abs=0.001)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/naswot-was-here",)


def test_a_hostile_pickle_is_refused_by_name() -> None:
    with pytest.raises(NaswotError, match=r"asks for (posix|nt)\.system"):
        analog_nasbench.read(pickle.dumps({(0,) * 6: Hostile()}))


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps({1: 2})])
def test_another_file_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(NaswotError, match=r"cannot be (read|unpickled)"):
        analog_nasbench.read(data)
