"""Architectures are chosen as the papers say, by seed alone, and fewer of them are some of the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.experiments.choose import above, at_random, by_bands, by_percentile, choose
from tests.experiments.small import truth

ACCURACY = truth().set_index("arch_index")["valid_accuracy"]


def percentile(index: int) -> float:
    return 100 * float((ACCURACY.lt(ACCURACY[index])).sum()) / len(ACCURACY)


def test_ten_by_percentile_are_one_of_each_5_percent_from_the_median_up() -> None:
    chosen = by_percentile(ACCURACY, 10, 0)
    assert [int(percentile(i) // 5) for i in chosen] == list(range(10, 20))


def test_fewer_by_percentile_are_some_of_the_ten_and_reach_from_low_to_high() -> None:
    ten = by_percentile(ACCURACY, 10, 0).tolist()
    four = by_percentile(ACCURACY, 4, 0).tolist()
    assert [ten.index(i) for i in four] == [0, 3, 6, 9]
    assert by_percentile(ACCURACY, 1, 0).tolist() == ten[-1:]


def test_too_few_architectures_for_each_percentile_range_give_those_there_are(caplog: pytest.LogCaptureFixture) -> None:
    few = ACCURACY.iloc[:7]
    chosen = by_percentile(few, 10, 0)
    assert 0 < len(chosen) <= 4
    assert len(set(chosen)) == len(chosen)
    assert (few[chosen] >= few.median() - 1e-9).all()
    assert "too few" in caplog.text


def test_above_takes_only_better_ones_and_fewer_are_the_first_of_more() -> None:
    chosen = above(ACCURACY, 10, 0, threshold=90)
    assert (ACCURACY[chosen] > 90).all()
    assert len(set(chosen)) == 10
    assert above(ACCURACY, 3, 0, threshold=90).tolist() == chosen[:3].tolist()
    with pytest.raises(NaswotError, match=r"5000 architectures are to be chosen, and \d+ have an accuracy above 90 %"):
        above(ACCURACY, 5000, 0)
    with pytest.raises(NaswotError, match=r"and 0 have an accuracy above 99.95 %\. Give a larger ground truth"):
        above(ACCURACY, 1, 0, threshold=99.95)


def test_at_random_takes_each_once_and_fewer_are_the_first_of_more() -> None:
    everyone = at_random(ACCURACY, len(ACCURACY), 0)
    assert sorted(everyone) == sorted(ACCURACY.index)
    assert at_random(ACCURACY, 8, 0).tolist() == everyone[:8].tolist()
    with pytest.raises(NaswotError, match="200 have an accuracy"):
        at_random(ACCURACY, 201, 0)


def test_bands_hold_the_accuracies_that_they_are_called() -> None:
    bands = by_bands(ACCURACY, [60, 70, 80, 90], 5, 0)
    assert bands.value_counts().to_dict() == {
        "below 60 %": 5, "60 to 70 %": 5, "70 to 80 %": 5, "80 to 90 %": 5, "90 % and more": 5,
    }  # fmt: skip
    middle = ACCURACY[bands.index[bands == "70 to 80 %"]]
    assert middle.between(70, 80, inclusive="left").all()
    fewer = by_bands(ACCURACY, [60, 70, 80, 90], 2, 0)
    assert set(fewer.items()) < set(bands.items())


def test_an_accuracy_on_a_cut_is_in_the_band_above() -> None:
    bands = by_bands(pd.Series({3: 59.9, 4: 60.0, 5: 99.0}), [60], 5, 0)
    assert bands.to_dict() == {3: "below 60 %", 4: "60 % and more", 5: "60 % and more"}


def test_cuts_that_leave_a_band_empty_give_way_to_quantiles(caplog: pytest.LogCaptureFixture) -> None:
    good = pd.Series(np.linspace(92, 96, 100))
    bands = by_bands(good, [60, 70, 80, 90], 3, 0)
    assert bands.value_counts().tolist() == [3] * 5
    assert list(dict.fromkeys(bands)) == [
        "below 92.8 %", "92.8 to 93.6 %", "93.6 to 94.4 %", "94.4 to 95.2 %", "95.2 % and more",
    ]  # fmt: skip
    assert "equal numbers" in caplog.text


@pytest.mark.parametrize("by", ["percentile", "random", "above", "bands"])
def test_a_choice_is_that_of_its_seed_whatever_the_order_of_the_table_and_without_unknown_accuracies(by: str) -> None:
    options = {"cuts": [60, 90], "each": 4} if by == "bands" else {"count": 5}
    where = {"dataset": "cifar100", "split": "valid"}
    known = truth()
    known.loc[::7, "valid_accuracy"] = np.nan
    first = choose(known, by, **where, **options, seed=0)
    assert first["accuracy"].notna().all()
    assert first.equals(choose(known.sample(frac=1, random_state=1), by, **where, **options, seed=0))
    assert not first.equals(choose(known, by, **where, **options, seed=1))
    by_index = known.set_index("arch_index")
    assert first["arch"].tolist() == by_index.loc[first["arch_index"], "arch"].tolist()
    assert first["accuracy"].tolist() == by_index.loc[first["arch_index"], "valid_accuracy"].tolist()
    assert (first["band"] != "").all() == (by == "bands")


def test_what_the_ground_truth_has_not_is_one_error_that_says_what_it_has() -> None:
    with pytest.raises(NaswotError, match=r"no test accuracy on cifar100.*It has: cifar100 valid"):
        choose(truth(), "random", "cifar100", "test", count=1, seed=0)
    with pytest.raises(NaswotError, match="Unknown way of choosing"):
        choose(truth(), "band", "cifar100", "valid", count=1, seed=0)
    with pytest.raises(NaswotError, match="Give 1 to 10"):
        by_percentile(ACCURACY, 11, 0)
    with pytest.raises(NaswotError, match="ascend"):
        by_bands(ACCURACY, [70, 60], 1, 0)
