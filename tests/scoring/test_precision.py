"""Float32 means float32, whatever the process had set; other precisions are asked for and never mixed in."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from naswot_ext import scoring
from naswot_ext.datasets import load_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.precision import PRECISIONS, cast, numerics
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.proxies import PROXIES, Images, Proxy, Scored

BACKENDS = {
    "products on GPUs": torch.backends.cuda.matmul,
    "convolutions on GPUs": torch.backends.cudnn.conv,
    "recurrences on GPUs": torch.backends.cudnn.rnn,
    "products on CPUs": torch.backends.mkldnn.matmul,
    "convolutions on CPUs": torch.backends.mkldnn.conv,
}


def settings() -> dict[str, Any]:
    return {name: backend.fp32_precision for name, backend in BACKENDS.items()} | {
        "timed": torch.backends.cudnn.benchmark
    }


@pytest.fixture(params=["torch's defaults", "all that is fast"])
def before(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Settings that a process may have when it starts to score."""
    old = settings()
    if request.param == "all that is fast":
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.benchmark = True
    yield settings()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    for name, backend in BACKENDS.items():
        backend.fp32_precision = old[name]


def score(indices: list[int], batch: Path, output: Path, proxy: str = "naswot", **options: Any) -> pd.DataFrame:
    scoring.score_architectures("nasbench201", indices, proxy, batch, 0, output, progress=False, **options)
    return read_table(output)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_tf32_rounds_and_all_is_set_again_after(precision: str, before: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with numerics(precision):
            inside = settings()
    assert inside.pop("timed") is False
    on_gpus = {name: inside.pop(name) for name in list(inside) if name.endswith("GPUs")}
    assert set(on_gpus.values()) == {"tf32" if precision == "tf32" else "ieee"}
    assert set(inside.values()) == {"ieee"}
    assert settings() == before


def test_networks_are_built_and_scored_under_these_settings(
    before: dict[str, Any], batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def compute(network: nn.Module, images: Images) -> Scored:
        seen.append(settings())
        raise ValueError

    monkeypatch.setitem(PROXIES._entries, "params", Proxy("params", "", "", compute))
    score([5], batch, tmp_path / "a.parquet", "params")
    assert set(seen[0].values()) == {"ieee", False}
    assert settings() == before


@pytest.mark.parametrize("proxy", ["naswot", "units", "params", "flops"])
def test_bfloat16_rounds_network_and_images(proxy: str, batch: Path, tmp_path: Path) -> None:
    exact = score([5, 900, 33], batch, tmp_path / "a.parquet", proxy)
    rounded = score([5, 900, 33], batch, tmp_path / "b.parquet", proxy, precision="bfloat16")
    assert rounded["status"].tolist() == ["ok"] * 3
    assert rounded["units"].tolist() == exact["units"].tolist()
    difference = (rounded["score"] - exact["score"]).abs()
    if proxy == "naswot":
        assert 0 < difference.max() < 0.05 * exact["score"].abs().max()
    else:
        assert difference.max() == 0


def test_a_bfloat16_network_starts_from_the_weights_of_the_float32_one(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[nn.Module, Images]] = []

    def compute(network: nn.Module, images: Images) -> Scored:
        seen.append((network, images))
        return Scored(1.0)

    monkeypatch.setitem(PROXIES._entries, "params", Proxy("params", "", "", compute))
    for precision in ("float32", "bfloat16"):
        score([5], batch, tmp_path / f"{precision}.parquet", "params", precision=precision)
    (exact, images), (rounded, rounded_images) = seen
    assert rounded_images.images.equal(images.images.bfloat16())
    for one, other in zip(exact.parameters(), rounded.parameters(), strict=True):
        assert other.equal(one.bfloat16())


def test_shards_of_different_precisions_are_not_joined(batch: Path, tmp_path: Path) -> None:
    score([900], batch, tmp_path / "0.parquet", "params")
    score([33], batch, tmp_path / "1.parquet", "params", precision="bfloat16")
    assert read_provenance(tmp_path / "0.parquet")["precision"] == "float32"
    with pytest.raises(NaswotError, match=r"precision is float32 in .* but bfloat16 in"):
        scoring.gather([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "all.parquet")


def test_a_table_of_another_precision_is_made_again(batch: Path, tmp_path: Path) -> None:
    exact = score([5], batch, tmp_path / "a.parquet")
    assert (score([5], batch, tmp_path / "a.parquet", precision="bfloat16")["score"] != exact["score"]).all()


def test_a_precision_that_there_is_not_is_an_error(batch: Path, tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match=r"tf32 is a mode of NVIDIA's GPUs, but the device is cpu\. Take float32"):
        score([5], batch, tmp_path / "a.parquet", precision="tf32")
    with pytest.raises(NaswotError, match=r"Unknown precision 'float16'\. Did you mean 'bfloat16'"):
        score([5], batch, tmp_path / "a.parquet", precision="float16")
    assert not (tmp_path / "a.parquet.partial").exists()
    assert cast("tf32", "cuda:1") is None


def test_images_that_are_not_finite_are_an_error_before_any_network(batch: Path, tmp_path: Path) -> None:
    loaded = load_batch(batch)
    loaded.images[0, 0, 0, 0] = math.nan
    save_batch(loaded, tmp_path / "nan.npz")
    with pytest.raises(NaswotError, match=r"The images of .*nan\.npz hold values that are NaN or infinite"):
        score([5], tmp_path / "nan.npz", tmp_path / "a.parquet")
