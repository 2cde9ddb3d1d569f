"""The two CSV tables, their twins for people, and which published number stands beside which measured one."""

from __future__ import annotations

import csv
import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.headline import headline
from naswot_ext.provenance import read_table, write_table
from naswot_ext.tables import (
    correlation_rows,
    final_accuracies,
    published_tau,
    quoted_rows,
    read_published,
    row_label,
    search_label,
    search_rows,
    write_correlations,
    write_searches,
)
from tests.results.conftest import score_table, truth_table

CORRELATION_HEADER = (
    "space,scored_on,proxy,dataset,split,architectures,singular,failed,kendall,kendall_low,kendall_high,"
    "spearman,spearman_low,spearman_high,published_kendall,"
    "weighted_tau,weighted_tau_low,weighted_tau_high,ndcg,ndcg_low,ndcg_high,ndcg_100,ndcg_100_low,ndcg_100_high,"
    "regret_1,regret_1_low,regret_1_high,regret_10,regret_10_low,regret_10_high,"
    "regret_100,regret_100_low,regret_100_high,kendall_filtered,kendall_filtered_low,kendall_filtered_high,"
    "partial_kendall,partial_kendall_low,partial_kendall_high,partial_spearman,partial_spearman_low,"
    "partial_spearman_high,partial_pearson,partial_pearson_low,partial_pearson_high,filtered_architectures"
)
SEARCH_HEADER = (
    "space,scored_on,proxy,algorithm,n_samples,runs,dataset,split,mean,std,search_seconds,"
    "published_mean,published_std,published_source"
)


def facts(algorithm="naswot", n_samples=10, proxy="naswot", scored_on="gaussian", space="nasbench201"):
    return {
        "space": space,
        "scored_on": scored_on,
        "algorithm": algorithm,
        "proxy": proxy,
        "n_samples": n_samples,
    }


def beside(published, search, dataset, split):
    """What stands beside a search, (mean, std, source)."""
    accuracies = runs([92.0]).rename(columns={"cifar10_test": f"{dataset}_{split}"})
    (row,) = search_rows(accuracies, search, published).itertuples()
    return row.published_mean, row.published_std, row.published_source


def runs(accuracies, seconds=0.5):
    found = [-1 if math.isnan(a) else i for i, a in enumerate(accuracies)]
    return pd.DataFrame({"arch_index": found, "arch": "", "cifar10_test": accuracies, "seconds": seconds})


def correlations(published, scores, truth, **options):
    names = {"space": "nasbench201", "scored_on": "gaussian", "proxy": "naswot", "bootstrap": 30}
    return correlation_rows([scores], truth, published, **(names | options))


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def write_both(folder: Path, published, noisy) -> list[Path]:
    scores, truth = noisy(40, {3: "singular", 5: "failed"})
    paths = [folder / name for name in ("correlations.csv", "correlations.md", "searches.csv", "searches.md")]
    write_correlations([correlations(published, scores, truth)], *paths[:2])
    rows = [search_rows(runs([92.0, 93.0]), facts(), published)]
    rows.append(search_rows(runs([80.0, 90.0], np.nan), facts("random", None, None), published))
    write_searches(rows, *paths[2:])
    return paths


def test_the_headers_are_the_columns_that_others_build_on(tmp_path, published, noisy):
    files = write_both(tmp_path, published, noisy)
    assert files[0].read_text().splitlines()[0] == CORRELATION_HEADER
    assert files[2].read_text().splitlines()[0] == SEARCH_HEADER


def test_writing_again_gives_the_same_bytes(tmp_path, published, noisy):
    first, second = (write_both(tmp_path / name, published, noisy) for name in ("first", "second"))
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]


def test_a_correlation_row_survives_a_parquet_file(tmp_path, published, noisy):
    rows = correlations(published, *noisy(20))
    write_table(rows, tmp_path / "naswot.parquet")
    write_correlations([rows], tmp_path / "a.csv", tmp_path / "a.md")
    write_correlations([read_table(tmp_path / "naswot.parquet")], tmp_path / "b.csv", tmp_path / "b.md")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_correlation_table_counts_singular_and_failed_architectures(tmp_path, published, noisy):
    (row,) = read_rows(write_both(tmp_path, published, noisy)[0])
    assert (row["architectures"], row["singular"], row["failed"]) == ("39", "1", "1")
    assert (row["dataset"], row["split"], row["published_kendall"]) == ("cifar10", "test", "0.574")
    assert float(row["kendall_low"]) < float(row["kendall"]) < float(row["kendall_high"])


def test_further_measures_have_columns_with_intervals_and_a_table_of_their_own(tmp_path, published, noisy):
    scores, truth = noisy(40, {3: "singular", 5: "failed"})
    truth["params"] = 1000 + 7 * np.arange(40) % 11
    write_correlations([correlations(published, scores, truth, filter_below=80)], tmp_path / "c.csv", tmp_path / "c.md")
    (row,) = read_rows(tmp_path / "c.csv")
    for name in ("weighted_tau", "ndcg", "regret_10", "kendall_filtered", "partial_kendall"):
        assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"]), name
    # A singular score has a rank but no value.
    assert (row["partial_pearson"], row["partial_pearson_low"]) == ("", "")
    assert int(row["filtered_architectures"]) == (truth["test_accuracy"].drop(5) >= 80).sum() < 39
    tables = [line for line in (tmp_path / "c.md").read_text().splitlines() if line.startswith("| NASWOT")]
    first, second = ([cell.strip() for cell in line.strip("|").split("|")] for line in tables)
    assert first[-3:] == ["39", "1", "1"]
    assert second[2] == f"{float(row['weighted_tau']):.3f}"
    assert second[8] == f"{float(row['kendall_filtered']):.3f} (n = {row['filtered_architectures']})"
    assert second[-2:] == [f"{float(row['partial_spearman']):.3f}", ""]


def test_parameters_are_those_of_the_data_set_that_the_accuracy_is_of(published):
    small, large = truth_table([1, 2, 3, 5, 4]), truth_table([1, 2, 3, 5, 4], dataset="cifar100")
    truth = pd.concat([small.assign(params=-1), large.assign(params=[5, 1, 3, 2, 4])])
    rows = correlations(published, score_table([1, 3, 2, 4, 5]), truth)
    assert list(rows["partial_kendall"].isna()) == [True, False]


def test_there_is_a_row_for_every_data_set_and_split_with_an_accuracy(published):
    truth = pd.concat([truth_table([1, 2, 3], [2, 3, 1]), truth_table([1, 3, 2], dataset="cifar100")])
    rows = correlations(published, score_table([1, 2, 3]), truth)
    assert list(zip(rows["dataset"], rows["split"], strict=True)) == [
        ("cifar10", "valid"),
        ("cifar10", "test"),
        ("cifar100", "test"),
    ]
    assert list(rows["kendall"]) == pytest.approx([-1 / 3, 1, 1 / 3])


def test_the_longest_training_of_each_data_set_counts():
    short = truth_table([3, 2, 1]).assign(epochs=12)
    other = truth_table([5, 6, 7], dataset="cifar100").assign(epochs=90)
    final = final_accuracies(pd.concat([truth_table([1, 2, 3]), short, other]))
    assert {name: list(accuracy) for name, accuracy in final.items()} == {
        ("cifar10", "test"): [1, 2, 3],
        ("cifar100", "test"): [5, 6, 7],
    }


def test_an_undefined_correlation_is_an_empty_cell_and_a_line_in_the_log(tmp_path, published, caplog):
    with caplog.at_level(logging.WARNING):
        rows = correlations(published, score_table([4, 4, 4]), truth_table([1, 2, 3]))
    write_correlations([rows], tmp_path / "c.csv", tmp_path / "c.md")
    (row,) = read_rows(tmp_path / "c.csv")
    assert row["kendall"] == row["kendall_low"] == row["spearman"] == ""
    assert "nasbench201, naswot on gaussian, cifar10 test: correlation undefined: all scores are equal" in caplog.text
    assert "nan" not in (tmp_path / "c.md").read_text()


def test_search_rows_hold_mean_population_deviation_and_published_numbers(tmp_path, published):
    write_searches([search_rows(runs([92.0, 93.0]), facts(), published)], tmp_path / "s.csv", tmp_path / "s.md")
    (row,) = read_rows(tmp_path / "s.csv")
    assert (row["runs"], row["mean"], row["std"], row["search_seconds"]) == ("2", "92.500000", "0.500000", "0.500")
    assert (row["published_mean"], row["published_std"]) == ("92.44", "1.13")
    assert row["published_source"] == "mellor2021-icml table2a"
    assert "| NASWOT, N = 10 | CIFAR-10 test | 92.50 ± 0.50 | 92.44 ± 1.13 |" in (tmp_path / "s.md").read_text()


def test_an_optimum_by_test_accuracy_says_that_the_published_one_is_by_validation(published):
    made_by = facts("optimal", 10, None) | {"by": "test"}
    (source,) = search_rows(runs([92.0, 93.0]), made_by, published)["published_source"]
    assert source == "mellor2021-icml table2a (chosen by validation accuracy)"


def test_runs_that_found_nothing_are_left_out_and_logged(published, caplog):
    with caplog.at_level(logging.WARNING):
        (row,) = search_rows(runs([92.0, np.nan, 94.0]), facts(), published).itertuples()
    assert (row.runs, row.mean) == (2, 93)
    assert "1 of 3 runs found no architecture" in caplog.text


def test_a_search_that_found_nothing_at_all_has_a_row_with_empty_cells(tmp_path, published):
    write_searches([search_rows(runs([np.nan, np.nan]), facts(), published)], tmp_path / "s.csv", tmp_path / "s.md")
    (row,) = read_rows(tmp_path / "s.csv")
    assert (row["runs"], row["mean"], row["std"]) == ("0", "", "")


def test_absent_samples_proxy_and_seconds_are_empty_cells(tmp_path, published, noisy):
    row = read_rows(write_both(tmp_path, published, noisy)[2])[1]
    assert (row["algorithm"], row["n_samples"], row["proxy"], row["search_seconds"]) == ("random", "", "", "")
    assert (row["published_mean"], row["published_std"]) == ("86.61", "13.46")


@pytest.mark.parametrize(
    ("search", "dataset", "split", "expected"),
    [
        (facts(), "cifar10", "test", (92.44, 1.13, "mellor2021-icml table2a")),
        (facts(n_samples=100), "cifar10", "test", (92.81, 0.99, "mellor2021-icml table2a")),
        (facts(), "cifar100", "valid", (68.5, 2.03, "mellor2021-icml table2a")),
        (facts(scored_on="cifar10"), "cifar100", "valid", (68.5, 2.03, "mellor2021-icml table2a")),
        (facts("optimal", 10, None), "cifar10", "valid", (89.92, 0.75, "mellor2021-icml table2a")),
        (facts("optimal", 10, None, "cifar100"), "cifar10", "valid", (89.92, 0.75, "mellor2021-icml table2a")),
        (facts("random", None, None), "cifar10", "valid", (83.2, 13.28, "mellor2021-icml table2a")),
        (facts(space="nats-sss"), "cifar10", "test", (88.66, 0.9, "mellor2021-icml table2b")),
        (facts(space="nats-sss", scored_on="cifar100"), "cifar100", "test", (64.54, 4.7, "mellor2021-icml table2b")),
        (facts(n_samples=100, space="nasbench101"), "cifar10", "test", (91.77, 0.05, "mellor2021-icml table1")),
    ],
)
def test_published_accuracies_stand_beside_the_same_search(published, search, dataset, split, expected):
    assert beside(published, search, dataset, split) == expected


@pytest.mark.parametrize(
    ("search", "dataset"),
    [
        (facts(n_samples=25), "cifar10"),
        (facts(proxy="params"), "cifar10"),
        (facts(scored_on="cifar100"), "cifar100"),
        (facts(scored_on="cifar10", space="nats-sss"), "cifar100"),
        (facts(space="nowhere"), "cifar10"),
    ],
)
def test_another_search_has_no_published_accuracy_beside_it(published, search, dataset):
    mean, std, source = beside(published, search, dataset, "test")
    assert math.isnan(mean)
    assert math.isnan(std)
    assert not source


def test_other_papers_stand_beside_what_only_they_have_and_beside_what_a_config_names(published):
    found = runs([92.0, 93.0])
    (row,) = search_rows(found, facts(n_samples=100, proxy="jacobian", scored_on="cifar10"), published).itertuples()
    assert (row.published_mean, row.published_source) == (91.61, "mellor2020-arxiv-v1 table1")
    made_by = facts("nasi", None, None, "cifar10") | {"variant": "4T"}
    (row,) = search_rows(found, made_by, published, beside="NASI(4T)").itertuples()
    assert (row.algorithm, row.published_mean) == ("nasi@4T", 93.55)
    (row,) = search_rows(found, facts("area", 20, scored_on="cifar10"), published).itertuples()
    assert math.isnan(row.published_mean)  # it has validation accuracies alone
    (row,) = search_rows(
        found.rename(columns={"cifar10_test": "cifar10_valid"}), facts("area", 20), published
    ).itertuples()
    assert row.published_mean == 91.2


def test_methods_that_were_not_run_are_quoted_as_such(tmp_path, published):
    measured = search_rows(runs([92.0, 93.0]), facts(scored_on="cifar10"), published)
    quoted = quoted_rows(published, ["GDAS", "darts_v1"], measured, "nasbench201", "cifar10")
    write_searches([measured, quoted], tmp_path / "s.csv", tmp_path / "s.md")
    _, gdas, darts = read_rows(tmp_path / "s.csv")
    assert (gdas["algorithm"], gdas["runs"], gdas["mean"], gdas["published_mean"]) == ("GDAS", "0", "", "93.51")
    assert gdas["published_source"] == "mellor2021-icml table2a, quoted: not run here"
    assert darts["published_mean"] == "54.3"
    # They were searched on CIFAR-10: another data set's images are no counterpart.
    assert quoted_rows(published, ["GDAS"], measured, "nasbench201", "cifar100").empty
    with pytest.raises(NaswotError, match="Did you mean 'GDAS'"):
        quoted_rows(published, ["GDSA"], measured, "nasbench201", "cifar10")


@pytest.mark.parametrize(
    ("space", "scored_on", "proxy", "dataset", "expected"),
    [
        ("nasbench201", "gaussian", "naswot", "cifar10", 0.574),
        ("nasbench201", "cifar100", "naswot", "cifar100", 0.611),
        ("nasbench201", "gaussian", "params", "cifar10", 0.578),
        ("nasbench201", "cifar100", "flops", "cifar10", 0.578),
        ("nasbench101", "cifar10", "naswot", "cifar10", 0.285),
    ],
)
def test_published_taus_are_mellors_and_else_lees(published, space, scored_on, proxy, dataset, expected):
    assert published_tau(published, space, scored_on, proxy, dataset, "test") == expected
    assert math.isnan(published_tau(published, space, scored_on, proxy, dataset, "valid"))


def test_scores_of_another_data_sets_images_have_no_published_tau(published):
    assert math.isnan(published_tau(published, "nasbench201", "cifar100", "naswot", "cifar10", "test"))


def test_no_published_search_of_the_source_is_ambiguous(published):
    accuracies = published[published["source"] == "mellor2021-icml"].query("measure == 'accuracy_percent'")
    key = ["space", "method", "n_samples", "dataset", "split"]
    assert not accuracies.duplicated(key).any()


def test_searches_are_called_what_people_call_them():
    assert search_label("naswot", "naswot", 10) == "NASWOT, N = 10"
    assert search_label("naswot", "params", 10) == "naswot over params, N = 10"
    assert search_label("random", None, None) == "random"
    # Variants stay apart, whatever they go by.
    assert search_label("naswot@mine", "params", 10) == "naswot (mine) over params, N = 10"
    assert search_label("naswot@mine", "naswot", 10) == "NASWOT (mine), N = 10"
    assert search_label("area@mine", "params", 20) == "AREA (mine) over params, N = 20"
    assert search_label("funnel", None, "all") == "funnel, N = all"


def test_a_search_among_all_architectures_says_so_wherever_it_is_named(tmp_path, published):
    of_all = search_rows(runs([92.0, 93.0]), facts("funnel", "all", None), published)
    parts = [of_all, search_rows(runs([92.0, 93.0]), facts(), published)]
    csv, markdown = tmp_path / "searches.csv", tmp_path / "searches.md"
    write_searches(parts, csv, markdown)
    assert pd.read_csv(csv, dtype=str)["n_samples"].unique().tolist() == ["all", "10"]
    labels = ["funnel, N = all", "NASWOT, N = 10"]
    assert all(f"| {label} |" in markdown.read_text() for label in labels)
    assert list(dict.fromkeys(map(row_label, pd.read_csv(csv).itertuples()))) == labels


def test_the_headline_says_tau_and_accuracy_found_beside_the_published(tmp_path, published, noisy):
    write_both(tmp_path, published, noisy)
    lines = headline(tmp_path)
    assert lines[0] == "Kendall tau with CIFAR-10 test accuracy (NAS-Bench-201, scored on standard-normal images):"
    assert "39 architectures, 1 singular, 1 failed, published 0.574" in lines[1]
    assert any("NASWOT, N = 10  92.50 ± 0.50" in line and "published 92.44 ± 1.13" in line for line in lines)


def test_a_missing_or_incomplete_file_of_published_numbers_is_a_clear_error(tmp_path):
    with pytest.raises(NaswotError, match="No such file"):
        read_published(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_text("source,table\na,b\n")
    with pytest.raises(NaswotError, match=r"bad\.csv has no column space, method"):
        read_published(tmp_path / "bad.csv")
