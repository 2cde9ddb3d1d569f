"""`score`, `rank` and `count_units` as a user meets them."""

from __future__ import annotations

import doctest
import importlib
import json
import math
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from naswot_ext import rank, score
from naswot_ext.activation import Score, count_units
from naswot_ext.errors import NaswotError


def net(width: int = 64, inputs: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU())


@pytest.mark.parametrize("module", ["activation", "capture", "forward", "rectifiers"])
def test_the_examples_in_the_docs_run(module) -> None:
    results = doctest.testmod(importlib.import_module(f"naswot_ext.{module}"))
    assert results.failed == 0


def test_the_score_is_the_log_determinant_of_k() -> None:
    model, batch = net(), torch.randn(6, 8)
    codes = (batch @ model[0].weight.T + model[0].bias > 0).double()
    kernel = codes @ codes.T + (1 - codes) @ (1 - codes).T
    assert float(score(model, batch)) == pytest.approx(float(torch.linalg.slogdet(kernel)[1]), abs=1e-9)


def test_a_score_is_a_number_with_facts() -> None:
    value = score(net(), torch.randn(6, 8))
    assert isinstance(value, float)
    assert (value.units, value.applications, value.activations, value.singular) == (64, 1, {"relu": 1}, False)
    assert str(value) == str(float(value)) == f"{value}"
    assert repr(value) == f"Score({float(value)}, units=64, applications=1, activations={{'relu': 1}})"
    assert json.loads(json.dumps(value)) == value
    assert max([value, Score(-math.inf, units=0, applications=0, activations={})]) is value


def test_two_equal_images_make_k_singular() -> None:
    value = score(net(), torch.ones(2, 8))
    assert value == -math.inf
    assert value.singular


@pytest.mark.parametrize("form", [lambda x: (x,), lambda x: [x], lambda x: {"input": x}, Tensor.numpy, Tensor.double])
def test_a_batch_may_be_a_tuple_list_dict_array_or_of_another_precision(form) -> None:
    model, batch = net(), torch.randn(6, 8)
    assert score(model, form(batch)) == score(model, batch)


def test_a_read_only_array_is_copied() -> None:
    images = np.random.default_rng(0).standard_normal((6, 8))
    images.flags.writeable = False
    assert score(net(), images) > 0


def test_tokens_stay_integers() -> None:
    model = nn.Sequential(nn.Embedding(10, 64), nn.GELU())
    value = score(model, torch.randint(10, (4, 3)))
    assert value.units == 3 * 64


def test_a_model_without_parameters_runs_where_the_batch_is() -> None:
    assert score(nn.Sequential(nn.ReLU()), torch.randn(4, 200)).units == 200


def test_a_model_elsewhere_is_copied_to_the_device_asked_for() -> None:
    model = net()
    counted = count_units(model, torch.empty(3, 8, device="meta"), device="meta")
    assert counted.units == 64
    assert model[0].weight.device.type == "cpu"


def test_counting_agrees_with_scoring() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), net(16, 8 * 9))
    batch = torch.randn(5, 3, 8, 8)
    value = score(model, batch)
    assert count_units(model, batch) == (value.units, value.applications, value.activations) == (88, 2, {"relu": 2})


class TestRank:
    """Ranking."""

    def test_the_best_comes_first_the_singular_later_and_the_failed_last_with_a_reason(self) -> None:
        def broken() -> nn.Module:
            raise OSError("no such file")

        dead = net()
        nn.init.zeros_(dead[0].weight)
        batch = torch.randn(6, 8)
        models = {
            "wrong input": net(inputs=9),
            "dead": dead,
            "narrow": net(16),
            "broken": broken,
            "no model": lambda: 7,
            "no builder": 7,
            "wide": net(256),
        }
        ranking = rank(models, batch)
        assert [r.name for r in ranking] == [
            "wide",
            "narrow",
            "dead",
            "wrong input",
            "broken",
            "no model",
            "no builder",
        ]
        assert ranking[0].score == score(models["wide"], batch)
        assert ranking[2].score.singular
        assert [r.score for r in ranking[3:]] == [None] * 4
        assert "failed in its forward pass" in ranking[3].error
        assert ranking[4].error == "Its builder failed: OSError: no such file"
        assert "is a int" in ranking[5].error
        assert "function that builds one" in ranking[6].error

    def test_a_built_network_does_not_depend_on_its_neighbours(self) -> None:
        batch = torch.randn(6, 8)
        alone = rank({"b": net}, batch)[0].score
        among = {r.name: r.score for r in rank({"a": net, "b": net, "c": net}, batch)}
        assert among["b"] == alone
        assert among["a"] != alone
        assert rank({"b": net}, batch, seed=1)[0].score != alone

    def test_a_built_network_is_freed_before_the_next_is_built(self) -> None:
        built: list[weakref.ref[nn.Module]] = []
        alive: list[int] = []

        def build(inputs: int = 8) -> nn.Module:
            alive.append(sum(r() is not None for r in built))
            model = net(inputs=inputs)
            built.append(weakref.ref(model))
            return model

        rank({"a": build, "fails": lambda: build(9), "b": build}, torch.randn(6, 8))
        assert alive == [0, 0, 0]

    def test_building_networks_leaves_the_random_state_alone(self) -> None:
        batch, before = torch.randn(6, 8), torch.get_rng_state()
        rank({"a": net}, batch)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_wrong_batch_or_option_is_an_error_of_the_call(self) -> None:
        with pytest.raises(NaswotError, match="holds 1 image"):
            rank({"a": net}, torch.randn(1, 8))
        with pytest.raises(NaswotError, match="Unknown activation"):
            rank({"a": net}, torch.randn(6, 8), activations=["rely"])
        with pytest.raises(NaswotError, match="no device"):
            rank({"a": net}, torch.randn(6, 8), device="warp")
        assert rank({}, torch.randn(6, 8)) == []
