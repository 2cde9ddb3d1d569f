"""Searches that build networks: the same as looking up, resumable run by run, and clear about what they cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from naswot_ext import scoring, search_runs, searches
from naswot_ext.datasets import Batch, make_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.search_runs import COLUMNS, run_networks
from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.spaces import SPACES
from naswot_ext.supernets import session
from naswot_ext.supernets.session import Session

SPACE = SPACES.get("nasbench201").with_network(channels=4, cells=1)
SAMPLED = np.array([900, 11920, 33, 5, 12000, 77])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    save_batch(make_batch({"source": "gaussian", "image_size": 8}, 6, seed=0), tmp_path / "batch.npz")
    return tmp_path / "batch.npz"


def make_runs(algorithm: str, images: Path, output: Path, runs=range(4), seed: int = 0, **options) -> pd.DataFrame:
    run_networks(algorithm, options, SPACE, SAMPLED, {0: images}, runs, seed, output, progress=False)
    return read_table(output)


def truth() -> pd.DataFrame:
    """Accuracies that are the index, in thousands, of all that were sampled but one."""
    columns = {"arch_index": SAMPLED[:-1], "arch": [SPACE.architecture(int(i)) for i in SAMPLED[:-1]]}
    accuracy = {"valid_accuracy": SAMPLED[:-1] / 1000, "test_accuracy": SAMPLED[:-1] / 1000}
    return pd.DataFrame({**columns, "dataset": "cifar10", "epochs": 200, **accuracy})


def test_scoring_while_searching_finds_what_looking_up_finds(images: Path, tmp_path: Path) -> None:
    scoring.score_architectures(SPACE, SAMPLED, "naswot", images, 0, tmp_path / "scores.parquet", progress=False)
    known = pd.concat([truth(), truth().tail(1).assign(arch_index=77, arch=SPACE.architecture(77))])
    among = searches.candidates(SPACE, SAMPLED, known, "noise", [[read_table(tmp_path / "scores.parquet")]])
    looked_up = searches.run("naswot", {"n_samples": 3}, among, 6, seed=0)
    live = make_runs("naswot_live", images, tmp_path / "runs.parquet", range(6), n_samples=3)
    assert live["arch"].tolist() == looked_up["arch"].tolist()
    assert live["seed"].tolist() == looked_up["seed"].tolist()
    assert live["arch"].nunique() > 1
    assert (live["seconds"] > 0).all()


def test_a_funnel_finds_the_best_mean_rank_among_the_largest(images: Path, tmp_path: Path) -> None:
    names = ["naswot", "params"]
    found = make_runs("funnel", images, tmp_path / "runs.parquet", [2], keep=3, proxies=names).iloc[0]
    scoring.score_architectures(
        SPACE, SAMPLED, names, images, int(found["seed"]), tmp_path / "scores.parquet", progress=False
    )
    table = read_table(tmp_path / "scores.parquet").pivot(index="arch", columns="proxy", values="score")
    largest = table.nlargest(3, "params")
    assert found["arch"] == largest.rank().mean(axis=1).idxmax()
    assert found["evaluations"] == 3


@pytest.mark.parametrize("first", ["naswot", "snip", "synflow", "zen", "swap"])
def test_a_funnel_cannot_begin_with_a_proxy_that_needs_values(images: Path, tmp_path: Path, first: str) -> None:
    with pytest.raises(NaswotError, match=f"cannot rank by {first} first: .*such as params or flops"):
        make_runs("funnel", images, tmp_path / "runs.parquet", first=first)


def test_runs_can_be_spread_over_jobs_and_joined(images: Path, tmp_path: Path) -> None:
    whole = make_runs("naswot_live", images, tmp_path / "whole.parquet", range(4), n_samples=2)
    parts = [make_runs("naswot_live", images, tmp_path / f"{i}.parquet", [i], n_samples=2) for i in (2, 0, 3, 1)]
    assert list(whole.columns) == list(COLUMNS)
    among = searches.candidates(SPACE, SAMPLED, truth(), "noise")
    joined = searches.join(parts, among)
    assert joined["arch"].tolist() == whole["arch"].tolist()
    known = joined[joined["arch_index"] != SAMPLED[-1]]
    assert (known["cifar10_test"] == known["arch_index"] / 1000).all()
    # What has no ground truth was found all the same.
    outside = searches.join([whole.assign(arch=SPACE.architecture(int(SAMPLED[-1])))], among)
    assert (outside["arch_index"] == SAMPLED[-1]).all()
    assert outside["cifar10_test"].isna().all()
    nothing = searches.join([whole.assign(arch="")], among)
    assert (nothing["arch_index"] == -1).all()
    looked_up = [searches.run("random", {}, among, numbers, seed=0) for numbers in ([1, 2], [0])]
    assert searches.join(looked_up, among).equals(searches.run("random", {}, among, 3, seed=0))


def test_a_run_that_was_cut_short_goes_on_and_finished_ones_are_kept(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, bool]] = []

    def search(setting: Setting) -> Outcome:
        calls.append((setting.number, setting.checkpoint.exists()))
        if setting.number == 1 and not setting.checkpoint.exists():
            setting.checkpoint.write_text("half-way")
            raise KeyboardInterrupt
        return Outcome(SPACE.architecture(setting.number), 1.5, 3)

    monkeypatch.setitem(SEARCHES._entries, "nasi", NetworkSearch(search, needs_labels=True))
    with pytest.raises(KeyboardInterrupt):
        make_runs("nasi", images, tmp_path / "runs.parquet", range(3))
    table = make_runs("nasi", images, tmp_path / "runs.parquet", range(3))
    assert calls == [(0, False), (1, False), (1, True), (2, False)]
    assert table["arch"].tolist() == [SPACE.architecture(i) for i in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch.npz", "runs.parquet"]
    made_by = read_provenance(tmp_path / "runs.parquet")
    assert {"search", "options", "seed", "device", "code", "torch"} <= made_by.keys()


@pytest.mark.parametrize("changed", ["nothing", "fingerprint", "software"])
def test_a_run_that_other_code_began_is_begun_anew(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    done: list[int] = []

    def search(setting: Setting) -> Outcome:
        for step in Session(setting, "nasi").steps(4, {}, lambda: None, str):
            if done[-1:] == [1] and len(done) == 2:
                done.append(-1)
                raise KeyboardInterrupt
            done.append(step)
        return Outcome(SPACE.architecture(0), 1.0, 4)

    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    monkeypatch.setitem(SEARCHES._entries, "nasi", NetworkSearch(search, needs_labels=True))
    with pytest.raises(KeyboardInterrupt):
        make_runs("nasi", images, tmp_path / "runs.parquet", [0])
    if changed == "fingerprint":
        monkeypatch.setattr(search_runs, "fingerprint", lambda *modules: "another")
    if changed == "software":
        monkeypatch.setattr(search_runs, "software", lambda: {"torch": "another"})
    make_runs("nasi", images, tmp_path / "runs.parquet", [0])
    assert done == [0, 1, -1, 2, 3] if changed == "nothing" else done == [0, 1, -1, 0, 1, 2, 3]
    assert not list(tmp_path.glob("*.checkpoint"))


def test_another_text_of_a_users_proxy_is_searched_with_again(images: Path, tmp_path: Path) -> None:
    def by(sign: str) -> list[str]:
        body = f"def size(network, batch):\n    return {sign}float(sum(p.numel() for p in network.parameters()))\n"
        (tmp_path / "mine.py").write_text(body)
        options = {"n_samples": 6, "proxy": f"{tmp_path}/mine.py:size"}
        return make_runs("naswot_live", images, tmp_path / "runs.parquet", range(3), **options)["arch"].tolist()

    largest = by("+")
    assert by("-") != largest
    assert by("+") == largest


def test_what_such_a_search_cannot_use_is_one_clear_error(images: Path, tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match="The search rea builds no networks"):
        make_runs("rea", images, tmp_path / "a.parquet")
    with pytest.raises(NaswotError, match="The search naswot_live builds networks: nothing can be looked up"):
        searches.run("naswot_live", {}, searches.candidates(SPACE, SAMPLED, truth(), "noise"), 1, 0)
    save_batch(Batch(np.zeros((4, 3, 8, 8), np.float32), None, 10), tmp_path / "unlabelled.npz")
    with pytest.raises(NaswotError, match=r"gdas needs the labels of the images, and those of .*unlabelled\.npz"):
        make_runs("gdas", tmp_path / "unlabelled.npz", tmp_path / "a.parquet")
    with pytest.raises(NaswotError, match="snip needs the labels"):
        make_runs("naswot_live", tmp_path / "unlabelled.npz", tmp_path / "b.parquet", n_samples=2, proxy="snip")
    with pytest.raises(NaswotError, match="n_samples is 7, but 6 architectures were drawn"):
        make_runs("naswot_live", images, tmp_path / "c.parquet", n_samples=7)
