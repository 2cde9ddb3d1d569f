"""Regularised evolution, from a random population and from the best by score."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from naswot_ext import searches
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from naswot_ext.spaces.nasbench101 import Cell, parse
from tests.searches.budgets import SPACE, among, convolutions, recorded, scores, truth, whole_space

__all__ = ["whole_space"]


def test_each_child_is_a_neighbour_of_the_best_of_a_tournament_among_the_last_of_the_population(whole_space) -> None:
    accuracy = whole_space.trained["cifar10", 12].valid_accuracy
    # A tournament of 200 draws all four members.
    with recorded() as path:
        searches.run("rea", {"population": 4, "tournament": 200, "budget": 60}, whole_space, 1, seed=0)
    assert len(path) == 60
    for step in range(4, 60):
        population = path[step - 4 : step]
        parents = [position for position in population if accuracy[position] == accuracy[population].max()]
        assert any(path[step] in whole_space.neighbours(parent) for parent in parents)


def test_a_population_of_one_walks_at_random_even_downhill(whole_space) -> None:
    accuracy = whole_space.trained["cifar10", 12].valid_accuracy
    with recorded() as path:
        found = searches.run("rea", {"population": 1, "tournament": 1, "budget": 100}, whole_space, 1, seed=0)
    assert all(child in whole_space.neighbours(parent) for parent, child in itertools.pairwise(path))
    assert (np.diff(accuracy[path]) < 0).any()
    # What it reports is the first of the best that it has seen, not where it ended.
    assert found["arch_index"].iloc[0] == path[int(accuracy[path].argmax())]


def test_an_architecture_whose_neighbours_have_no_ground_truth_is_followed_by_a_random_one() -> None:
    # No two of these differ in one edge only.
    alone = [SPACE.decode([operation] * 6) for operation in range(5)]
    table = among(truth(alone, np.arange(5.0), np.ones(5)))
    with recorded() as path:
        searches.run("rea", {"population": 2, "tournament": 2, "budget": 300}, table, 1, seed=0)
    assert len(path) == 300
    # 60 expected each; five standard deviations of a binomial are 35.
    assert np.bincount(path, minlength=5).min() > 25


def test_in_a_space_of_listed_architectures_a_child_is_a_neighbour_however_the_list_writes_it() -> None:
    space = SPACES.get("nasbench101")
    parent = str(Cell(((), (0,), (1,), (0, 2)), ("input", "conv3x3-bn-relu", "conv1x1-bn-relu", "output")))
    neighbours = space.neighbours(parent)

    def with_unread_vertex(cell: str) -> str:
        """The same architecture with one vertex more that nothing reads, as NAS-Bench-101's lists have some."""
        sources, operations = (parse(cell).sources, parse(cell).operations)
        if len(operations) == 7:
            return cell
        return str(Cell((*sources[:-1], (), sources[-1]), (*operations[:-1], "maxpool3x3", "output")))

    listed = [with_unread_vertex(cell) for cell in (parent, *neighbours)]
    assert not set(listed) & set(neighbours)
    table = among(truth(listed, np.arange(float(len(listed))), np.ones(len(listed))), space=space.with_listing(listed))
    assert table.neighbours(0).tolist() == list(range(1, len(listed)))


def first_population(table, run_seed: int, count: int, size: int) -> list[int]:
    """Positions of the best scores of the draw (the scores are the numbers), best first."""
    return sorted(np.random.default_rng(run_seed).integers(len(table), size=count).tolist(), reverse=True)[:size]


def test_area_trains_the_best_scores_of_its_draw_first_and_pays_for_scoring() -> None:
    architectures = [SPACE.architecture(i) for i in range(500)]
    table = among(truth(architectures, convolutions(architectures), np.ones(500)))
    for number in range(5):
        with recorded() as path:
            found = searches.run("area", {"budget": 100}, table, [number], seed=0).iloc[0]
        assert path[:10] == first_population(table, found["seed"], 20, 10)
        # Twenty scores of half a second leave 90 trainings of one second.
        assert found["seconds"] == 100
        assert found["evaluations"] == len(path) == 90
    with recorded() as path:
        found = searches.run("area", {"n_samples": 5, "population": 3, "budget": 20}, table, 1, seed=1).iloc[0]
    assert path[:3] == first_population(table, found["seed"], 5, 3)


def test_scoring_seconds_that_nobody_knows_are_not_paid_for() -> None:
    architectures = [SPACE.architecture(i) for i in range(50)]
    known = truth(architectures, np.arange(50.0), np.ones(50))
    table = among(known, [scores(np.arange(50.0), seconds=np.nan)])
    assert (searches.run("area", {"budget": 30}, table, 3, seed=0)["evaluations"] == 30).all()


def test_scoring_that_uses_up_the_budget_leaves_nothing_to_find() -> None:
    architectures = [SPACE.architecture(i) for i in range(50)]
    table = among(truth(architectures, np.arange(50.0), np.ones(50)), [scores(np.arange(50.0), seconds=10)])
    found = searches.run("area", {"budget": 30}, table, 1, seed=0).iloc[0]
    assert found["arch_index"] == -1
    assert found["evaluations"] == 0


def test_a_failed_or_singular_architecture_is_never_among_areas_first_and_random_ones_fill_up() -> None:
    architectures = [SPACE.architecture(i) for i in range(40)]
    known = truth(architectures, np.arange(40.0), np.ones(40))
    # Only the lowest fifth of the scores counts.
    statuses = ["ok"] * 8 + ["failed", "singular"] * 16
    table = among(known, [scores(np.arange(40.0), statuses)])
    for number in range(10):
        with recorded() as path:
            found = searches.run("area", {"budget": 20}, table, [number], seed=0).iloc[0]
        drawn = np.random.default_rng(found["seed"]).integers(40, size=20)
        eligible = sorted((int(x) for x in drawn if x < 8), reverse=True)
        assert 0 < len(eligible) < 10
        assert path[: len(eligible)] == eligible
        assert len(path) == 10  # the population, filled up; scoring took the other ten seconds


def test_areas_runs_take_turns_at_the_score_tables_of_several_seeds() -> None:
    architectures = [SPACE.architecture(i) for i in range(50)]
    known = truth(architectures, np.arange(50.0), np.ones(50))
    table = among(known, [scores(np.arange(50.0)), scores(-np.arange(50.0))])
    firsts = []
    for number in range(4):
        with recorded() as path:
            searches.run("area", {"budget": 15}, table, [number], seed=0)
        firsts.append(path[0])
    assert min(firsts[::2]) > 30
    assert max(firsts[1::2]) < 20


@pytest.mark.parametrize(
    ("algorithm", "options", "reason"),
    [
        ("rea", {"population": 0}, "population is 0"),
        ("rea", {"tournament": 0}, "tournament is 0"),
        ("area", {"population": 21}, "n_samples is 20, less than the population of 21"),
        ("area", {"n_samples": 51}, "n_samples is 51, but 50 architectures were scored"),
    ],
)
def test_a_population_that_cannot_be_is_refused(algorithm: str, options: dict, reason: str) -> None:
    table = among(truth([SPACE.architecture(i) for i in range(50)], np.arange(50.0), np.ones(50)))
    with pytest.raises(NaswotError, match=reason):
        searches.run(algorithm, options, table, 1, seed=0)


def test_area_needs_scores() -> None:
    table = among(truth([SPACE.architecture(i) for i in range(50)], np.arange(50.0), np.ones(50)), [])
    with pytest.raises(NaswotError, match="The search area needs the scores of a proxy"):
        searches.run("area", {}, table, 1, seed=0)
