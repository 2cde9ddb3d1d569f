"""Several proxies on one network: each scores what it scores alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from naswot_ext import scoring
from naswot_ext.datasets import Batch, load_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.proxies import PROXIES, Images, Proxy, Scored
from naswot_ext.proxy_names import group
from naswot_ext.spaces import SPACES

SPACE = SPACES.get("nasbench201").with_network(channels=4, cells=1)
ALL_NONE = SPACE.index("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
INDICES = [5, ALL_NONE, 900]
CHEAP = list(group("naswot", ["naswot"])[1])


def score(batch: Path, output: Path, proxy: str | list[str], indices=INDICES, **options) -> pd.DataFrame:
    scoring.score_architectures(SPACE, indices, proxy, batch, 0, output, progress=False, **options)
    return read_table(output)


def alone(batch: Path, tmp_path: Path, proxy: str) -> pd.DataFrame:
    return score(batch, tmp_path / f"{proxy}.parquet", proxy).drop(columns="seconds")


@pytest.mark.parametrize("in_flight", [1, 2])
def test_cheap_proxies_share_a_network_and_score_what_each_scores_alone(
    batch: Path, tmp_path: Path, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    build = type(SPACE).build
    monkeypatch.setattr(type(SPACE), "build", lambda self, arch, n: built.append(arch) or build(self, arch, n))
    table = score(batch, tmp_path / "all.parquet", CHEAP, in_flight=in_flight)
    assert built == [SPACE.architecture(i) for i in INDICES]
    assert table["proxy"].tolist() == CHEAP * 3
    assert read_provenance(tmp_path / "all.parquet")["titles"].keys() == set(CHEAP)
    for proxy in CHEAP:
        scoring.gather([tmp_path / "all.parquet"], tmp_path / "one.parquet", proxy)
        gathered = read_table(tmp_path / "one.parquet").drop(columns="seconds")
        expected = alone(batch, tmp_path, proxy).sort_values("arch_index", ignore_index=True)
        pd.testing.assert_frame_equal(gathered, expected, check_exact=True)
        assert read_provenance(tmp_path / "one.parquet")["proxy"] == proxy


def test_gradient_proxies_on_one_network_score_what_each_scores_alone(batch: Path, tmp_path: Path) -> None:
    proxies = ["grasp", "synflow", "snip", "jacobian", "zen", "naswot"]
    table = score(batch, tmp_path / "all.parquet", proxies, [5, 900])
    for proxy in proxies:
        expected = score(batch, tmp_path / f"{proxy}.parquet", proxy, [5, 900])
        found = table[table["proxy"] == proxy]
        assert found["status"].tolist() == ["ok", "ok"]
        assert found["score"].tolist() == expected["score"].tolist()


def test_one_proxy_that_fails_leaves_the_others_their_scores(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(network: nn.Module, images: Images) -> Scored:
        raise RuntimeError("not this one")

    monkeypatch.setitem(PROXIES._entries, "units", Proxy("units", "", "", compute))
    table = score(batch, tmp_path / "a.parquet", ["params", "units", "naswot"], [5, 900])
    assert table["status"].tolist() == ["ok", "failed", "ok"] * 2
    assert set(table["error"]) == {"", "RuntimeError: not this one"}


def test_a_kill_between_the_rows_of_one_network_scores_it_again_whole(batch: Path, tmp_path: Path) -> None:
    output, partial = tmp_path / "a.parquet", tmp_path / "a.parquet.partial"
    proxies = ["params", "units"]
    whole = score(batch, output, proxies, record_seconds=False)
    finished = output.read_bytes()
    lines: list[str] = []

    class Killed(Exception):
        pass

    def kill(self, indices, in_flight):
        for rows in original(self, indices, in_flight):
            yield rows
            lines.append(partial.read_text())
            if len(lines) == 2:
                raise Killed

    original = scoring.Engine.score
    output.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring.Engine, "score", kill)
        with pytest.raises(Killed):
            score(batch, output, proxies, record_seconds=False)
    partial.write_text("".join(partial.read_text().splitlines(keepends=True)[:4]))  # half of the second network
    pd.testing.assert_frame_equal(score(batch, output, proxies, record_seconds=False), whole)
    assert output.read_bytes() == finished


def test_a_score_table_holds_what_is_better_the_higher_it_is(batch: Path, tmp_path: Path) -> None:
    (row,) = score(batch, tmp_path / "a.parquet", "ntk_condition", [5]).itertuples()
    proxy = PROXIES.get("ntk_condition")
    assert not proxy.higher_is_better
    assert row.score < 0  # a condition number is at least 1
    assert proxy.axis_title.startswith("negative ")


def test_labels_that_a_proxy_needs_are_asked_for_before_anything_is_scored(batch: Path, tmp_path: Path) -> None:
    save_batch(Batch(load_batch(batch).images, None, 10), tmp_path / "unlabelled.npz")
    with pytest.raises(NaswotError, match=r"snip needs the labels of the images, and the images of .*unlabelled\.npz"):
        score(tmp_path / "unlabelled.npz", tmp_path / "a.parquet", ["params", "snip"])


BAD = {
    "nan": ("float('nan')", "the score is nan"),
    "tensor": ("batch.images.sum()", r"The proxy bad returned a Tensor of shape \[\]; it must return one number"),
    "several": ("[1.0, 2.0]", "The proxy bad returned a list; it must return one number"),
    "nothing": ("None", "The proxy bad returned a NoneType"),
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_users_proxy_that_gives_no_number_is_a_row_with_the_reason(kind: str, batch: Path, tmp_path: Path) -> None:
    returned, reason = BAD[kind]
    (tmp_path / "mine.py").write_text(f"def bad(network, batch):\n    return {returned}\n")
    table = score(batch, tmp_path / "a.parquet", [f"{tmp_path}/mine.py:bad", "params"])
    assert table["status"].tolist() == ["failed", "ok"] * 3
    assert table["error"].str.fullmatch(f"{reason}.*")[::2].all()
    with pytest.raises(NaswotError, match=f"None of the 3 architectures .* could be scored.*{reason}"):
        scoring.gather([tmp_path / "a.parquet"], tmp_path / "all.parquet", "bad")


def test_a_users_proxy_is_scored_like_any_other_and_again_when_its_file_changes(batch: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "mine.py", tmp_path / "a.parquet"
    file.write_text("def depth(network, batch):\n    return sum(1 for _ in network.modules())\n")
    first = score(batch, output, f"{file}:depth")
    torch.manual_seed(0)
    network = SPACE.build(SPACE.architecture(INDICES[0]), 10)
    assert first["score"][0] == len(list(network.modules()))
    assert read_provenance(output)["files"].keys() == {f"{file}:depth"}
    file.write_text("def depth(network, batch):\n    return -sum(1 for _ in network.modules())\n")
    assert (score(batch, output, f"{file}:depth")["score"] == -first["score"]).all()


def test_a_users_proxy_that_spoils_the_network_changes_no_other_score(batch: Path, tmp_path: Path) -> None:
    text = "def spoils(network, batch):\n    for p in network.parameters():\n        p.data.zero_()\n    return 0.0\n"
    (tmp_path / "mine.py").write_text(text)
    table = score(batch, tmp_path / "a.parquet", [f"{tmp_path}/mine.py:spoils", "snip"], [5, 900])
    expected = score(batch, tmp_path / "b.parquet", "snip", [5, 900])
    assert table["score"][table["proxy"] == "snip"].tolist() == expected["score"].tolist()


def test_proxies_of_one_name_are_refused(batch: Path, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("def f(network, batch):\n    return 0.0\n")
    proxies = [f"{tmp_path}/{folder}/mine.py:f" for folder in ("one", "other")]
    with pytest.raises(NaswotError, match="Several of the proxies are called f"):
        score(batch, tmp_path / "a.parquet", proxies)
