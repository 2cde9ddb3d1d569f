"""Defaults stand twice: in the schema, for the config, and in the library, for those who call it."""

from __future__ import annotations

import pytest
import yaml

from naswot_ext import config
from naswot_ext.config import SEARCHES
from naswot_ext.searches import _darts, enas, gdas, nasi, rsps, setn
from naswot_ext.supernets.training import DEFAULTS
from tests.conftest import REPOSITORY

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"


def options_of(algorithm: str) -> dict:
    """What a config that says nothing of an algorithm's options asks for."""
    needed = {"n_samples": [10]} if algorithm in ("naswot", "naswot_live", "optimal") else {}
    asked = {
        "spaces": {"nasbench201": {"architectures": 20, "benchmark": {"source": "analog-nasbench"}}},
        "datasets": {"noise": {"source": "gaussian"}},
        "proxies": ["naswot"],
        "searches": {"algorithms": {algorithm: needed}},
    }
    return config.resolve(asked, SCHEMA)["searches"]["algorithms"][algorithm]


@pytest.mark.parametrize("algorithm", SEARCHES.names())
def test_every_algorithm_can_be_named_in_a_config(algorithm: str) -> None:
    assert isinstance(options_of(algorithm), dict)
    known = yaml.safe_load(SCHEMA.read_text())["properties"]["searches"]["properties"]["algorithms"]
    assert len(known["patternProperties"]) >= len(SEARCHES.names()) - 1  # the two of DARTS share theirs


@pytest.mark.parametrize(
    ("algorithm", "defaults"),
    [
        ("nasi", nasi.DEFAULTS),
        ("rsps", DEFAULTS | rsps.DEFAULTS),
        ("darts_v1", DEFAULTS | _darts.DEFAULTS),
        ("darts_v2", DEFAULTS | _darts.DEFAULTS),
        ("gdas", DEFAULTS | gdas.DEFAULTS),
        ("setn", DEFAULTS | setn.DEFAULTS),
        ("enas", DEFAULTS | enas.DEFAULTS),
    ],
)
def test_the_schema_has_the_defaults_of_the_code(algorithm: str, defaults: dict) -> None:
    asked = options_of(algorithm)
    for key in ("runs", "runs_per_job", "images"):
        del asked[key]
    assert asked == dict(defaults)
