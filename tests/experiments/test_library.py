"""The CIFAR-10 networks of pytorchcv are built as the package says, and scored without a network connection."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from naswot_ext.datasets import load_batch, make_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.experiments import library
from naswot_ext.experiments.library import COLUMNS, build, score_library
from naswot_ext.experiments.library_names import LIGHT, listing
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.proxies import PROXIES, Images
from naswot_ext.scoring import to_device
from naswot_ext.seeds import derive

NETWORK = "resnet20_cifar10"


@pytest.fixture
def _package() -> None:
    pytest.importorskip("pytorchcv", reason="pytorchcv is not installed (pip install pytorchcv==0.0.74)")


needs_package = pytest.mark.usefixtures("_package")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def scored(tmp_path: Path, network: str = NETWORK, **options):
    file = tmp_path / "images.npz"
    save_batch(make_batch({"source": "gaussian"}, 4, seed=0), file)
    output = tmp_path / "library" / f"{network}.parquet"
    score_library(network, file, output, **{"initialisations": 3, **options})
    return read_table(output), output


@needs_package
@pytest.mark.parametrize("network", LIGHT)
def test_a_built_network_has_the_weights_that_the_package_states_and_ten_outputs(network: str) -> None:
    model = build(network)
    _, stated = listing()[network]
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == stated
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@needs_package
def test_a_score_is_that_of_the_network_of_its_seed(tmp_path: Path) -> None:
    table, output = scored(tmp_path, dataset="blobs")
    assert list(table) == list(COLUMNS)
    assert table["seed"].tolist() == [0, 1, 2]
    assert table["status"].eq("ok").all()
    assert table["score"].nunique() == 3
    batch: Images = to_device(load_batch(tmp_path / "images.npz"), "cpu")
    torch.manual_seed(derive(2, "initialisation", 0))
    assert PROXIES.get("jacobian").score(build(NETWORK), batch).score == table["score"][2]
    assert (table["accuracy"][0], table["params"][0]) == (94.03, 272474)
    made = read_provenance(output)
    assert made["network"] == NETWORK
    assert made["dataset"] == "blobs"
    assert made["pytorchcv"]


@needs_package
def test_other_initialisations_are_further_seeds(tmp_path: Path) -> None:
    three, _ = scored(tmp_path / "a")
    one, _ = scored(tmp_path / "b", initialisations=1, seed=2)
    assert one.drop(columns="seconds").equals(three.drop(columns="seconds").iloc[2:].reset_index(drop=True))


@needs_package
def test_a_network_that_cannot_be_built_has_its_rows_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: str, num_classes: int = 10):
        raise RuntimeError("no such layer")

    monkeypatch.setattr(library, "build", broken)
    table, _ = scored(tmp_path)
    assert table["status"].tolist() == ["failed"] * 3
    assert set(table["error"]) == {"RuntimeError: no such layer"}
    assert set(table["params"]) == {272474}


@needs_package
def test_a_killed_scoring_goes_on_after_the_finished_initialisations(tmp_path: Path, monkeypatch) -> None:
    seeds: list[int] = []

    class Killed(library.Engine):
        def score(self, indices, in_flight):
            seeds.append(self._seed)
            if seeds == [0, 1]:
                raise KeyboardInterrupt
            return super().score(indices, in_flight)

    monkeypatch.setattr(library, "Engine", Killed)
    with pytest.raises(KeyboardInterrupt):
        scored(tmp_path)
    table, _ = scored(tmp_path)
    assert seeds == [0, 1, 1, 2]
    assert table["seed"].tolist() == [0, 1, 2]


@needs_package
def test_an_unknown_network_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match=r"Unknown CIFAR-10 network of pytorchcv 'resnet21_cifar10'.*resnet2"):
        scored(tmp_path, "resnet21_cifar10")


def test_without_the_package_the_error_says_how_to_install_it_and_the_module_can_be_imported() -> None:
    code = (
        "import sys; sys.modules['pytorchcv'] = None\n"
        "from naswot_ext.experiments import library\n"
        "from naswot_ext.errors import NaswotError\n"
        "try:\n    library.build('resnet20_cifar10')\nexcept NaswotError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install pytorchcv" in result.stdout


@needs_package
def test_the_accuracies_are_100_less_the_errors_that_the_package_states() -> None:
    known = listing()
    assert known["resnet20_cifar10"] == (94.03, 272474)
    assert known["nin_cifar10"] == (92.57, 966986)
    assert all(92 < accuracy < 98 for accuracy, _ in known.values())
    # Of these it states none.
    assert not {"fractalnet_cifar10", "resnext20_16x4d_cifar10"} & set(known)
