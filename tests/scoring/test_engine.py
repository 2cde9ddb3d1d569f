"""The engine: neighbours do not matter, failures are rows, a kill or a full disk loses nothing."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import naswot_ext
from naswot_ext import scoring
from naswot_ext.datasets import load_batch, make_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.proxies import PROXIES, Images, Proxy, Scored
from naswot_ext.sampling import sample_architectures
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES

SPACE = SPACES.get("nasbench201")
ALL_NONE = SPACE.index("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def score(indices: list[int], batch: Path, output: Path, proxy: str = "naswot", **options) -> pd.DataFrame:
    scoring.score_architectures("nasbench201", indices, proxy, batch, 0, output, **options)
    return read_table(output)


def test_a_score_is_the_same_alone_in_company_and_in_another_order(batch: Path, tmp_path: Path) -> None:
    together = score([5, 900, 33], batch, tmp_path / "a.parquet").set_index("arch_index")
    reversed_ = score([33, 900, 5], batch, tmp_path / "b.parquet").set_index("arch_index")
    alone = score([900], batch, tmp_path / "c.parquet").set_index("arch_index")
    assert together.loc[[33, 900, 5], "score"].tolist() == reversed_["score"].tolist()
    assert alone.loc[900, "score"] == together.loc[900, "score"]
    assert together["score"].nunique() == 3


def test_it_is_the_score_that_a_user_gets_from_the_same_initialisation(batch: Path, tmp_path: Path) -> None:
    row = score([5], batch, tmp_path / "a.parquet").iloc[0]
    torch.manual_seed(derive(0, "initialisation", 5))
    network = SPACE.build(SPACE.architecture(5), num_classes=10)
    images = torch.from_numpy(load_batch(batch).images).contiguous(memory_format=torch.channels_last)
    expected = naswot_ext.score(network, images)
    assert row["score"] == float(expected)
    assert row["units"] == expected.units


def test_the_table_has_the_promised_columns_and_says_how_it_was_made(batch: Path, tmp_path: Path) -> None:
    table = score([5, ALL_NONE], batch, tmp_path / "a.parquet")
    assert list(table.columns) == ["arch_index", "arch", "score", "status", "error", "units", "seconds"]
    assert table["arch_index"].dtype == np.int32
    assert table["status"].tolist() == ["ok", "singular"]
    assert table["score"].iloc[1] == -math.inf
    assert (table["seconds"] > 0).all()
    made = read_provenance(tmp_path / "a.parquet")
    assert {"package_version", "build_fingerprint", "proxy", "seed", "device", "torch", "batch", "code"} <= set(made)


@pytest.mark.parametrize("proxy", ["params", "units", "flops"])
def test_the_cheap_baselines_count_what_they_say(proxy: str, batch: Path, tmp_path: Path) -> None:
    row = score([11920], batch, tmp_path / "a.parquet", proxy).iloc[0]
    network = SPACE.build(SPACE.architecture(11920), num_classes=10)
    if proxy == "params":
        # 343,761 with one class (tests/golden); nine classes more have 64 weights and a bias each.
        expected = 343_761 + 9 * 65
    elif proxy == "units":
        # 327,680 at 32x32 (tests/golden): an 8x8 image has a 16th, but for the head's 64 channels of 2x2.
        expected = 327_680 // 16
        assert row["units"] == expected
    else:
        shapes: list[tuple[nn.Conv2d | nn.Linear, torch.Tensor]] = []
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(lambda m, _, output: shapes.append((m, output)))
        network.eval()(torch.randn(1, 3, 8, 8))
        expected = sum(2 * out.numel() * module.weight[0].numel() for module, out in shapes)
    assert row["score"] == expected


def test_a_network_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([Scored(1.5, 3), RuntimeError("out of memory"), Scored(math.nan), Scored(math.inf), Scored(2.5, 4)])

    def compute(network: nn.Module, images: Images) -> Scored:
        outcome = next(calls)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setitem(PROXIES._entries, "naswot", Proxy("naswot", "", "", compute))
    table = score([1, 2, 3, 4, 5], batch, tmp_path / "a.parquet")
    assert table["status"].tolist() == ["ok", "failed", "failed", "failed", "ok"]
    assert table["error"].tolist() == ["", "RuntimeError: out of memory", "the score is nan", "the score is inf", ""]


def test_gathering_sorts_and_counts_and_refuses_a_table_of_nothing_but_failures(batch: Path, tmp_path: Path) -> None:
    score([900, ALL_NONE], batch, tmp_path / "0.parquet")
    score([33], batch, tmp_path / "1.parquet")
    counts = scoring.gather([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "all.parquet")
    assert counts == {"ok": 2, "singular": 1, "failed": 0}
    assert read_table(tmp_path / "all.parquet")["arch_index"].tolist() == sorted([900, ALL_NONE, 33])
    # One channel does not fit the networks' stem.
    save_batch(make_batch({"source": "gaussian", "channels": 1, "image_size": 8}, 4, seed=0), tmp_path / "grey.npz")
    table = score([1, 2], tmp_path / "grey.npz", tmp_path / "grey.parquet")
    assert table["status"].tolist() == ["failed"] * 2
    with pytest.raises(NaswotError, match="None of the 2 architectures"):
        scoring.gather([tmp_path / "grey.parquet"], tmp_path / "out.parquet")


def test_shards_that_were_not_made_alike_are_not_joined(batch: Path, tmp_path: Path) -> None:
    score([900], batch, tmp_path / "0.parquet")
    score([33], batch, tmp_path / "1.parquet", threads=2)
    with pytest.raises(NaswotError, match=r"threads is 1 in .*0\.parquet but 2 in .*1\.parquet"):
        scoring.gather([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "all.parquet")
    score([33, 900], batch, tmp_path / "2.parquet")
    with pytest.raises(NaswotError, match="Architecture 900 stands in two shards"):
        scoring.gather([tmp_path / "0.parquet", tmp_path / "2.parquet"], tmp_path / "all.parquet")


def test_more_architectures_extend_a_smaller_draw() -> None:
    few = sample_architectures(15_625, 100, seed=0)
    many = sample_architectures(15_625, 1000, seed=0)
    assert few.tolist() == many[:100].tolist()
    assert len(set(many)) == 1000
    assert sorted(sample_architectures(15_625, "all", seed=0)) == list(range(15_625))
    with pytest.raises(NaswotError, match="15626 architectures are to be drawn from 15625"):
        sample_architectures(15_625, 15_626, seed=0)


PROGRAM = """
import sys
from naswot_ext.scoring import score_architectures
batch, output = sys.argv[1:]
score_architectures("nasbench201", range(30), "naswot", batch, 0, output, record_seconds=False)
"""
# Stops behind the 20th row: however late it is killed, it has not come to its end.
STOPPING = """
import time
from naswot_ext import partial
append = partial.Partial.append
partial.Partial.append = lambda self, rows: time.sleep(600) if self.rows == 20 else append(self, rows)
"""


def start(batch: Path, output: Path, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", before + PROGRAM, str(batch), str(output)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_a_killed_shard_goes_on_where_it_was_with_the_same_bytes(batch: Path, tmp_path: Path) -> None:
    output, partial = tmp_path / "killed.parquet", tmp_path / "killed.parquet.partial"
    process = start(batch, output, STOPPING)
    deadline = time.monotonic() + 240
    while not (partial.exists() and partial.read_text().count("\n") > 5):
        assert time.monotonic() < deadline, "the shard did not start"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    before = partial.read_text()
    partial.write_text(before + '{"arch_index": 17, "ar')  # a line that the kill cut short
    again = start(batch, output)
    assert again.wait() == 0
    assert f"{before.count(chr(10)) - 1} of 30 are there already" in again.stderr.read()
    assert not partial.exists()
    assert start(batch, tmp_path / "whole.parquet").wait() == 0
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_partial_file_of_another_batch_is_not_taken_over(batch: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    partial = tmp_path / "a.parquet.partial"
    partial.write_text('{"batch": "another"}\n{"arch_index": 1, "arch": "x", "score": 1.0}\n')
    assert score([5], batch, output)["arch_index"].tolist() == [5]


def test_two_processes_on_one_shard_score_it_once(batch: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    both = [start(batch, output) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    progress = [process.stderr.read() for process in both]
    assert sum("30/30" in text for text in progress) == 1
    assert len(read_table(output)) == 30


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_written_table(batch: Path, tmp_path: Path) -> None:
    limit_files_to_1500_bytes = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit_files_to_1500_bytes += "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
    output = tmp_path / "a.parquet"
    command = [sys.executable, "-c", limit_files_to_1500_bytes + PROGRAM, str(batch), str(output)]
    full = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert full.returncode != 0
    last_line = full.stderr.strip().splitlines()[-1]
    assert f"NaswotError: Cannot write {output}: File too large. Free some space" in last_line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet.partial", "batch.npz"]
    # With room again, the rows that were whole are kept and the table is the same as ever.
    again = start(batch, output)
    assert again.wait() == 0
    assert "are there already" in again.stderr.read()
    assert start(batch, tmp_path / "whole.parquet").wait() == 0
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_one_clear_error(device: str, batch: Path, tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match=f"There is no device '{device}' here"):
        score([5], batch, tmp_path / "a.parquet", device=device)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_folder_is_one_clear_error(batch: Path, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    with pytest.raises(NaswotError, match=r"Cannot write .*: Permission denied"):
        score([5], batch, folder / "a.parquet")
