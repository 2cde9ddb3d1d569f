"""Of several sources the one that is there, scales, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from naswot_ext.at_hand import choose, images_in, in_panel, joined, why_not, with_scale, without_titles
from naswot_ext.errors import NaswotError
from tests.conftest import REPOSITORY

SOURCES = REPOSITORY / "workflow" / "resources" / "sources.yaml"
TABLE = {"benchmark": {"source": "table", "path": "mine.csv"}}
OFFICIAL = {"benchmark": {"source": "nats-tss"}}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(**of_space: Any) -> dict[str, Any]:
    return {"spaces": {"nasbench201": of_space, "nats-sss": {"benchmark": {"source": "analog-nasbench"}}}}


def download(name: str) -> None:
    for file in yaml.safe_load(SOURCES.read_text())[name]["files"]:
        path = Path("downloads", name, file["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def source_of(found: dict[str, Any]) -> str:
    return str(found["spaces"]["nasbench201"]["benchmark"]["source"])


def test_a_file_that_is_there_comes_before_a_download() -> None:
    Path("mine.csv").touch()
    assert source_of(choose(config(first_of=[OFFICIAL, TABLE]), SOURCES)) == "table"


def test_of_two_that_are_there_the_first_is_taken() -> None:
    Path("mine.csv").touch()
    download("nats-tss")
    assert source_of(choose(config(first_of=[OFFICIAL, TABLE]), SOURCES)) == "nats-tss"
    assert source_of(choose(config(first_of=[TABLE, OFFICIAL]), SOURCES)) == "table"


def test_where_none_is_there_the_first_download_is_taken() -> None:
    assert source_of(choose(config(first_of=[TABLE, OFFICIAL]), SOURCES)) == "nats-tss"


def test_offline_what_is_not_at_hand_is_left_out_with_the_files_that_would_fill_it() -> None:
    found = choose({**config(first_of=[OFFICIAL, TABLE]), "offline": True}, SOURCES)
    assert list(found["spaces"]) == ["nats-sss"]
    reason = found["absent"]["spaces"]["nasbench201"]
    assert "downloads/nats-tss/NATS-tss-v1_0-3ffb9-simple" in reason
    assert "mine.csv" in reason


def test_a_reason_has_no_absolute_path(tmp_path: Path) -> None:
    table = {"benchmark": {"source": "table", "path": str(tmp_path / "mine.csv")}}
    given = {**config(first_of=[OFFICIAL, table]), "offline": True, "downloads": str(tmp_path / "downloads")}
    reason = choose(given, SOURCES)["absent"]["spaces"]["nasbench201"]
    assert "no downloads/nats-tss/" in reason
    assert "no mine.csv" in reason
    assert str(tmp_path) not in reason


def test_offline_a_single_official_source_is_left_out_too() -> None:
    found = choose({**config(**OFFICIAL), "offline": True}, SOURCES)
    assert list(found["absent"]["spaces"]) == ["nasbench201"]


def test_a_single_file_that_is_not_there_stays_a_mistake_for_the_checks_to_tell() -> None:
    assert source_of(choose(config(**TABLE), SOURCES)) == "table"


def test_a_part_of_a_source_changes_the_rest_of_its_space() -> None:
    Path("mine.csv").touch()
    given = config(network={"channels": 16, "cells": 5}, first_of=[{**TABLE, "network": {"cells": 1}}])
    space = choose(given, SOURCES)["spaces"]["nasbench201"]
    assert space == {"network": {"channels": 16, "cells": 1}, **TABLE}


@pytest.mark.parametrize(("wanted", "has", "taken"), [(200, 30, 30), (20, 30, 20), ("all", 30, 30), (20, None, 20)])
def test_of_a_source_that_has_a_part_at_most_so_many_architectures_are_taken(wanted, has, taken) -> None:
    Path("mine.csv").touch()
    part = TABLE if has is None else {**TABLE, "architectures": has}
    space = choose(config(architectures=wanted, first_of=[part]), SOURCES)["spaces"]["nasbench201"]
    assert space["architectures"] == taken


def test_a_data_set_that_is_left_out_is_so_in_the_spaces() -> None:
    given = config(datasets=["noise", "cifar10"], benchmark={"source": "analog-nasbench"})
    given |= {"offline": True, "datasets": {"noise": {"source": "gaussian"}, "cifar10": {"source": "cifar10"}}}
    found = choose(given, SOURCES)
    assert found["spaces"]["nasbench201"]["datasets"] == ["noise"]
    assert "cifar-10-python.tar.gz" in found["absent"]["datasets"]["cifar10"]


def test_a_space_without_any_images_is_left_out() -> None:
    given = config(datasets=["cifar10"], benchmark={"source": "analog-nasbench"})
    given |= {"offline": True, "datasets": {"noise": {"source": "gaussian"}, "cifar10": {"source": "cifar10"}}}
    assert choose(given, SOURCES)["absent"]["spaces"] == {"nasbench201": "there are no images to score it on"}


def test_where_nothing_is_at_hand_one_error_names_what_would_be() -> None:
    given = {"spaces": {"nasbench201": OFFICIAL}, "offline": True}
    with pytest.raises(NaswotError, match=r"(?s)None of the spaces is at hand.*NATS-tss"):
        choose(given, SOURCES)


def test_the_choice_made_once_is_kept() -> None:
    found = choose({**config(first_of=[OFFICIAL, TABLE]), "offline": True}, SOURCES)
    assert choose(found, SOURCES) == found


@pytest.mark.parametrize("first_of", [[], "nats-tss", [1]])
def test_a_malformed_choice_is_told(first_of: Any) -> None:
    with pytest.raises(NaswotError, match=r"spaces\.nasbench201\.first_of must be a list"):
        choose(config(first_of=first_of), SOURCES)


def test_a_scale_is_laid_over_the_rest_and_lists_take_the_place_of_lists() -> None:
    given = {"a": {"b": 1, "c": [1, 2]}, "scale": "small", "scales": {"small": {"a": {"c": [3]}}}}
    assert with_scale(given) == {"a": {"b": 1, "c": [3]}, "scale": "small", "scales": {"small": {}}}
    assert with_scale({**given, "scale": "full"}) == {"a": {"b": 1, "c": [1, 2]}, "scale": "full"}


def test_what_a_scale_changes_is_done_once() -> None:
    resolved = with_scale({"a": 1, "scale": "small", "scales": {"small": {"a": 2}}})
    assert with_scale(resolved) == resolved


def test_what_is_given_on_the_command_line_is_laid_over_a_scale() -> None:
    written = {"a": {"b": 1, "c": 1, "d": 1}, "scales": {"small": {"a": {"b": 2, "c": 2}, "offline": True}}}
    given = {
        "scale": "small",
        "a": {"b": "3"},
        "offline": "false",
        "seeds": ["0", "1"],
        "results": "my 1: one",
        "x": "null",
    }
    found = with_scale({**written, **given, "a": {"b": "3", "c": 1, "d": 1}}, given)
    assert found["a"] == {"b": 3, "c": 2, "d": 1}
    assert (found["offline"], found["seeds"], found["results"]) == (False, [0, 1], "my 1: one")
    assert found["x"] is None
    assert with_scale(found) == found


def test_a_scale_without_scales_is_told() -> None:
    with pytest.raises(NaswotError, match="has no `scales`"):
        with_scale({"a": 1, "scale": "small"})


def test_a_scale_that_there_is_none_of_is_told() -> None:
    with pytest.raises(NaswotError, match="must be one of full, small"):
        with_scale({"scale": "tiny", "scales": {"small": {}}})


def test_a_scale_changes_each_of_several_spaces_that_share_a_section_by_itself() -> None:
    given = yaml.safe_load(
        "{spaces: {a: &same {n: 1}, b: *same, c: *same}, scale: s, scales: {s: {spaces: {a: {n: 2}}}}}"
    )
    assert with_scale(given)["spaces"] == {"a": {"n": 2}, "b": {"n": 1}, "c": {"n": 1}}


def test_what_was_left_out_before_stays_told() -> None:
    given = {**config(**OFFICIAL), "offline": True, "absent": {"spaces": {"nds-pnas": "no data.zip"}}}
    assert list(choose(given, SOURCES)["absent"]["spaces"]) == ["nds-pnas", "nasbench201"]


def test_the_images_of_a_file_are_counted_without_reading_them() -> None:
    np.savez("mine.npz", images=np.zeros((7, 2, 2, 3), np.uint8), labels=np.zeros(7))
    assert images_in({"source": "npz", "path": "mine.npz"}) == 7


@pytest.mark.parametrize("text", ["", "no archive"])
def test_of_a_file_that_is_no_archive_nothing_is_known(text: str) -> None:
    Path("mine.npz").write_text(text)
    assert images_in({"source": "npz", "path": "mine.npz"}) is None
    assert images_in({"source": "cifar10"}) is None


def test_why_not_names_every_file_that_a_panel_takes() -> None:
    benchmark = {"source": "table", "accuracy": [{"dataset": "cifar10", "test": "t"}]}
    given = {
        "spaces": {"nats-sss": {"benchmark": benchmark, "datasets": ["cifar10", "cifar100"]}},
        "datasets": {"cifar10": {}, "cifar100": {}},
        "absent": {
            "spaces": {"nds-darts-in": "no data.zip (On Network Design Spaces)"},
            "datasets": {"imagenet16-120": "no batch_1", "imagenette2": "no imagenette2.tgz"},
        },
    }
    assert why_not(given, "nats-sss", "cifar10", "sss.tar") == ""
    assert why_not(given, "nats-sss", "cifar100", "sss.tar") == "no accuracy of nats-sss on cifar100: sss.tar has it"
    assert why_not(given, "nats-sss", "imagenet16-120", "sss.tar") == (
        "no images of imagenet16-120: no batch_1; no accuracy of nats-sss on imagenet16-120: sss.tar has it"
    )
    assert without_titles(why_not(given, "nds-darts-in", "imagenette2", "data.zip")) == (
        "no ground truth of nds-darts-in: no data.zip; no images of imagenette2: no imagenette2.tgz"
    )
    assert why_not(given, "nds-pnas", "cifar10", "data.zip") == (
        "no ground truth of nds-pnas: the config does not name it"
    )


def test_reasons_are_joined_once_and_one_for_each_file() -> None:
    assert joined("no a", "", "no b; no a") == "no a; no b"
    assert joined("no x: f has it", "no y: f has it; no z", file="f has") == "no x: f has it; no z"


def test_a_reason_without_titles_keeps_what_stands_behind_them() -> None:
    assert without_titles("no a (A (1 GB)); no b (B)") == "no a; no b"


def test_a_panel_whose_heading_names_the_rest_says_the_files() -> None:
    reason = "no images of i16: no downloads/i16/batch_1 (Small); no accuracy of nb201 on i16: downloads/t.tar has it"
    assert in_panel(reason, "nb201", "i16") == (
        "no images: no downloads/i16/batch_1; no accuracy: downloads/t.tar has it"
    )
    assert in_panel("no ground truth of nds-darts-in: no data.zip", "nds-darts", "cifar10").count("nds-darts-in") == 1
