"""Figures that compare proxies and searches: what they say, and that equal data gives equal bytes."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from naswot_ext.errors import NaswotError
from naswot_ext.figures import save
from naswot_ext.figures_comparison import proxy_bars, proxy_matrix, search_ranks, search_wins

SPACES = [
    ("nasbench201", "cifar10", "cifar10"),
    ("nasbench201", "cifar10", "cifar100"),
    ("nasbench101",) + ("cifar10",) * 2,
]


def correlations(proxies=("params", "naswot", "zen"), questions=SPACES, split="test"):
    """Rows of correlations.csv; a proxy is the better the later, a question the easier."""
    rows = []
    for (p, proxy), (q, question) in product(enumerate(proxies), enumerate(questions)):
        value = 0.2 + 0.1 * p + 0.01 * q
        names = dict(zip(("space", "scored_on", "dataset"), question, strict=True))
        ends = {"kendall": value, "kendall_low": value - 0.03, "kendall_high": value + 0.04}
        rows.append(names | {"split": split, "proxy": proxy} | ends)
    return pd.DataFrame(rows)


def searches(count=4, runs=40, names="abcdefgh"):
    """Search tables, the later the better."""
    random = np.random.default_rng(0)
    found = {}
    for i, name in zip(range(count), names, strict=False):
        columns = {"run": range(runs), "seed": 0, "arch_index": 0}
        columns |= {"cifar10_valid": 91.0, "cifar10_test": 92 + i + 0.1 * random.normal(size=runs)}
        found[name] = pd.DataFrame(columns | {"cifar100_valid": 70 + i + 0.1 * random.normal(size=runs)})
    return found


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]


def labels(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def inside(figure: Figure) -> bool:
    """Whether nothing that is drawn sticks out of the figure."""
    figure.canvas.draw()
    box, size = figure.get_tightbbox(), figure.get_size_inches()
    return bool(box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < size[0] + 0.02 and box.y1 < size[1] + 0.02)


def test_the_matrix_has_the_best_mean_first_a_number_a_cell_and_the_mean_last():
    (axes,) = proxy_matrix(correlations()).axes
    assert labels(axes.yaxis) == ["zen", "NASWOT", "params"]
    assert labels(axes.xaxis) == [
        "NAS-Bench-201\nCIFAR-10 test",
        "NAS-Bench-201\nCIFAR-100 test, on CIFAR-10",
        "NAS-Bench-101\nCIFAR-10 test",
        "mean",
    ]
    assert texts(axes) == [".40", ".41", ".42", ".41", ".30", ".31", ".32", ".31", ".20", ".21", ".22", ".21"]
    assert axes.get_xlabel() == "Kendall τ of score and accuracy"


def test_cells_that_were_not_measured_are_hatched_and_undefined_ones_have_a_dash():
    rows = correlations()
    rows.loc[(rows["proxy"] == "zen") & (rows["space"] == "nasbench101"), "kendall"] = np.nan
    (axes,) = proxy_matrix(rows[~((rows["proxy"] == "naswot") & (rows["dataset"] == "cifar100"))]).axes
    hatched = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert [(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in hatched] == [(2, 0), (1, 1)]
    assert texts(axes)[:4] == [".40", ".41", "–", ".41"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["not measured"]
    assert proxy_matrix(correlations()).axes[0].get_legend() is None


def test_colours_diverge_from_zero_and_are_the_same_in_every_matrix():
    rows = correlations(["a", "b"], SPACES[:1])
    rows["kendall"] = [0.5, -0.5]
    (first,), (second,) = proxy_matrix(rows).axes, proxy_matrix(rows.assign(kendall=[0.5, 0.1])).axes
    assert to_hex(first.patches[0].get_facecolor()) == to_hex(second.patches[0].get_facecolor())
    red, _, blue, _ = first.patches[0].get_facecolor()
    assert blue > red
    red, _, blue, _ = first.patches[2].get_facecolor()
    assert red > blue
    assert texts(first) == [".50", ".50", "−.50", "−.50"]


def test_the_columns_of_a_space_stand_together_whatever_the_order_of_the_rows():
    rows = correlations(["a"], [SPACES[0], SPACES[2], SPACES[1]])
    (axes,) = proxy_matrix(rows).axes
    assert [text.split("\n")[0] for text in labels(axes.xaxis)] == [*["NAS-Bench-201"] * 2, "NAS-Bench-101", "mean"]


def test_a_data_set_without_the_split_shows_its_other_one():
    rows = pd.concat([correlations(), correlations(questions=SPACES[:1], split="valid")])
    rows = pd.concat([rows, correlations(questions=[("nds-darts", "cifar10", "cifar10")], split="valid")])
    (axes,) = proxy_matrix(rows).axes
    assert "NDS DARTS\nCIFAR-10 valid" in labels(axes.xaxis)
    assert "NAS-Bench-201\nCIFAR-10 valid" not in labels(axes.xaxis)
    assert len(labels(axes.xaxis)) == 5


def test_twenty_proxies_by_twenty_five_columns_fit_two_columns_of_a_paper_without_touching():
    proxies = [f"proxy_{i}" for i in range(20)]
    questions = [(f"nds-{i}", "gaussian", "imagenet16-120") for i in range(25)]
    figure = proxy_matrix(correlations(proxies, questions).assign(kendall=-0.88))
    assert figure.get_figwidth() < 7.3
    assert inside(figure)
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts[:26]]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    boxes = [text.get_window_extent() for text in axes.xaxis.get_ticklabels()]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_bars_are_sorted_with_intervals_values_and_the_best_baseline():
    rows = correlations(["zen", "params", "flops", "naswot"], SPACES[:2])
    first, second = proxy_bars(rows).axes
    assert labels(first.yaxis) == ["NASWOT", "flops", "params", "zen"]
    assert texts(first) == ["0.50", "0.40", "0.30", "0.20"]
    (line,) = [line for line in first.lines if line.get_linestyle() == "--"]
    assert line.get_xdata()[0] == pytest.approx(0.4)
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["baseline", "best baseline"]
    assert len({to_hex(patch.get_facecolor()) for patch in first.patches[1:3]}) == 1
    assert to_hex(first.patches[0].get_facecolor()) != to_hex(first.patches[1].get_facecolor())
    (ends,) = [part.get_segments() for part in first.collections]
    assert ends[0][:, 0] == pytest.approx([0.47, 0.54])
    assert second.get_xlabel() == "Kendall τ\nwith CIFAR-100 test accuracy"


def test_a_bar_without_a_value_or_an_interval_is_drawn():
    rows = correlations(["a", "b", "c"], SPACES[:1])
    rows["kendall"] = [0.5, -0.2, np.nan]
    rows[["kendall_low", "kendall_high"]] = np.nan
    (axes,) = proxy_bars(rows).axes
    assert texts(axes) == ["0.50", "−0.20", "undefined"]
    assert axes.get_legend() is None
    assert inside(proxy_bars(rows.assign(kendall=np.nan)))


def test_bars_of_several_spaces_are_refused():
    with pytest.raises(NaswotError, match="one space"):
        proxy_bars(correlations())


def test_ranks_are_sorted_with_the_critical_difference_and_a_panel_a_data_set():
    first, second = search_ranks(searches(), heading="NAS-Bench-201").axes
    assert labels(first.yaxis) == ["d", "c", "b", "a"]
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["CIFAR-10 test", "CIFAR-100 valid"]
    assert texts(first) == ["1.00", "2.00", "3.00", "4.00", "critical difference 0.74"]
    assert first.get_xlabel() == "mean rank over 40 runs"
    assert not [line for line in first.lines if line.get_gid() == "clique"]


def test_searches_that_are_not_told_apart_are_joined():
    found = searches(3)
    found["like c"] = found["c"].assign(cifar10_test=found["c"]["cifar10_test"].to_numpy()[::-1])
    axes = search_ranks(found).axes[0]
    (clique,) = [line for line in axes.lines if line.get_gid() == "clique"]
    assert list(clique.get_ydata()) == [-0.25, 1.25]
    assert set(labels(axes.yaxis)[:2]) == {"c", "like c"}


def test_two_searches_are_shares_of_wins():
    found = searches(2)
    found["b"].loc[:9, "cifar10_test"] = found["a"].loc[:9, "cifar10_test"]
    axes = search_ranks(found).axes[0]
    assert texts(axes)[:2] == ["25%", "75%"]
    assert texts(axes)[2:4] == ["a", "b"]
    assert "wins in 40 runs" in texts(axes)[4]
    assert "p < 0.001" in texts(axes)[4]


def test_searches_without_common_runs_say_so():
    found = searches(3)
    found["a"] = found["a"].assign(arch_index=[0] * 20 + [-1] * 20)
    found["b"] = found["b"].assign(arch_index=[-1] * 20 + [0] * 20)
    assert texts(search_ranks(found).axes[0]) == ["fewer than 2 runs in common"]
    assert texts(search_ranks({name: found[name] for name in "ab"}).axes[0]) == ["no runs in common"]


def test_searches_with_fewer_runs_or_no_finds_are_left_out_of_the_ranks_and_named():
    found = searches(5)
    found["b"] = found["b"].head(3)
    found["d"] = found["d"].assign(arch_index=-1)
    figure = search_ranks(found)
    axes = figure.axes[0]
    assert labels(axes.yaxis) == ["e", "c", "a"]
    assert axes.get_xlabel() == "mean rank over 40 runs"
    assert texts(axes)[-1] == "without b; d: fewer runs"
    assert inside(figure)
    # Two of them are left to compare, then one with any other.
    found["e"] = found["e"].head(4)
    assert texts(search_ranks(found).axes[0])[1:3] == ["a", "c"]
    found["c"] = found["c"].head(5)
    assert texts(search_ranks(found).axes[0]) == ["fewer than 2 runs in common"]


def test_wins_have_the_winner_first_and_an_empty_diagonal():
    first, second = search_wins(searches(3), heading="NAS-Bench-201").axes
    assert labels(first.yaxis) == labels(first.xaxis) == ["c", "b", "a"]
    assert texts(first) == ["100", "100", "0", "100", "0", "0"]
    assert first.get_xlabel() == "CIFAR-10 test: wins of the row over\nthe column, % of 40 runs"
    assert second.get_xlabel().startswith("CIFAR-100 valid")


def test_wins_are_of_the_runs_that_each_two_have_in_common():
    found = searches(3)
    found["c"] = found["c"].head(3)
    found["b"] = found["b"].assign(arch_index=[-1] * 3 + [0] * 37)
    axes = search_wins(found).axes[0]
    assert axes.get_xlabel().endswith("% of the 0 to 37 runs in common")
    # b and c share no run.
    assert sorted(texts(axes)) == ["0", "0", "100", "100"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: proxy_matrix(correlations()),
        lambda: proxy_matrix(correlations(["naswot"], SPACES[:1])),
        lambda: proxy_bars(correlations(questions=SPACES[:2])),
        lambda: search_ranks(searches(8), heading="NAS-Bench-201"),
        lambda: search_ranks(searches(2), heading="NAS-Bench-201"),
        lambda: search_wins(searches(8), heading="NAS-Bench-201"),
        lambda: search_wins(searches(2)),
    ],
)
def test_nothing_sticks_out_and_equal_data_gives_equal_bytes(tmp_path, draw):
    assert inside(draw())
    for name in ("first", "second"):
        save(draw(), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    for kind in (".pdf", ".png"):
        assert (tmp_path / f"first{kind}").read_bytes() == (tmp_path / f"second{kind}").read_bytes()


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda: proxy_matrix(correlations(), measure="tau"), "Unknown measure 'tau'.*kendall"),
        (lambda: proxy_matrix(correlations(), split="train"), "Unknown split 'train'"),
        (lambda: proxy_matrix(correlations().iloc[:0]), "no correlations"),
        (lambda: search_ranks(searches(1)), "at least 2"),
        (lambda: search_ranks(searches(), split="train"), "Unknown split"),
        (
            lambda: search_ranks({"a": searches()["a"], "b": pd.DataFrame({"run": [0], "arch_index": [0]})}),
            "no accuracy of the same data set",
        ),
        (lambda: search_wins(searches(1)), "at least 2"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, why):
    with pytest.raises(NaswotError, match=why):
        draw()
