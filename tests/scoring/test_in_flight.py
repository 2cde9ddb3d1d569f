"""Networks under way together: nobody's score changes, nothing is lost, and memory suffices, by a fake device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from naswot_ext import partial, scoring
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_table
from naswot_ext.proxies import PROXIES, Images, Proxy, Scored
from naswot_ext.spaces import SPACES, SearchSpace

SPACE = SPACES.get("nasbench201")
ALL_NONE = SPACE.index("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def score(indices: Sequence[int], batch: Path, output: Path, proxy: str = "naswot", **options: Any) -> pd.DataFrame:
    scoring.score_architectures("nasbench201", indices, proxy, batch, 0, output, **options)
    return read_table(output)


class Tiny(SearchSpace):
    """Networks of one weight, which is random."""

    name = "nasbench201"

    def __len__(self) -> int:
        return 1_000_000

    def architecture(self, index: int) -> str:
        return f"tiny-{self.check_index(index)}"

    def index(self, architecture: str) -> int:
        return int(architecture.removeprefix("tiny-"))

    def canonical(self, architecture: str) -> str:
        return architecture

    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        network = nn.Linear(1, 1, bias=False)
        network.number = self.index(architecture)
        return network

    def neighbours(self, architecture: str) -> list[str]:
        return []


class Launched:
    """What a fake device keeps of a network that is under way."""

    def __init__(self, network: nn.Module) -> None:
        self.number: int = network.number  # type: ignore[assignment]
        self.scored = Scored(network.weight.item(), self.number)


@dataclass
class Device:
    """A fake proxy whose device has room for `room` networks at a time, and of which some networks go wrong."""

    room: int = 1000
    launch_errors: dict[int, BaseException] = field(default_factory=dict)
    finish_errors: dict[int, Exception] = field(default_factory=dict)
    finished_together: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.under_way: weakref.WeakSet[Launched] = weakref.WeakSet()

    def launch(self, network: nn.Module, images: Images) -> Launched:
        if network.number in self.launch_errors:
            raise self.launch_errors[network.number]
        if len(self.under_way) >= self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        launched = Launched(network)
        self.under_way.add(launched)
        return launched

    def finish(self, launched: Sequence[Launched]) -> list[Scored | NaswotError]:
        for one in launched:
            if one.number in self.finish_errors and not isinstance(self.finish_errors[one.number], NaswotError):
                raise self.finish_errors[one.number]
        self.finished_together.append([one.number for one in launched])
        return [self.finish_errors.get(one.number, one.scored) for one in launched]  # type: ignore[misc]

    def compute(self, network: nn.Module, images: Images) -> Scored:
        raise AssertionError("a proxy that can launch is not asked to compute")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    fake = Device()
    monkeypatch.setitem(SPACES._entries, "nasbench201", Tiny())
    monkeypatch.setitem(PROXIES._entries, "naswot", Proxy("naswot", "", "", fake.compute, fake.launch, fake.finish))
    return fake


@pytest.fixture
def expected(device: Device, batch: Path, tmp_path: Path) -> pd.DataFrame:
    """The table of architectures 0 to 19, one at a time."""
    table = score(range(20), batch, tmp_path / "expected.parquet", record_seconds=False)
    assert device.finished_together == [[i] for i in range(20)]
    assert table["score"].nunique() == 20
    device.finished_together.clear()
    return table


def test_the_number_of_networks_in_flight_changes_no_score(batch: Path, tmp_path: Path) -> None:
    indices = [5, ALL_NONE, 900, 33, 33, 11920]
    tables = [score(indices, batch, tmp_path / f"{n}.parquet", in_flight=n).drop(columns="seconds") for n in (1, 4, 8)]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    pd.testing.assert_frame_equal(tables[0], tables[2], check_exact=True)
    assert tables[0]["status"].tolist() == ["ok", "singular", "ok", "ok", "ok", "ok"]


def test_networks_are_launched_in_order_and_finished_together(
    device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path
) -> None:
    table = score(range(20), batch, tmp_path / "a.parquet", in_flight=8)
    assert device.finished_together == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), expected.drop(columns="seconds"), check_exact=True)


def test_the_seconds_of_a_chunk_are_shared_equally(device: Device, batch: Path, tmp_path: Path) -> None:
    seconds = score(range(6), batch, tmp_path / "a.parquet", in_flight=4)["seconds"]
    assert (seconds > 0).all()
    assert seconds[:4].nunique() == seconds[4:].nunique() == 1


def test_proxies_without_a_launch_run_one_by_one(batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = score([5, 900, 33], batch, tmp_path / "a.parquet", "params", in_flight=8)
    assert table["seconds"].nunique() == 3


def test_less_than_one_in_flight_is_an_error(batch: Path, tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match="in_flight is 0"):
        score([5], batch, tmp_path / "a.parquet", in_flight=0)


@pytest.mark.parametrize("where", ["launch_errors", "finish_errors"])
@pytest.mark.parametrize("error", [NaswotError("no rectifier"), ValueError("not this one")])
def test_a_network_that_goes_wrong_is_a_failed_row_and_its_neighbours_go_on(
    where: str, error: Exception, device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path
) -> None:
    getattr(device, where)[10] = error
    table = score(range(20), batch, tmp_path / "a.parquet", in_flight=8, record_seconds=False)
    reason = str(error) if isinstance(error, NaswotError) else f"ValueError: {error}"
    assert (table.loc[10, "status"], table.loc[10, "error"]) == ("failed", reason)
    pd.testing.assert_frame_equal(table.drop(10), expected.drop(10), check_exact=True)


def test_a_network_that_cannot_be_built_is_a_failed_row_too(
    device: Device, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Tiny.build
    monkeypatch.setattr(Tiny, "build", lambda self, a, n: 1 / 0 if a == "tiny-1" else build(self, a, n))
    table = score(range(4), batch, tmp_path / "a.parquet", in_flight=4)
    assert table["status"].tolist() == ["ok", "failed", "ok", "ok"]
    assert table.loc[1, "error"] == "ZeroDivisionError: division by zero"


def test_a_run_that_was_stopped_goes_on_after_its_last_chunk_with_the_same_table(
    device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path
) -> None:
    device.launch_errors[13] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        score(range(20), batch, tmp_path / "a.parquet", in_flight=5, record_seconds=False)
    device.launch_errors.clear()
    table = score(range(20), batch, tmp_path / "a.parquet", in_flight=4, record_seconds=False)
    assert [i for chunk in device.finished_together for i in chunk] == list(range(20)), "none twice"
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


@pytest.mark.parametrize("where", ["launch", "finish", "a wrapped error", "a library"])
def test_out_of_memory_halves_the_number_in_flight_for_the_rest_of_the_run(
    where: str,
    device: Device,
    expected: pd.DataFrame,
    batch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    device.room = 3
    if where == "finish":
        device.room = 1000
        finish = device.finish

        def crowded(launched: Sequence[Launched]) -> list[Scored | NaswotError]:
            if len(launched) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return finish(launched)

        _replace(monkeypatch, device, finish=crowded)
    elif where != "launch":
        launch = device.launch

        def wrapped(network: nn.Module, images: Images) -> Launched:
            try:
                return launch(network, images)
            except torch.OutOfMemoryError as error:
                if where == "a library":
                    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate") from None
                raise NaswotError("the forward pass failed") from error

        _replace(monkeypatch, device, launch=wrapped)
    freed: list[str] = []
    monkeypatch.setattr(scoring.devices, "free_memory", freed.append)
    table = score(range(20), batch, tmp_path / "a.parquet", in_flight=8, record_seconds=False)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert [len(numbers) for numbers in device.finished_together] == [2] * 10
    said = [line for line in capsys.readouterr().err.splitlines() if "do not fit into the memory of cpu" in line]
    assert ["8 networks" in said[0], said[0][-1], "4 networks" in said[1], said[1][-1]] == [True, "4", True, "2"]
    assert len(said) == len(freed) == 2


def test_a_network_that_does_not_fit_alone_is_a_failed_row_and_does_not_slow_the_others_down(
    device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path
) -> None:
    device.launch_errors[5] = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 200 GiB.")
    table = score(range(20), batch, tmp_path / "a.parquet", in_flight=8, record_seconds=False)
    assert table.loc[5, "status"] == "failed"
    assert table.loc[5, "error"].startswith(
        "It does not fit into the memory of cpu, even alone: OutOfMemoryError: CUDA"
    )
    assert "200 GiB" in table.loc[5, "error"]
    pd.testing.assert_frame_equal(table.drop(5), expected.drop(5), check_exact=True)
    assert device.finished_together[-2:] == [list(range(6, 14)), list(range(14, 20))]


def test_memory_that_is_short_for_a_moment_fails_no_network(
    device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = device.launch

    def short_for_a_moment(network: nn.Module, images: Images) -> Launched:
        if network.number in moments:
            moments.remove(network.number)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return launch(network, images)

    _replace(monkeypatch, device, launch=short_for_a_moment)
    for in_flight in (1, 8):
        moments = {0, 6, 19}
        output = tmp_path / f"{in_flight}.parquet"
        table = score(range(20), batch, output, in_flight=in_flight, record_seconds=False)
        pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_nothing_of_a_chunk_that_did_not_fit_is_left_when_a_smaller_one_starts(
    device: Device, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.room = 4
    left: list[int] = []
    monkeypatch.setattr(scoring.devices, "free_memory", lambda _: left.append(len(device.under_way)))
    score(range(8), batch, tmp_path / "a.parquet", in_flight=8)
    assert left == [0]


def test_a_device_that_is_lost_ends_the_run_loudly_and_keeps_what_was_finished(
    device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.launch_errors[10] = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def lost(_: str) -> None:
        raise device.launch_errors[10]

    with monkeypatch.context() as patch:
        patch.setattr(scoring.devices, "synchronise", lost)
        with pytest.raises(NaswotError, match=r"cpu failed while architectures \[8, .*, 15\].*illegal memory access"):
            score(range(20), batch, tmp_path / "a.parquet", in_flight=8, record_seconds=False)
    assert not (tmp_path / "a.parquet").exists()
    device.launch_errors.clear()
    table = score(range(20), batch, tmp_path / "a.parquet", in_flight=8, record_seconds=False)
    assert [i for chunk in device.finished_together for i in chunk] == list(range(20)), "none twice"
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_an_error_of_the_device_that_leaves_it_usable_is_one_failed_row(
    device: Device, batch: Path, tmp_path: Path
) -> None:
    device.launch_errors[1] = torch.AcceleratorError("CUDA error: invalid configuration argument")
    table = score(range(4), batch, tmp_path / "a.parquet", in_flight=4)
    assert table["status"].tolist() == ["ok", "failed", "ok", "ok"]
    assert table.loc[1, "error"] == "AcceleratorError: CUDA error: invalid configuration argument"


def test_memory_does_not_grow_with_the_number_of_architectures(
    device: Device, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(self: Tiny, architecture: str, num_classes: int) -> nn.Module:
        network = nn.Linear(1, 1, bias=False)
        network.number = self.index(architecture)
        network.ballast = torch.ones(50_000)  # 600 MB in all
        return network

    resident: dict[int, int] = {}
    launch = device.launch

    def measured(network: nn.Module, images: Images) -> Launched:
        if network.number % 500 == 0:
            resident[network.number] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        return launch(network, images)

    monkeypatch.setattr(Tiny, "build", build)
    _replace(monkeypatch, device, launch=measured)
    device.finished_together = _Forgetful()
    table = score(range(3000), batch, tmp_path / "a.parquet", in_flight=8, progress=False)
    assert table["arch_index"].tolist() == list(range(3000))
    assert resident[2500] - resident[500] < 20e6


def test_networks_are_launched_with_their_device_as_the_current_one(
    device: Device, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current: list[str] = []

    @contextmanager
    def running_on(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.clear()

    launch = device.launch
    _replace(monkeypatch, device, launch=lambda *these: launch(*these) if current == ["cpu"] else None)
    monkeypatch.setattr(scoring.devices, "running_on", running_on)
    assert (score(range(4), batch, tmp_path / "a.parquet", in_flight=2)["status"] == "ok").all()


def test_a_table_is_read_in_blocks_in_order(
    device: Device, expected: pd.DataFrame, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "_BLOCK", 3)
    table = score(range(20), batch, tmp_path / "a.parquet", record_seconds=False)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert score([], batch, tmp_path / "b.parquet").dtypes.equals(expected.dtypes)


class _Forgetful(list[list[int]]):
    def append(self, item: list[int]) -> None:
        pass


def _replace(monkeypatch: pytest.MonkeyPatch, device: Device, **functions: Callable[..., Any]) -> None:
    parts = {"launch": device.launch, "finish": device.finish, **functions}
    monkeypatch.setitem(PROXIES._entries, "naswot", Proxy("naswot", "", "", device.compute, **parts))
