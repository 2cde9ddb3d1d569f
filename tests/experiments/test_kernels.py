"""The kernels and correlations in the tables are those that the scores are taken from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from naswot_ext.datasets import load_batch
from naswot_ext.experiments.jacobian_correlations import correlations, histograms, jacobian, write_histograms
from naswot_ext.experiments.kernels import kernels, write_kernels
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.proxies.jacobian import score_of
from naswot_ext.scoring import score_architectures
from naswot_ext.seeds import derive
from tests.experiments.small import chosen, images, space

B = 12


def scores(tmp_path: Path, file: Path, proxy: str, seed: int) -> pd.DataFrame:
    output = tmp_path / f"{proxy}.parquet"
    indices = chosen(3)["arch_index"].to_numpy()
    score_architectures(space(), indices, proxy, file, seed, output, progress=False)
    return read_table(output)


def break_first(monkeypatch: pytest.MonkeyPatch) -> None:
    build = type(space()).build

    def broken(self, architecture: str, num_classes: int = 1):
        if architecture == chosen(1)["arch"][0]:
            raise ValueError("no such layer")
        return build(self, architecture, num_classes)

    monkeypatch.setattr(type(space()), "build", broken)


def test_the_determinant_of_each_kernel_is_the_score_of_its_network(tmp_path: Path) -> None:
    file = images(tmp_path / "images.npz", B)
    table, expected = kernels(space(), chosen(3), file, seed=4), scores(tmp_path, file, "naswot", 4)
    assert len(table) == 3 * B * (B + 1) // 2
    for row in expected.itertuples():
        own = table[table["arch_index"] == row.arch_index]
        kernel = np.zeros((B, B))
        kernel[own["row"], own["column"]] = own["k"]
        kernel[own["column"], own["row"]] = own["k"]
        assert (own["row"] <= own["column"]).all()
        assert set(np.diag(kernel)) == {row.units} == set(own["units"])
        assert set(own["status"]) == {row.status}
        if row.status == "ok":
            assert np.linalg.slogdet(kernel)[1] == pytest.approx(row.score, rel=1e-12)
    assert expected["status"].tolist() == ["ok", "ok", "singular"]
    assert table["k"].dtype == np.int64


def test_a_network_that_fails_has_one_row_of_the_kernels_and_the_others_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = images(tmp_path / "images.npz", B)
    whole = kernels(space(), chosen(3), file)
    break_first(monkeypatch)
    table = kernels(space(), chosen(3), file)
    first = table.iloc[0]
    assert (first["row"], first["column"], first["status"]) == (-1, -1, "failed")
    assert first["error"] == "ValueError: no such layer"
    others = whole["arch_index"] != chosen(1)["arch_index"][0]
    assert table.iloc[1:].reset_index(drop=True).equals(whole[others].reset_index(drop=True))


@pytest.mark.parametrize(("proxy", "batchnorm"), [("jacobian", "eval"), ("jacobian_train", "train")])
def test_the_jacobian_is_the_one_that_the_score_of_2020_is_taken_from(
    tmp_path: Path, proxy: str, batchnorm: str
) -> None:
    file = images(tmp_path / "images.npz", B)
    for row in scores(tmp_path, file, proxy, 4).itertuples():
        torch.manual_seed(derive(4, "initialisation", row.arch_index))
        network = space().build(row.arch, 4)
        batch = torch.from_numpy(load_batch(file).images).contiguous(memory_format=torch.channels_last)
        assert score_of(jacobian(network, batch, batchnorm)) == row.score


def test_correlations_are_those_of_pairs_of_rows_each_once() -> None:
    rows = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    found = correlations(rows)
    expected = [np.corrcoef(rows[i], rows[j])[0, 1] for i in range(5) for j in range(i + 1, 5)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Of rows that are alike, rounding must not leave [-1, 1], which holds all bins.
    alike = correlations(torch.stack([rows[0], 3 * rows[0], -7 * rows[0]]))
    assert alike.tolist() == pytest.approx([1, -1, -1])
    assert abs(alike).max() <= 1


def test_each_histogram_counts_every_pair_in_its_bin(tmp_path: Path) -> None:
    file = images(tmp_path / "images.npz", B)
    table = histograms(space(), chosen(2), file, bins=20, seed=4)
    assert table.groupby("arch_index")["count"].sum().tolist() == [B * (B - 1) // 2] * 2
    for index, own in table.groupby("arch_index"):
        torch.manual_seed(derive(4, "initialisation", int(index)))
        network = space().build(own["arch"].iloc[0], 4)
        batch = torch.from_numpy(load_batch(file).images).contiguous(memory_format=torch.channels_last)
        values = correlations(jacobian(network, batch))
        within = [
            int(((values >= low) & (values < high)).sum()) for low, high in zip(own["low"], own["high"], strict=True)
        ]
        assert own["count"].tolist() == within
        assert (own["low"].iloc[0], own["high"].iloc[-1], len(own)) == (-1, 1, 20)


def test_networks_without_correlations_or_that_fail_have_empty_histograms_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_first(monkeypatch)
    table = histograms(space(), chosen(3), images(tmp_path / "images.npz", B), bins=10)
    by_band = table.groupby("band", sort=False)
    assert by_band["status"].first().to_dict() == {"good": "failed", "fair": "ok", "bad": "singular"}
    assert by_band["count"].sum().to_dict() == {"good": 0, "fair": B * (B - 1) // 2, "bad": 0}
    assert by_band["error"].first()["good"] == "ValueError: no such layer"


@pytest.mark.parametrize("write", [write_kernels, write_histograms])
def test_written_tables_hold_how_they_were_made_and_are_the_same_bytes_again(tmp_path: Path, write) -> None:
    file = images(tmp_path / "images.npz", B)
    for name in "ab":
        write(space(), chosen(2), file, tmp_path / f"{name}.parquet", dataset="blobs", choose={"by": "bands"})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    made = read_provenance(tmp_path / "a.parquet")
    assert made["dataset"] == "blobs"
    assert made["choose"] == {"by": "bands"}
    assert made["space"] == "nasbench201"
    assert len(made["images"]) == 64
