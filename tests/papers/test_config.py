"""The config of the papers: what is wrong with it is told before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from naswot_ext.config import resolve
from naswot_ext.errors import NaswotError
from tests.conftest import REPOSITORY

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def paper(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "paper.yaml").read_text())
    return {**config, **changes}


def complaints(config: dict[str, Any]) -> str:
    with pytest.raises(NaswotError) as error:
        resolve(config, SCHEMA)
    return str(error.value)


def test_without_any_file_the_full_scale_goes_by_the_official_ones() -> None:
    config = resolve(paper(), SCHEMA)
    sources = {name: space["benchmark"]["source"] for name, space in config["spaces"].items()}
    assert {name: source for name, source in sources.items() if not name.startswith("nds-")} == {
        "nasbench201": "nats-tss",
        "nasbench101": "nasbench101",
        "nats-sss": "nats-sss",
    }
    assert "absent" not in config


def test_a_proxy_that_a_figure_shows_must_be_scored() -> None:
    found = complaints(paper(proxies=["naswot", "synflow"], searches={"algorithms": {"random": None}}))
    assert "'jacobian'" in found
    assert "'grad_norm'" in found
    assert "'synflow'" not in found


def test_a_proxy_of_a_figure_whose_spaces_are_not_there_need_not_be_scored() -> None:
    spaces = {"nasbench201": {"benchmark": {"source": "nats-tss"}, "datasets": ["cifar10"]}}
    assert resolve(paper(proxies=["naswot", "jacobian"], spaces=spaces, scales={}), SCHEMA)["proxies"]


def test_an_unknown_network_of_the_library_is_told() -> None:
    pytest.importorskip("pytorchcv", reason="pytorchcv is not installed (pip install pytorchcv==0.0.74)")
    found = complaints(paper(papers={"library": {"networks": ["resnet20_cifar11"]}}))
    assert "papers.library.networks" in found
    assert "resnet20_cifar10" in found


def test_more_networks_than_there_are_ranges_of_accuracy_are_told() -> None:
    assert "papers.ablation.networks: found 11, but it must be at most 10" in complaints(
        paper(papers={"ablation": {"networks": 11}})
    )


@pytest.mark.parametrize("papers", [5, [], "all", {"figure12": {}}, {"training": 3}])
def test_a_malformed_section_is_told(papers: Any) -> None:
    assert "papers" in complaints(paper(papers=papers))
