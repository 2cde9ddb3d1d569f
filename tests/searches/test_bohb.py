"""BOHB: the brackets and the model of the official protocol, and Hyperband over lengths of training."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from naswot_ext import searches
from naswot_ext.errors import NaswotError
from naswot_ext.searches._budget import Budget
from naswot_ext.searches.bohb import Density, Model
from tests.searches.budgets import SPACE, among, convolutions, recorded, truth, whole_space

__all__ = ["whole_space"]

COUNT = 300
ARCHITECTURES = [SPACE.architecture(i) for i in range(COUNT)]


def test_the_brackets_halve_nine_to_one_three_to_one_and_take_three_and_pay_for_every_rung() -> None:
    accuracy = np.random.default_rng(0).permutation(COUNT).astype(float)
    table = among(truth(ARCHITECTURES, accuracy, np.ones(COUNT)))

    def best(positions: list[int], count: int) -> list[int]:
        # In the order in which they were evaluated; one may have been drawn twice.
        kept = sorted(range(len(positions)), key=lambda place: -accuracy[positions[place]])[:count]
        return [positions[place] for place in sorted(kept)]

    better_but_not_promoted = 0
    for number in range(20):
        with recorded() as path:
            # Two rounds of three brackets, and the first rung of a seventh.
            found = searches.run("bohb", {"budget": 49}, table, [number], seed=0).iloc[0]
        assert len(path) == found["evaluations"] == 49
        lasts = []
        for start in (0, 20):
            nine, three, one = path[start : start + 9], path[start + 9 : start + 12], path[start + 12]
            assert three == best(nine, 3)
            assert [one] == best(three, 1)
            three, second = path[start + 13 : start + 16], path[start + 16]
            assert [second] == best(three, 1)
            lasts += [one, second, *path[start + 17 : start + 20]]
        # The result is the best that was on the last rung.
        assert found["arch_index"] == max(lasts, key=lambda position: accuracy[position])
        better_but_not_promoted += accuracy[path].max() > accuracy[found["arch_index"]]
    assert 0 < better_but_not_promoted < 20


def test_a_run_that_no_architecture_ends_on_the_last_rung_gives_the_best_seen() -> None:
    table = among(truth(ARCHITECTURES, np.arange(float(COUNT)), np.ones(COUNT)))
    with recorded() as path:
        found = searches.run("bohb", {"budget": 7}, table, 1, seed=0)
    assert found["arch_index"].iloc[0] == max(path)


def test_the_density_is_the_product_kernel_of_aitchison_and_aitken() -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(4, size=(12, 3))
    density = Density(data, 0.3)
    bandwidth = [max(0.3, 1.06 * float(np.std(data[:, d])) * 12 ** (-1 / 7)) for d in range(3)]
    np.testing.assert_allclose(density.bandwidth, bandwidth, rtol=1e-12)
    points = rng.integers(4, size=(5, 3))
    for point, value in zip(points, density(points), strict=True):
        expected = 0.0
        for row in data:
            kernels = [
                1 - bandwidth[d] if row[d] == point[d] else bandwidth[d] / (len(set(data[:, d])) - 1) for d in range(3)
            ]
            expected += math.prod(kernels) / 12
        assert value == pytest.approx(expected, rel=1e-12)


def test_a_category_that_the_data_has_not_is_infinitely_dense_beside_a_single_one() -> None:
    density = Density(np.array([[0, 1], [0, 2], [0, 3]]), 0.3)
    assert density(np.array([[1, 1]]))[0] == math.inf
    assert math.isfinite(density(np.array([[0, 1]]))[0])


def add(model: Model, rung: int, options: tuple[int, int], accuracy: float, count: int) -> None:
    """Evaluations of architectures with none but these two operations."""
    for codes in np.random.default_rng(rung).choice(options, size=(count, 6)):
        model.add(rung, SPACE.index(SPACE.decode(codes.tolist())), accuracy)


def proposed(model: Model, options: tuple[int, int]) -> float:
    """The share of these two operations in what the model proposes."""
    rng = np.random.default_rng(1)
    return float(np.mean([np.isin(SPACE.encode(SPACE.architecture(model.propose(rng))), options) for _ in range(200)]))


def test_the_model_proposes_what_was_good_on_the_highest_rung_that_has_enough_of_good_and_others(whole_space) -> None:
    def model(**options: float) -> Model:
        return Model(Budget("bohb", whole_space, {}), 3, options)

    # Two of five operations are 0.4 of random architectures; its standard error here is 0.014.
    learning = model()
    add(learning, 0, (2, 3), 60.0, 7)
    add(learning, 0, (0, 1), 10.0, 6)
    assert proposed(learning, (2, 3)) == pytest.approx(0.4, abs=0.07)  # 14 make a model: 7 good and 7 others
    add(learning, 0, (0, 1), 10.0, 40)
    assert proposed(learning, (2, 3)) > 0.75
    add(learning, 2, (0, 1), 60.0, 7)
    assert proposed(learning, (2, 3)) > 0.75
    add(learning, 2, (3, 4), 10.0, 7)
    assert proposed(learning, (2, 3)) < 0.3
    assert proposed(learning, (0, 1)) > 0.7

    random = model(random_fraction=1.0)
    add(random, 0, (2, 3), 60.0, 7)
    add(random, 0, (0, 1), 10.0, 40)
    assert proposed(random, (2, 3)) == pytest.approx(0.4, abs=0.07)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"protocol": "offical"}, "protocol of the search bohb 'offical'. Did you mean 'official'"),
        ({"eta": 1}, "eta is 1"),
        ({"rungs": 0}, "rungs is 0"),
        (
            {"protocol": "hyperband"},
            "two or more lengths up to 12 epochs. mine.csv has only 12. .* `protocol: official`",
        ),
    ],
)
def test_options_that_make_no_bohb_are_refused(options: dict, reason: str) -> None:
    table = among(truth(ARCHITECTURES, np.arange(float(COUNT)), np.ones(COUNT)))
    with pytest.raises(NaswotError, match=reason):
        searches.run("bohb", options, table, 1, seed=0)


@pytest.fixture(scope="module")
def lengths() -> searches.Candidates:
    """All of NAS-Bench-201 with trainings of 1, 4 and 12 epochs, one second an epoch."""
    everything = [SPACE.architecture(i) for i in range(len(SPACE))]
    return among(truth(everything, convolutions(everything), np.full(len(SPACE), 12.0), lengths=(1, 4, 12)))


def test_hyperband_pays_for_the_part_of_a_training_that_is_new_and_stops_some_of_them(lengths, monkeypatch) -> None:
    paid: list[float] = []
    pay = Budget.pay
    monkeypatch.setattr(Budget, "pay", lambda self, seconds: pay(self, seconds) and (paid.append(seconds) or True))
    found = searches.run("bohb", {"protocol": "hyperband", "budget": 400}, lengths, 1, seed=0).iloc[0]
    assert set(paid) == {1.0, 3.0, 8.0}
    assert found["seconds"] == sum(paid) <= 400
    assert found["evaluations"] == len(paid)
    # A training goes on only from the length before it.
    for before, after in itertools.pairwise(paid):
        assert after == 1 or after == {1: 3, 3: 8}.get(before)
    assert paid.count(1.0) > paid.count(3.0) > paid.count(8.0) > 0


def test_hyperband_is_deterministic_and_better_than_random_search(lengths) -> None:
    options = {"protocol": "hyperband", "budget": 600}
    together = searches.run("bohb", options, lengths, 4, seed=0)
    assert together.loc[[2]].reset_index(drop=True).equals(searches.run("bohb", options, lengths, [2], seed=0))
    random = searches.run("rs", {"budget": 600}, lengths, 40, seed=0)
    assert together["cifar10_valid"].mean() > random["cifar10_valid"].mean() + 5


def test_hyperband_passes_over_what_lacks_one_of_the_lengths() -> None:
    known = truth(ARCHITECTURES, np.arange(float(COUNT)), np.full(COUNT, 12.0), lengths=(1, 4, 12))
    known.loc[(known["epochs"] == 4) & (known["arch_index"] >= 200), "valid_accuracy"] = np.nan
    found = searches.run("bohb", {"protocol": "hyperband", "budget": 100}, among(known), 3, seed=0)
    assert found["arch_index"].between(0, 199).all()
