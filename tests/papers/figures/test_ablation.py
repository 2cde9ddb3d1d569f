"""Ablations: boxes and dots, ranks by batch size, and the agreement that titles state."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.ablation import COLUMNS, ablation, agreement, data, ranks
from tests.papers.figures.samples import ablated, samples

INF = np.inf


def draw(table: pd.DataFrame, kinds: list[str], **options):
    return [axes for axes in ablation(table, kinds, y_label="score", **options).axes if axes.axison]


def test_networks_stand_in_the_order_of_their_accuracy():
    table = samples("minibatch", [[3, 4], [9, 8], [5, 6]])
    table["accuracy"] = table["arch_index"].map({0: 70.0, 1: 50.0, 2: 60.0})
    (axes,) = draw(table, ["minibatch"])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["50.0", "60.0", "70.0"]
    heights = [sorted(dots.get_offsets()[:, 1]) for dots in axes.collections if len(dots.get_offsets()) == 2]
    assert heights == [[8, 9], [5, 6], [3, 4]]


def test_few_samples_are_dots_and_many_are_boxes():
    few, many = (draw(samples("minibatch", [list(range(n))]), ["minibatch"])[0] for n in (7, 8))
    assert len(few.patches) == 0
    assert len(few.collections[0].get_offsets()) == 7
    assert len(many.patches) == 1


def test_agreement_with_the_mini_batches_and_with_accuracy_is_that_of_the_means():
    # Means 1, 2, 3 against 2, 1, 3: two of three pairs agree, tau 1/3.
    table = pd.concat([samples("minibatch", [[0, 2], [1, 3], [2, 4]]), samples("gaussian", [[2, 2], [0, 2], [3, 3]])])
    found = agreement(table).set_index("kind")
    assert found.loc["gaussian", "with_reference"] == pytest.approx(1 / 3)
    assert found.loc["gaussian", "with_accuracy"] == pytest.approx(1 / 3)
    assert found.loc["minibatch", "with_accuracy"] == 1
    assert np.isnan(found.loc["minibatch", "with_reference"])
    axes = draw(table, ["minibatch", "gaussian"])[1]
    assert axes.get_title(loc="left").split("\n")[1:] == [
        "3 networks, 2 samples each",
        "τ of means with (a) 0.33, with accuracy 0.33",
    ]


def test_batch_sizes_are_compared_by_rank_as_their_scores_are_not_on_one_scale():
    small = samples("batch_size", [[1, 3], [2, 2], [5, 5]], 32)
    large = samples("batch_size", [[100, 100], [200, 200], [300, 300]], 128)
    found = ranks(pd.concat([small, large])).set_index(["batch_size", "arch_index"])
    assert found["mean"].to_dict() == {(32, 0): 2.5, (32, 1): 2.5, (32, 2): 1, (128, 0): 3, (128, 1): 2, (128, 2): 1}
    assert found.loc[(32, 0), "std"] == 0.5
    with_128 = agreement(pd.concat([small, large])).set_index("batch_size")["with_reference"]
    # Means 2, 2, 5: of three pairs one is tied, so tau-b is 2 / sqrt(2 * 3).
    assert with_128[32] == pytest.approx(2 / np.sqrt(6))
    (axes,) = draw(pd.concat([small, large]), ["batch_size"])
    assert axes.get_title(loc="left").endswith("τ with batch size 128: 0.82 (32)")
    assert axes.get_ylim() == (3.6, 0.4)


def test_singular_and_failed_samples_are_counted_and_never_a_score():
    table = samples("minibatch", [[-INF, 1, np.nan], [2, 3, 4]])
    (axes,) = draw(table, ["minibatch"])
    assert axes.get_title(loc="left").endswith("1 singular (marks below), 1 failed")
    assert [line.get_marker() for line in axes.lines] == ["v"]
    found = data(table, ["minibatch"])
    first = found.iloc[0]
    assert (first["samples"], first["singular"], first["failed"], first["mean"]) == (1, 1, 1, 1)
    # Singular is the last rank, failed has none.
    assert first["mean_rank"] == 2
    assert found["status"].tolist() == ["singular", "ok", "failed", "ok", "ok", "ok"]


def test_the_data_are_the_samples_with_what_is_said_of_their_network_and_panel():
    kinds = ["gaussian", "minibatch", "batch_size"]
    table = ablated(4, 3)
    found = data(table, kinds)
    assert list(found.columns) == COLUMNS
    assert len(found) == 4 * 3 * (1 + 1 + 4)
    assert list(dict.fromkeys(found["kind"])) == kinds
    axes = draw(table, kinds)[0]
    dots = np.concatenate([dots.get_offsets()[:, 1] for dots in axes.collections if len(dots.get_offsets()) == 3])
    assert dots.tolist() == found.loc[found["kind"] == "gaussian", "score"].tolist()
    for (_, _, _), network in found.groupby(["kind", "batch_size", "arch_index"]):
        assert network["mean"].unique() == pytest.approx([network["score"].mean()])
        assert network["mean_rank"].unique() == pytest.approx([network["rank"].mean()])
    for row in agreement(table).itertuples():
        setting = found[(found["kind"] == row.kind) & (found["batch_size"] == row.batch_size)]
        if len(setting):
            assert set(setting["tau_with_accuracy"]) == {row.with_accuracy}
            assert set(setting["reference"]) == {row.reference}
    references = found.drop_duplicates(["kind", "batch_size"]).set_index(["kind", "batch_size"])["reference"]
    assert references["gaussian", 128] == "minibatch 128"
    assert references["minibatch", 128] == references["batch_size", 128] == ""
    assert references["batch_size", 32] == "batch_size 128"
    assert data(table.iloc[:0], kinds).columns.tolist() == COLUMNS


def test_titles_that_stand_side_by_side_begin_at_one_height():
    table = pd.concat([samples("minibatch", [[-INF, 1], [2, 3]]), samples("gaussian", [[1, 2], [2, 3]])])
    first, second = draw(table, ["minibatch", "gaussian"])
    assert first.get_title(loc="left").count("\n") == second.get_title(loc="left").count("\n")
    assert second.get_title(loc="left").endswith("\n")


def test_networks_of_equal_ranks_have_deviations_apart_and_labels_at_their_ends():
    table = samples("batch_size", [[1, 2], [2, 1], [5, 5]], 128)
    axes = draw(table, ["batch_size"])[0]
    bars = [line.get_segments()[0][:, 0] for line in axes.collections]
    assert np.diff(sorted(float(x[0]) for x in bars)).min() > 0.1
    assert sorted(float(text.xy[0]) for text in axes.texts) == pytest.approx(sorted(float(x[0]) for x in bars))


def test_a_network_with_a_singular_sample_has_the_lowest_mean():
    table = pd.concat([samples("minibatch", [[1], [2], [3]]), samples("gaussian", [[-INF], [2], [3]])])
    assert agreement(table).set_index("kind").loc["gaussian", "with_reference"] == 1


def test_a_kind_that_is_not_there_says_why():
    axes = draw(samples("minibatch", [[1], [2]]), ["minibatch", "gaussian"], reasons={"gaussian": "too few images"})
    assert axes[1].texts[0].get_text() == "too few images"


def test_an_unknown_kind_is_refused():
    with pytest.raises(NaswotError, match=r"Unknown kind of ablation: colour\. Known: minibatch"):
        ablation(samples("minibatch", [[1]]), ["colour"], y_label="score")
