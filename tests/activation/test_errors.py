"""Every mistake gets one NaswotError that says what, where and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from naswot_ext.activation import ActivationKernel, count_units, rank, score
from naswot_ext.errors import NaswotError


class Windows(nn.Module):
    """Rectifies [B * 4, ...], as attention over windows might."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x.reshape(x.shape[0] * 4, -1))


class Catches(nn.Module):
    """Hides what went wrong inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Windows()

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.inner(x)
        except Exception:
            return x


def net(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), *layers)


def test_a_batch_that_is_split_up_is_named_with_its_place_and_remedy() -> None:
    model = net(nn.Sequential(nn.ReLU(), Windows()))
    message = (
        r"aten\.relu\.default at '1\.1' \(Windows\) runs on a tensor of shape \(12, 2\), but the batch holds 3 images"
    )
    with pytest.raises(NaswotError, match=message):
        score(model, torch.randn(3, 8))
    with pytest.raises(NaswotError, match=r"ignore=\['1\.1'\]"):
        score(model, torch.randn(3, 8))
    for ignore in (["1.1"], ["*.1"]):
        kernel = ActivationKernel(model, ignore=ignore)
        kernel(torch.randn(3, 8))
        assert kernel.activations == {"relu": 1}


def test_ignoring_a_module_ignores_what_is_inside_of_it() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Sequential(nn.GELU()), nn.SiLU()), nn.Mish())
    assert count_units(model, torch.randn(2, 3), ignore=["1"]).activations == {"relu": 1, "mish": 1}


@pytest.mark.parametrize("squeeze", [lambda x: F.relu(x.sum()), lambda x: F.relu(x.t()), lambda x: F.relu(x[:1])])
def test_scalars_transposed_and_shortened_activations_are_refused(squeeze) -> None:
    model = nn.Sequential()
    model.forward = squeeze  # type: ignore[method-assign]
    with pytest.raises(NaswotError, match=r"at the model's top level runs on a tensor of shape"):
        score(model, torch.randn(3, 8))


def test_a_model_cannot_swallow_the_error() -> None:
    with pytest.raises(NaswotError, match=r"'inner' \(Windows\)"):
        score(Catches(), torch.randn(3, 8))


def test_torchscript_does_not_bury_the_error() -> None:
    with pytest.raises(NaswotError, match=r"shape \(12, 2\)"):
        score(torch.jit.script(Windows()), torch.randn(3, 8))


def test_no_activation_says_what_was_looked_for_and_what_was_seen() -> None:
    with pytest.raises(NaswotError, match=r"ran no activation.*leaky_relu.*not counted: sigmoid \(2 times\)"):
        score(net(nn.Sigmoid(), nn.Sigmoid()), torch.randn(3, 8))
    with pytest.raises(NaswotError, match=r"Looked for: gelu. Seen but not counted: relu \(1 times\)"):
        score(net(nn.ReLU()), torch.randn(3, 8), activations=["gelu"])
    with pytest.raises(NaswotError, match="Seen but not counted: none"):
        count_units(net(), torch.randn(3, 8))


def test_a_fused_activation_is_an_error_and_not_a_gap() -> None:
    class Fused(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch._addmm_activation(x[0], F.relu(x), x.t() @ x)

    with pytest.raises(NaswotError, match=r"_addmm_activation.*inside a larger operation.*before it is fused"):
        score(Fused(), torch.randn(3, 8))


def test_one_image_cannot_be_scored_but_counted() -> None:
    for images in (0, 1):
        with pytest.raises(NaswotError, match=f"holds {images} image"):
            score(net(nn.ReLU()), torch.randn(images, 8))
    assert count_units(net(nn.ReLU()), torch.randn(1, 8)).units == 8
    with pytest.raises(NaswotError, match="holds 0 images"):
        count_units(net(nn.ReLU()), torch.randn(0, 8))


def test_activations_that_are_not_finite_are_counted_in_the_error() -> None:
    model = net(nn.ReLU(), nn.ReLU())
    with torch.no_grad():
        model[0].bias[:2] = torch.tensor([float("nan"), float("inf")])
    with pytest.raises(NaswotError, match="12 pre-activations that are NaN or infinite"):
        score(model, torch.randn(3, 8))


def test_images_that_are_not_finite_are_an_error_of_their_own() -> None:
    batch = torch.randn(3, 8)
    batch[0, :2] = float("nan")
    with pytest.raises(NaswotError, match=r"batch of shape \(3, 8\) holds 2 values"):
        score(net(nn.ReLU()), batch)


def test_a_model_that_fails_keeps_its_exception_as_the_cause() -> None:
    with pytest.raises(NaswotError, match=r"Sequential failed in its forward pass on an input of shape \(3, 9\)") as e:
        score(net(nn.ReLU()), torch.randn(3, 9))
    assert isinstance(e.value.__cause__, RuntimeError)
    assert "mat1 and mat2" in str(e.value)


def test_labels_in_the_batch_are_recognised() -> None:
    with pytest.raises(NaswotError, match="leave the labels out"):
        score(net(nn.ReLU()), (torch.randn(3, 8), torch.zeros(3)))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (None, "a NoneType"),
        ("images.npz", "a str"),
        ([], "a list of 0 items"),
        ({}, "a dict of 0 items"),
        (torch.tensor(1.0), r"a Tensor of shape \(\)"),
        (np.array(["a"]), "array of <U1"),
        (torch.empty(3, 8, device="meta"), "meta device"),
    ],
)
def test_what_is_no_batch_is_refused(batch, message) -> None:
    with pytest.raises(NaswotError, match=message):
        score(net(nn.ReLU()), batch)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: net(nn.ReLU()), "The model is a function.*Call it first"),
        (nn.Linear, "The model is a type"),
        (nn.Sequential(nn.LazyLinear(4), nn.ReLU()), r"lazy parameters without a value \(0.weight\)"),
        (net(nn.ReLU()).to("meta"), "meta device"),
    ],
)
def test_what_is_no_usable_model_is_refused(model, message) -> None:
    with pytest.raises(NaswotError, match=message):
        score(model, torch.randn(3, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activations": ["relu", "gelo"]}, "Unknown activation 'gelo'. Did you mean 'gelu'"),
        ({"activations": "relu"}, "list of names"),
        ({"batchnorm": "training"}, "Unknown batchnorm mode 'training'. Did you mean 'train'"),
        ({"ignore": ["2"]}, "ignore='2' matches no module.*'0', '1'"),
        ({"ignore": "1"}, "list of names"),
        ({"device": "cuda:99"}, "no device 'cuda:99' here"),
        ({"device": "warp"}, "no device 'warp' here"),
    ],
)
@pytest.mark.parametrize("function", [score, count_units])
def test_options_that_do_not_exist_are_refused(function: Callable[..., object], options, message) -> None:
    with pytest.raises(NaswotError, match=message):
        function(net(nn.ReLU()), torch.randn(3, 8), **options)


def test_a_sparse_activation_is_refused() -> None:
    model = nn.Sequential()
    model.forward = lambda x: F.relu(x.to_sparse())  # type: ignore[method-assign]
    with pytest.raises(NaswotError, match="sparse_coo tensor"):
        score(model, torch.randn(3, 8))


def test_no_message_is_longer_than_a_reader_takes() -> None:
    with pytest.raises(NaswotError) as error:
        score(net(nn.Sigmoid()), torch.randn(3, 8))
    assert len(str(error.value)) < 400
    assert not re.search(r"\n", str(error.value))


def test_a_list_of_models_to_rank_is_a_clear_error() -> None:
    with pytest.raises(NaswotError, match="The models are a list: expected a dict"):
        rank([nn.Linear(2, 2)], torch.randn(4, 2))  # type: ignore[arg-type]
