"""The claims of the 2020 paper's text, on small tables whose ranks can be counted and on the real ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from naswot_ext.benchmarks.table import table as read_truth
from naswot_ext.papers.claims import associate, association, association_told, mean_scores, rank_claim
from naswot_ext.spaces import SPACES
from tests.conftest import REPOSITORY


def truth(valid: list[float], params: list[float]) -> pd.DataFrame:
    columns = {"dataset": "cifar10", "epochs": 200, "valid_accuracy": valid, "test_accuracy": 50.0, "params": params}
    return pd.DataFrame({"arch_index": range(len(valid)), "arch": "", **columns})


def scores(values: dict[int, float], status: str = "ok") -> pd.DataFrame:
    return pd.DataFrame({"arch_index": list(values), "score": list(values.values()), "status": status})


def by_score(table, known, *claimed) -> object:
    """The cell of networks that were drawn, a table or one a seed; those of the claim are among them, or `claimed`."""
    tables = [table] if isinstance(table, pd.DataFrame) else table
    return next(rank_claim(list(zip(tables, claimed or tables, strict=True)), known)[:1].itertuples())


def by_params(table, known) -> object:
    return next(rank_claim([(table, table)], known)[1:].itertuples())


# Above 90 %: numbers 1, 2 and 4; the smallest of these is 2.
FIVE = truth([50.0, 95.0, 91.0, 90.0, 92.0], [10, 40, 20, 5, 30])


def test_the_smallest_network_above_the_threshold_is_ranked_among_all() -> None:
    everything = scores({0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0, 4: 5.0})
    assert by_score(everything, FIVE).measured == 3
    assert by_params(everything, FIVE).measured == 3
    assert "number 2" in by_score(everything, FIVE).reason
    assert [row.published for row in rank_claim([(everything, everything)], FIVE).itertuples()] == [667, 8597]


def test_a_rank_that_is_known_exactly_must_be_the_published_one() -> None:
    cell = by_score(scores({0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0, 4: 5.0}), FIVE)
    assert (cell.verdict, math.isnan(cell.standard_error)) == ("differs", True)
    assert "its spread is not known" in cell.reason
    # A place among 10,000 of unequal size, the same as published.
    many = truth([91.0 if i == 8596 else 50.0 for i in range(10_000)], list(range(10_000, 0, -1)))
    assert by_params(scores({0: 1.0}), many).verdict == "reproduced"


def test_singular_networks_are_last_and_failed_ones_are_left_out() -> None:
    table = scores({0: 9.0, 1: -math.inf, 2: 7.0, 3: math.nan})
    table["status"] = ["ok", "singular", "ok", "failed"]
    cell = by_score(table, FIVE)
    # Of two others one is better: half of the four others of the space.
    assert cell.measured == 1 + 4 * 0.5
    assert "each among 2 of 4 others" in cell.reason


def test_a_part_of_the_space_gives_the_rank_with_the_error_of_drawing_without_replacement() -> None:
    known = truth([91.0] + [50.0] * 10_000, [1.0] * 10_001)
    table = scores({0: 0.0} | {i: 1.0 if i <= 25 else -1.0 for i in range(1, 101)})
    cell = by_score(table, known)
    assert cell.measured == 1 + 10_000 * 0.25
    share = 26 / 102
    left_out = 9_900 / 9_999
    assert cell.standard_error == pytest.approx(10_000 * math.sqrt(share * (1 - share) / 100 * left_out))


def test_the_other_networks_of_the_claim_are_not_among_those_that_one_is_ranked_among() -> None:
    # The smallest above 90 % are 0, 1 and 2, better than all; of them only 2 was drawn.
    known = truth([91.0, 91.0, 91.0] + [50.0] * 97, [1.0] * 100)
    drawn = scores({2: 9.0} | {i: -i for i in range(3, 12)})
    cell = by_score(drawn, known, scores({0: 7.0, 1: 8.0, 2: 9.0}))
    # Networks 0 and 1 have one better of ten; 2 has none of the nine others.
    assert (cell.measured, cell.runs) == (pytest.approx(1 + 99 * (0.1 + 0.1 + 0) / 3), 3)
    assert "places 1 to 11, 3 of them 667 or better" in cell.reason
    # Their own scores, not those of the sample, are ranked.
    other_scores = scores({0: 7.0, 1: 8.0, 2: -99.0})
    assert by_score(drawn, known, other_scores).measured == pytest.approx(1 + 99 * (0.1 + 0.1 + 1) / 3)


def test_ranks_in_a_random_sample_are_those_in_the_space_on_average() -> None:
    rng = np.random.default_rng(3)
    every = pd.Series(rng.normal(size=2_000))
    claimed = np.argsort(-every.to_numpy())[100:1_000:100]  # ranks 101, 201, ..., 901
    accuracy = np.full(2_000, 50.0)
    accuracy[claimed] = 91.0
    known = truth(list(accuracy), [1.0] * 2_000)
    own = scores(every[claimed].to_dict())
    whole = by_score(scores(every.to_dict()), known, own)
    assert whole.measured == pytest.approx(np.arange(101, 1_000, 100).mean())
    assert "each among all 1999 others" in whole.reason
    of_samples = []
    for _ in range(200):
        drawn = rng.choice(2_000, 100, replace=False)
        of_samples.append(by_score(scores(every[drawn].to_dict()), known, own).measured)
    assert np.mean(of_samples) == pytest.approx(whole.measured, abs=4 * np.std(of_samples) / math.sqrt(200))


def test_where_all_were_scored_the_rank_has_no_error() -> None:
    # Of equal size, so that their spread is the only error: none where there is one of them.
    known = truth([91.0] + [50.0] * 999, [1.0] * 1_000)
    every = scores({i: float(-i if i else -700.5) for i in range(1_000)})
    cell = by_score(every, known)
    assert (cell.measured, math.isnan(cell.standard_error)) == (701, True)
    assert cell.verdict == "differs"


def test_no_better_network_among_a_few_is_not_certainty() -> None:
    known = truth([91.0] + [50.0] * 10_000, [1.0] * 10_001)
    cell = by_score(scores({0: 1.0, 1: 0.0, 2: -1.0}), known)
    assert cell.measured == 1
    assert cell.standard_error > 1_000
    assert cell.verdict == "not measured"
    assert cell.reason.startswith("too few to tell: 2 of 10000 others; 1 rank of the smallest above 90 %")


def test_a_few_networks_can_tell_a_rank_that_is_far_off() -> None:
    known = truth([91.0] + [50.0] * 10_000, [1.0] * 10_001)
    cell = by_score(scores({0: 0.0} | {i: (-1.0) ** i for i in range(1, 101)}), known)
    assert (cell.measured, cell.verdict) == (5001, "differs")


def test_a_network_that_was_not_scored_is_named() -> None:
    cell = by_score(scores({0: 9.0, 1: 8.0}), FIVE)
    assert cell.verdict == "not measured"
    why = "no scores of the smallest above 90 % (number 2), or none of others to rank them among"
    assert cell.reason == why
    assert by_score(scores({2: 1.0}), FIVE).reason == why
    nothing = scores({}).astype({"arch_index": "int64", "score": "float64", "status": "str"})
    assert by_score(scores({0: 9.0, 1: 8.0}), FIVE, nothing).reason == why


def test_equally_small_networks_share_their_places_and_spread() -> None:
    known = truth([91.0, 92.0, 50.0, 50.0, 93.0, 50.0], [20, 20, 20, 30, 40, 10])
    table = scores({0: 9.0, 1: 3.0, 2: 8.0, 3: 7.0, 4: 6.0, 5: 1.0})
    cell = by_score(table, known)
    assert (cell.measured, cell.measured_std, cell.runs) == (3, 2, 2)  # ranks 1 and 5
    assert cell.standard_error == pytest.approx(math.sqrt(4 * 1.5))
    assert "number 0 and 1 as small" in cell.reason
    assert cell.reason.endswith("each among all 5 others; places 1 to 5, 2 of them 667 or better")
    cell = by_params(table, known)
    assert (cell.measured, cell.standard_error) == (4, pytest.approx(math.sqrt(8 / 12)))  # places 3, 4, 5


def test_a_rank_is_judged_by_the_standard_error_that_stands_beside_it() -> None:
    """The published rank is of one of the networks: whether it lies among theirs depends on their spread."""
    known = truth([91.0] * 4 + [50.0] * 9_996, [1.0] * 10_000)
    every = -np.arange(10_000.0)
    for ranks, verdict in (((700, 800, 900, 1_000), "reproduced"), ((5_000, 5_050, 5_100, 5_150), "differs")):
        values = {i: float(every[i]) for i in range(4, 10_000)}
        values |= {i: -(rank + 0.5) for i, rank in enumerate(ranks)}
        cell = by_score(scores(values), known)
        assert cell.verdict == verdict
        assert (abs(cell.in_standard_errors) <= 3) == (verdict == "reproduced")
        assert cell.in_standard_errors == pytest.approx((cell.measured - 667) / cell.standard_error)
    # Of equally many parameters: places 1 to 10,000.
    cell = by_params(scores({0: 1.0}), known)
    assert (cell.verdict, abs(cell.in_standard_errors) < 3) == ("reproduced", True)


def test_a_rank_by_the_scores_of_other_images_or_in_another_ground_truth_is_not_comparable() -> None:
    table = scores({0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0, 4: 5.0})
    judged = rank_claim([(table, table)], FIVE)
    assert "not comparable" not in " ".join(judged["reason"])
    score, params = rank_claim([(table, table)], FIVE, images=64).itertuples()
    assert score.reason.startswith("not comparable: 64 images a network, the paper 256; 1 rank of the smallest")
    assert (score.verdict, score.measured) == ("not measured", 3)
    assert params.verdict == "differs"
    both = rank_claim([(table, table)], FIVE, images=64, remark="a part of it")
    assert list(both["verdict"]) == ["not measured"] * 2
    assert [reason.split("; ")[0] for reason in both["reason"]] == ["not comparable: a part of it"] * 2
    # What was not measured is not compared, either.
    nothing = rank_claim([(scores({0: 9.0}), scores({0: 9.0}))], FIVE, images=64)
    assert nothing["reason"].iloc[0].startswith("no scores of the smallest")


def test_several_initialisations_give_the_spread_of_the_rank() -> None:
    tables = [scores({0: 9.0, 1: 8.0, 2: x, 3: 6.0, 4: 5.0}) for x in (10.0, 7.0, 1.0)]
    cell = by_score(tables, FIVE)
    assert (cell.measured, cell.runs) == (3, 3)
    assert cell.measured_std == pytest.approx(np.std([1, 3, 5]))


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (truth([50.0, 60.0], [1, 2]), "has no network above 90 % cifar10 validation accuracy"),
        (truth([95.0, 60.0], [-1, -1]), "has no number of parameters"),
        (truth([math.nan, math.nan], [1, 2]), "has no cifar10 validation accuracy"),
        (truth([95.0, 96.0], [1, 2]).drop(columns="params"), "has no number of parameters"),
    ],
)
def test_what_the_ground_truth_lacks_is_said_with_the_file_that_has_it(known, why: str) -> None:
    tables = [(scores({0: 1.0, 1: 2.0}), scores({}))]
    for official, ending in (("", why), ("NATS-tss.tar", f"{why}: NATS-tss.tar has it")):
        cells = rank_claim(tables, known, official=official)
        assert list(cells["verdict"]) == ["not measured"] * 2
        assert [reason.endswith(ending) for reason in cells["reason"]] == [True, True]


def test_the_published_rank_by_parameters_lies_among_the_places_of_equals(real_data: Callable[[str], Path]) -> None:
    config = yaml.safe_load((REPOSITORY / "config" / "searches.yaml").read_text())
    options = config["spaces"]["nasbench201"]["benchmark"]
    options["path"] = str(real_data("nasbench201.csv.gz"))
    known = read_truth(SPACES.get("nasbench201"), options)
    cell = by_params(scores({0: 1.0}), known)
    # Counted by hand: 7,621 networks are larger, 2,436 as large, and 44 of these are above 90 %.
    assert cell.measured == 7621 + 2437 / 2
    assert "equals share places 7622 to 10057" in cell.reason
    assert "number 219 and 43 as small" in cell.reason
    assert cell.verdict == "reproduced"
    assert (
        "no scores of the smallest above 90 % (number 219 and 43 as small)" in by_score(scores({0: 1.0}), known).reason
    )


def library(score, accuracy, params, seeds: int = 1, **facts) -> pd.DataFrame:
    rows = [
        {"network": f"net{i}", "accuracy": a, "params": p, "seed": seed, "proxy": "jacobian", "score": s + 0.5 * seed}
        for i, (s, a, p) in enumerate(zip(score, accuracy, params, strict=True))
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows).assign(status="ok", error="", seconds=0.5, **facts)


def sample(effect: float, n: int = 60):
    rng = np.random.default_rng(7)
    params = np.exp(rng.normal(15, 1, n))
    score = -2000 + 50 * rng.normal(size=n) + 1e-5 * params
    accuracy = 93 + effect * (score + 2000) + 1e-7 * params + 0.5 * rng.normal(size=n)
    return score, accuracy, params


def test_the_test_of_the_score_is_that_of_its_partial_correlation() -> None:
    score, accuracy, params = sample(0.004)
    found = associate(mean_scores(library(score, accuracy, params)))
    # By another way: residuals of both on the parameters.
    x = np.column_stack([np.ones(60), params / 1e6])
    u, v = (y - x @ np.linalg.lstsq(x, y, rcond=None)[0] for y in (score, accuracy))
    r = stats.pearsonr(u, v).statistic
    t = r * math.sqrt(57 / (1 - r**2))
    assert found.t == pytest.approx(t, rel=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 57), rel=1e-6)
    assert found.slope == pytest.approx((u @ v) / (u @ u), rel=1e-6)


def claim_of(table: pd.DataFrame, known: int = 60):
    (cell,) = association(table, known).itertuples()
    return cell


@pytest.mark.parametrize(("effect", "verdict"), [(0.02, "reproduced"), (0.0, "differs"), (-0.02, "differs")])
def test_the_claim_holds_where_accuracy_rises_with_the_score_at_equal_parameters(effect: float, verdict: str) -> None:
    cell = claim_of(library(*sample(effect)))
    assert cell.verdict == verdict
    assert (cell.quantity, cell.item) == ("p_value", "figure5")
    assert cell.reason.startswith(f"60 networks, one initialisation each; p = {cell.measured:.2g} given parameters")


@pytest.mark.parametrize(("effect", "verdict"), [(0.02, "reproduced"), (0.0, "not measured"), (-0.02, "differs")])
def test_of_a_part_of_the_networks_only_what_is_significant_is_judged(effect: float, verdict: str) -> None:
    cell = claim_of(library(*sample(effect)), known=61)
    assert cell.verdict == verdict
    assert ("too few to tell: 60 of 61 networks" in cell.reason) == (verdict == "not measured")
    assert (cell.measured < 0.05) == (verdict != "not measured")
    assert f"p = {cell.measured:.2g} given parameters" in cell.reason


def test_the_paper_gives_no_p_value_and_none_is_called_its_own() -> None:
    cell = claim_of(library(*sample(0.0)))
    assert math.isnan(cell.published)
    assert math.isnan(cell.difference)
    assert cell.reason.endswith("published: significant, without a number; held to p < 0.05")


def test_a_figure_says_the_judged_p_and_whether_it_is_one() -> None:
    table = library(*sample(0.0))
    p = f"p = {claim_of(table).measured:.2g} given parameters"
    assert association_told(association(table, 60)).startswith(f"Linear association: differs; {p}")
    assert association_told(association(table, 70)).startswith(f"Linear association: too few to tell; {p}")
    few = library([1.0, 2.0, 3.0], [90.0, 91.0, 93.0], [1.0, 5.0, 2.0])
    assert association_told(association(few, 70)).startswith("Linear association not tested: 3 networks, at least 4")


def test_an_association_that_parameters_explain_is_none() -> None:
    rng = np.random.default_rng(1)
    params = np.linspace(1e6, 3e7, 80)
    score, accuracy = params / 1e5 + rng.normal(size=80), 90 + params / 1e7 + 0.1 * rng.normal(size=80)
    assert stats.pearsonr(score, accuracy).pvalue < 1e-10
    assert claim_of(library(score, accuracy, params), known=80).verdict == "differs"


def test_the_mean_of_the_initialisations_counts() -> None:
    networks = mean_scores(library([1.0, 2.0], [90.0, 91.0], [1.0, 2.0], seeds=3))
    assert list(networks["score"]) == [1.5, 2.5]
    assert list(networks["initialisations"]) == [3, 3]


def test_a_network_with_a_failed_or_singular_score_is_left_out_and_counted() -> None:
    table = library(*sample(0.02), seeds=2)
    table.loc[0, ["score", "status"]] = [-np.inf, "singular"]
    table.loc[3, ["score", "status"]] = [np.nan, "failed"]
    cell = claim_of(table)
    assert cell.reason.startswith("58 of 60 networks, mean of 2 initialisations")
    assert "2 left out" in cell.reason
    # Without an association, those that are left out may be why.
    none = library(*sample(0.0), seeds=2)
    none.loc[0, ["score", "status"]] = [np.nan, "failed"]
    assert claim_of(none).reason.startswith("too few to tell: 59 of 60 networks")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (library([1.0, 2.0, 3.0], [90.0, 91.0, 93.0], [1.0, 5.0, 2.0]), "3 networks, at least 4 are needed"),
        (library([1.0] * 5, [90.0, 91.0, 93.0, 90.5, 92.0], [1.0, 5.0, 2.0, 3.0, 9.0]), "do not vary"),
        (library(range(5), [90.0, 91.0, 93.0, 90.5, 92.0], range(5)), "only together"),
        (library(*sample(0.02)).assign(proxy="naswot"), "0 networks"),
    ],
)
def test_too_little_to_test_is_not_measured(table, why: str) -> None:
    cell = claim_of(table)
    assert cell.verdict == "not measured"
    assert why in cell.reason
