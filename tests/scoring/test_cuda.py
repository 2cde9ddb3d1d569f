"""The engine and its device on a GPU."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from naswot_ext import devices, ops, scoring
from naswot_ext.provenance import read_table
from naswot_ext.proxies import PROXIES
from naswot_ext.spaces import SPACES

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.skipif(not ops.build_info()["cuda"], reason="the library was built without CUDA"),
]
INDICES = [5, 900, 33, 11920, 33, 7]


def score(batch: Path, output: Path, **options: Any) -> pd.DataFrame:
    options = {"device": "cuda", "progress": False, **options}
    scoring.score_architectures("nasbench201", INDICES, "naswot", batch, 0, output, **options)
    return read_table(output)


def test_the_number_of_networks_in_flight_changes_no_score(batch: Path, tmp_path: Path) -> None:
    tables = [score(batch, tmp_path / f"{n}.parquet", in_flight=n).drop(columns="seconds") for n in (1, 2, 64)]
    assert (tables[0]["status"] == "ok").all()
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], check_exact=True)


def test_building_and_launching_do_not_wait_for_the_gpu(batch: Path) -> None:
    space, proxy, images = SPACES.get("nasbench201"), PROXIES.get("naswot"), scoring._to_device(batch, "cuda", None)
    assert proxy.launch is not None
    engine = scoring._Engine(space, proxy, images, 0, "cuda", None, "")
    proxy.launch(engine._build(5), images)  # what is set up once may wait
    try:
        torch.cuda.set_sync_debug_mode("error")
        for index in INDICES:
            proxy.launch(engine._build(index), images)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_bfloat16_and_tf32_score_nearly_the_same(batch: Path, tmp_path: Path) -> None:
    exact = score(batch, tmp_path / "float32.parquet")["score"]
    for precision in ("tf32", "bfloat16"):
        rounded = score(batch, tmp_path / f"{precision}.parquet", precision=precision)["score"]
        assert ((rounded - exact).abs() < 0.05 * exact.abs()).all()


def test_the_driver_names_gpus_as_torch_does() -> None:
    ours = devices._uuids(ctypes.CDLL("libcuda.so.1"))
    torchs = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    assert len(ours) == len(torchs)
    if not any(name.startswith("MIG") for name in torchs):
        assert ours == torchs


def test_a_claimed_gpu_is_the_current_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "_LOCK_FOLDER", tmp_path)
    with devices.claim("cuda") as device:
        assert torch.cuda.current_device() == torch.device(device).index
