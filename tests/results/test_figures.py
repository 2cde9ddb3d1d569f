"""Figures: what they say, that equal data gives equal bytes, and that nothing leaks."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from naswot_ext.errors import NaswotError
from naswot_ext.figures import Scored, save, scatter, search_figure, sheet
from naswot_ext.tables import correlation_rows, search_rows
from tests.results.conftest import score_table, truth_table


def draw(published, scores, truth, **options) -> Figure:
    tables = scores if isinstance(scores, list) else [scores]
    rows = correlation_rows(
        tables, truth, published, space="nasbench201", scored_on="gaussian", proxy="naswot", bootstrap=30
    )
    return scatter(tables, truth, rows, x_label="NASWOT score", **options)


def draw_searches(published) -> Figure:
    tables, rows = [], []
    for n, accuracies in ((10, [92.0, 93.0, 91.0]), (100, [93.0, 93.5, 92.8])):
        tables.append(pd.DataFrame({"arch_index": range(3), "cifar10_test": accuracies, "seconds": 1.0}))
        made_by = {"space": "nasbench201", "scored_on": "gaussian", "algorithm": "naswot", "proxy": "naswot"}
        rows.append(search_rows(tables[-1], made_by | {"n_samples": n}, published))
    return search_figure(tables, rows)


def notes(axes) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_the_title_holds_space_data_set_tau_interval_and_n(published, noisy):
    (axes,) = draw(published, *noisy()).axes
    assert axes.get_title(loc="left").startswith("NAS-Bench-201, CIFAR-10\nKendall τ = 0.")
    assert "[0." in axes.get_title(loc="left")
    assert axes.get_title(loc="left").endswith("], n = 200")
    assert axes.get_ylabel() == "CIFAR-10 test accuracy (%, log error)"
    assert "scored on standard-normal images" in axes.get_xlabel()
    assert notes(axes) == ["published τ = 0.574"]


def test_singular_architectures_are_marks_on_the_left_edge_and_failed_ones_are_counted(published, noisy):
    scores, truth = noisy(50, {1: "singular", 2: "singular", 4: "failed"})
    (axes,) = draw(published, scores, truth).axes
    (marks,) = [line for line in axes.lines if line.get_gid() == "singular"]
    assert list(marks.get_xdata()) == [0, 0]
    assert list(marks.get_ydata()) == list(truth["test_accuracy"].iloc[[1, 2]])
    assert len(axes.collections[0].get_offsets()) == 47
    assert notes(axes)[:2] == ["2 singular", "1 failed"]


def test_several_seeds_are_drawn_at_their_mean_score(published):
    truth = truth_table([90, 91, 92, 93])
    (axes,) = draw(published, [score_table([1, 2, 3, 4]), score_table([3, 4, 5, 6])], truth).axes
    assert list(axes.collections[0].get_offsets()[:, 0]) == [2, 3, 4, 5]


def test_there_is_a_panel_a_data_set_and_the_split_that_it_has(published, noisy):
    scores, truth = noisy(30)
    other = truth.assign(dataset="cifar100", valid_accuracy=truth["test_accuracy"], test_accuracy=np.nan)
    figure = draw(published, scores, pd.concat([truth, other]))
    labels = ["CIFAR-10 test accuracy (%, log error)", "CIFAR-100 validation accuracy (%, log error)"]
    assert [axes.get_ylabel() for axes in figure.axes] == labels
    assert figure.get_figwidth() == 2 * 3.25


def test_accuracies_keep_their_colour_in_every_figure(published):
    figures = [draw(published, score_table([1, 2, 3]), truth_table(a)) for a in ([10, 70, 94], [94, 93, 92])]
    for figure in figures:
        figure.canvas.draw()
    first, second = (figure.axes[0].collections[0].get_facecolors() for figure in figures)
    assert (first[2] == second[0]).all()


def test_all_points_and_ticks_are_inside_the_limits(published):
    (axes,) = draw(published, score_table([1, 2, 3, 4]), truth_table([10, 80, 90, 94.3])).axes
    low, high = axes.get_ylim()
    assert low < 10 < 94.3 < high
    assert {10, 80, 90, 94} <= set(axes.get_yticks())
    assert all(low <= tick <= high for tick in axes.get_yticks())


def test_values_over_decades_have_a_logarithmic_axis(published):
    truth = truth_table([90, 91, 92, 93])
    scales = [draw(published, score_table(s), truth).axes[0].get_xscale() for s in ([1, 9, 99, 999], [-1, 9, 99, 999])]
    assert scales == ["log", "linear"]


def test_a_label_says_that_the_axis_of_scores_is_logarithmic(published):
    truth = truth_table([90, 91, 92, 93])
    for values, logarithmic in (([1, 9, 99, 999], True), ([-999, -99, -9, -1], True), ([1, 2, 3, 4], False)):
        (axes,) = draw(published, score_table(values), truth).axes
        assert axes.get_xlabel().endswith(", log scale") is logarithmic


@pytest.mark.parametrize("scores", [[1616, 1670, 1727, 1700], [-30, -9, -3, -2], [2, 5, 9, 11], [-500, -300, 10, 7]])
def test_an_axis_of_scores_has_three_numbers_at_least(published, scores):
    (axes,) = draw(published, score_table(scores), truth_table([90, 91, 92, 93])).axes
    # As narrow as a panel of a sheet.
    axes.figure.set_size_inches(1.7, 2.3)
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    assert sum(low <= tick <= high for tick in axes.get_xticks()) >= 3


@pytest.mark.parametrize("status", [{}, {0: "singular", 1: "singular", 2: "singular"}, {0: "failed", 1: "failed"}])
def test_an_undefined_correlation_is_drawn_and_called_so(tmp_path, published, status):
    figure = draw(published, score_table([5, 5, 5], status), truth_table([90, 91, 92]))
    assert "Kendall τ = undefined" in figure.axes[0].get_title(loc="left")
    save(figure, tmp_path / "a.png")


def test_only_failures_give_an_empty_panel_and_not_an_exception(tmp_path, published):
    scores = score_table([1, 2, 3], dict.fromkeys(range(3), "failed"))
    save(draw(published, scores, truth_table([90, 91, 92])), tmp_path / "a.png")


def test_equal_data_gives_equal_bytes(tmp_path, published, noisy):
    for name in ("first", "second"):
        save(draw(published, *noisy(30, {1: "singular"})), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
        save(draw_searches(published), tmp_path / f"{name}-searches.png")
    for kind in (".pdf", ".png", "-searches.png"):
        assert (tmp_path / f"first{kind}").read_bytes() == (tmp_path / f"second{kind}").read_bytes()
    assert (tmp_path / "first.pdf").read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in (tmp_path / "first.pdf").read_bytes()


def test_users_settings_neither_change_a_figure_nor_are_changed(tmp_path, published, noisy):
    save(draw(published, *noisy(20)), tmp_path / "plain.png")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        save(draw(published, *noisy(20)), tmp_path / "odd.png")
        assert mpl.rcParams["font.size"] == 20
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "odd.png").read_bytes()


def test_drawing_imports_neither_pyplot_nor_torch():
    check = "import naswot_ext.figures, sys; sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'torch')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_searches_are_sorted_with_labels_means_and_published_marks(published):
    (axes,) = draw_searches(published).axes
    assert [text.get_text() for text in axes.texts] == [
        "NASWOT, N = 10",
        "92.00 ± 0.82",
        "NASWOT, N = 100",
        "93.10 ± 0.29",
    ]
    marks = [(line.get_marker(), line.get_xdata()[0]) for line in axes.lines]
    assert marks == [("|", 92.0), ("o", 92.44), ("|", pytest.approx(93.1)), ("o", 92.81)]
    assert notes(axes) == ["mean of 3 runs", "published mean"]


def test_searches_without_any_result_are_a_clear_error(published):
    table = pd.DataFrame({"arch_index": [-1], "cifar10_test": [np.nan], "seconds": [1.0]})
    made_by = {"space": "s", "scored_on": "d", "algorithm": "naswot", "proxy": "naswot", "n_samples": 1}
    with pytest.raises(NaswotError, match="No run of any search found an architecture"):
        search_figure([table], [search_rows(table, made_by, published)])


def test_an_unknown_split_is_refused(published, noisy):
    with pytest.raises(NaswotError, match=r"Unknown split 'train'.*valid, test"):
        draw(published, *noisy(5), split="train")


def scored(published, noisy, space: str, dataset: str, scored_on: str, seed: int = 0, status=None) -> Scored:
    scores, truth = noisy(60, status, seed)
    truth = truth.assign(dataset=dataset)
    rows = correlation_rows([scores], truth, published, space=space, scored_on=scored_on, proxy="naswot", bootstrap=10)
    return Scored([scores], truth, rows)


def heading(axes) -> str:
    return axes.get_title(loc="left")


def test_the_sheet_has_the_papers_ten_panels_and_says_which_have_no_ground_truth(published, noisy):
    parts = [
        scored(published, noisy, "nasbench101", "cifar10", "gaussian", status={2: "singular", 5: "failed"}),
        scored(published, noisy, "nds-darts-in", "imagenet", "imagenette2"),
    ]
    panels = sheet(parts, published, x_label="NASWOT score").axes
    assert len(panels) == 10
    missing = [
        heading(axes) for axes in panels if axes.texts and axes.texts[0].get_text().startswith("no ground truth")
    ]
    assert len(missing) == 8
    assert "NAS-Bench-201\nImageNet16-120" in missing
    drawn = [heading(axes) for axes in panels if heading(axes) not in missing]
    assert drawn[0].startswith("NAS-Bench-101\nCIFAR-10, n = 59, 1 singular, 1 failed\nτ = ")
    assert drawn[0].endswith("(published 0.285)")
    assert drawn[1].startswith("NDS DARTS (ImageNet)\nImageNet, n = 60\n")
    assert drawn[1].endswith("(published 0.535)")


def test_another_space_has_a_panel_behind_the_papers(published, noisy):
    panels = sheet([scored(published, noisy, "nats-sss", "cifar10", "gaussian")], published, x_label="x").axes
    assert heading(panels[10]).startswith("NATS-Bench SSS\nCIFAR-10, n = 60\n")


def test_a_panel_shows_the_scores_on_its_own_images_where_there_are_such(published, noisy):
    parts = [
        scored(published, noisy, "nasbench201", "cifar10", on, seed) for seed, on in enumerate(["gaussian", "cifar10"])
    ]
    panels = sheet(parts, published, x_label="x").axes
    assert panels[0].get_xlabel() == "scored on CIFAR-10"
    panels = sheet(parts[:1], published, x_label="x").axes
    assert panels[0].get_xlabel() == "scored on standard-normal images"


@pytest.mark.parametrize(
    "accuracies",
    [[91.5, 91.55, 91.7], [33.0, 34.0, 36.5], [10.0, 50.0, 90.0], [93.7, 93.71, 93.72], [68.1, 80.0, 85.2], [93.7] * 3],
)
def test_an_accuracy_axis_has_a_scale_however_narrow(published, accuracies):
    table = pd.DataFrame({"arch_index": range(3), "cifar10_test": accuracies, "seconds": 1.0})
    made_by = {"space": "nats-sss", "scored_on": "gaussian", "algorithm": "optimal", "proxy": None, "n_samples": 3}
    (axes,) = search_figure([table], [search_rows(table, made_by, published)]).axes
    low, high = axes.get_xlim()
    assert sum(low <= tick <= high for tick in axes.get_xticks()) >= 3


def test_a_published_mean_beyond_the_runs_is_in_sight(published):
    table = pd.DataFrame({"arch_index": range(3), "cifar10_test": [93.5, 93.6, 93.7], "seconds": 1.0})
    made_by = {"space": "nasbench201", "scored_on": "gaussian", "algorithm": "naswot", "proxy": "naswot"}
    rows = search_rows(table, made_by | {"n_samples": 10}, published)
    mean = rows["published_mean"].dropna().iloc[0]
    assert mean < 93
    (axes,) = search_figure([table], [rows]).axes
    low, high = axes.get_xlim()
    assert low < mean < high
