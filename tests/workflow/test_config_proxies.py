"""Proxies in the config: each mistake is told with its key, and no two things may have one name in files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from naswot_ext.config import resolve
from naswot_ext.errors import NaswotError
from tests.conftest import REPOSITORY

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"
VALID: dict[str, Any] = {
    "spaces": {"nasbench201": {"architectures": 20, "benchmark": {"source": "analog-nasbench"}}},
    "datasets": {"gaussian": {"source": "gaussian"}},
    "proxies": ["naswot"],
    "searches": {"algorithms": {"random": None}},
}


def depth(network: object, batch: object) -> float:
    """A proxy, which is only named."""
    return 0.0


# One function by two names of its file.
DEPTH, SAME = f"{__file__}:depth", f"{Path(__file__).parent}/./{Path(__file__).name}:depth"


def ranks(*names: Any, **options: Any) -> dict[str, Any]:
    return {"aggregate": {"ranks": list(names), **options}}


def config(proxies: Any = None, **algorithms: Any) -> dict[str, Any]:
    made = copy.deepcopy(VALID)
    made["proxies"] = VALID["proxies"] if proxies is None else proxies
    made["searches"]["algorithms"] |= algorithms
    return made


def complaints(proxies: Any = None, **algorithms: Any) -> str:
    with pytest.raises(NaswotError) as error:
        resolve(config(proxies, **algorithms), SCHEMA)
    return str(error.value)


@pytest.mark.parametrize(
    ("proxies", "said"),
    [
        (["mine.py"], "'mine.py' names no function of that file. Write mine.py:function"),
        ([ranks("naswot")], "proxies[0].aggregate.ranks: it holds only 1; give at least 2"),
        ([ranks("naswot", 3)], "proxies[0].aggregate.ranks[1]: found 3, but it must be text"),
        ([ranks("naswot", {"a": 1})], "proxies[0].aggregate.ranks[1]: found {'a': 1}, but it must be text"),
        ([ranks("naswot", "params", how=["log"])], "aggregate.how: found ['log'], but it must be 'mean' or 'log'"),
        ([ranks("naswot", "params", name="a/b")], "found 'a/b', but it must be letters, digits, '_'"),
        ([ranks("naswot", "params", name="snip")], "an aggregate is called 'snip', as a proxy is"),
        ([ranks("naswot", "nasswot")], "Did you mean 'naswot'"),
        ([ranks("snip", "params", name="two"), ranks("two", "zen")], "the ranks of 'two' cannot be combined"),
    ],
)
def test_a_mistake_among_the_proxies_is_told(proxies: list[Any], said: str) -> None:
    assert said in complaints(proxies)


@pytest.mark.parametrize(
    ("algorithm", "options", "said"),
    [
        ("naswot", {"proxy": [{"a": 1}]}, "naswot.proxy[0]: found {'a': 1}, but it must be text"),
        ("naswot", {"proxy": {"a": 1}}, "naswot.proxy: found {'a': 1}, but it must be text or a list"),
        ("funnel", {"first": {"a": 1}}, "funnel.first: found {'a': 1}, but it must be text"),
        ("rs", {"budget": float("inf")}, "searches.algorithms.rs.budget: found inf; give a finite number"),
        ("nasi", {"mu": float("nan")}, "searches.algorithms.nasi.mu: found nan; give a finite number"),
    ],
)
def test_a_mistake_in_a_search_is_told(algorithm: str, options: dict[str, Any], said: str) -> None:
    assert said in complaints(**{algorithm: options})


@pytest.mark.parametrize(
    ("proxies", "algorithms"),
    [
        ([DEPTH, SAME], {}),
        ([ranks(DEPTH, SAME)], {}),
        ([DEPTH, ranks(SAME, "naswot")], {}),
        ([ranks(SAME, "naswot"), DEPTH], {}),
        ([ranks(DEPTH, "naswot", name="depth")], {}),
        ([DEPTH], {"naswot": {"n_samples": [10], "proxy": [SAME]}}),
        ([ranks("naswot", "params", name="depth")], {"naswot": {"n_samples": [10], "proxy": [DEPTH]}}),
        (None, {"naswot": {"n_samples": [10], "proxy": [DEPTH, SAME]}}),
        (None, {"naswot_live": {"n_samples": [10], "proxy": [DEPTH, SAME]}}),
        (None, {"funnel": {"proxies": [DEPTH, SAME]}}),
    ],
)
def test_no_two_proxies_of_a_config_may_have_one_label(proxies: list[Any] | None, algorithms: dict[str, Any]) -> None:
    assert "are both called 'depth' in files. Rename one." in complaints(proxies, **algorithms)


@pytest.mark.parametrize("name", ["forward", "shape", "shards", "searches"])
def test_no_proxy_may_have_the_name_of_something_else_among_the_results(name: str, tmp_path: Path) -> None:
    Path(tmp_path, "mine.py").write_text(f"def {name}(network, batch):\n    return 0.0\n")
    mine = f"{tmp_path}/mine.py:{name}"
    said = f"{name!r} is the name of something else among the results"
    for message in (
        complaints([mine]),
        complaints([ranks(mine, "params")]),
        complaints([ranks("naswot", "params", name=name)]),
        complaints(naswot={"n_samples": [10], "proxy": mine}),
    ):
        assert said in message


def test_a_proxy_may_be_named_by_its_file_wherever_it_is_the_same() -> None:
    algorithms = {"naswot": {"n_samples": [10], "proxy": ["depth"]}, "naswot_live": {"n_samples": [10], "proxy": DEPTH}}
    proxies = [DEPTH, ranks(DEPTH, "naswot")]
    assert resolve(config(proxies, **algorithms), SCHEMA)["proxies"][0] == DEPTH


def test_no_two_searches_may_have_one_name() -> None:
    twice = {"naswot": {"n_samples": [10], "proxy": ["depth", DEPTH]}}
    assert "searches.algorithms.naswot.proxy: 'depth' is named twice, also by its file" in complaints([DEPTH], **twice)
    variants = {"naswot@a": {"n_samples": [10], "proxy": "params"}, "naswot@a-params": {"n_samples": [10]}}
    said = "searches.algorithms: naswot@a-params and naswot@a both have a search naswot@a-params-10. Rename a variant."
    assert said in complaints(**variants)


def test_published_methods_are_looked_up_before_any_search_runs() -> None:
    misspelt = config(nasi={"published": "NASI4T"})
    misspelt["searches"]["quoted"] = ["GDAS", "darts_v1", "GDASS"]
    with pytest.raises(NaswotError) as error:
        resolve(misspelt, SCHEMA)
    assert "searches.algorithms.nasi.published: Unknown published method 'NASI4T'" in str(error.value)
    assert "searches.quoted: Unknown published method 'GDASS'. Did you mean 'GDAS'" in str(error.value)
    assert str(error.value).count("Unknown") == 2
    right = config(nasi={"published": "NASI(4T)"})
    right["searches"]["quoted"] = ["GDAS", "darts_v1"]
    assert resolve(right, SCHEMA)["searches"]["quoted"] == ["GDAS", "darts_v1"]
