"""Every rectifier, in every form and context, is one application whose code is pre-activation > 0."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from naswot_ext import rectifiers
from naswot_ext.activation import ActivationKernel, count_units
from naswot_ext.forward import undisturbed

FORMS: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "relu": [F.relu, F.relu_, torch.relu, Tensor.relu_, nn.ReLU(), nn.ReLU(inplace=True)],
    "clamp": [
        lambda x: x.clamp(min=0),
        lambda x: x.clamp_(0.0),
        lambda x: x.clamp(0, 6),
        lambda x: torch.clamp_min(x, 0),
        lambda x: x.clamp_min_(0),
        lambda x: x.clip(min=0),
    ],
    "relu6": [F.relu6, nn.ReLU6(), nn.ReLU6(inplace=True), lambda x: F.hardtanh(x, 0, 6)],
    "hardtanh": [F.hardtanh, F.hardtanh_, nn.Hardtanh(-2, 2), nn.Hardtanh(inplace=True)],
    "leaky_relu": [F.leaky_relu, F.leaky_relu_, nn.LeakyReLU(), nn.LeakyReLU(0.2, inplace=True)],
    "prelu": [nn.PReLU(), nn.PReLU(5), lambda x: F.prelu(x, torch.full((1,), 0.1, dtype=x.dtype, device=x.device))],
    "rrelu": [F.rrelu, F.rrelu_, nn.RReLU(), nn.RReLU(inplace=True)],
    "elu": [F.elu, F.elu_, nn.ELU(0.5), nn.ELU(inplace=True)],
    "selu": [F.selu, F.selu_, nn.SELU(), nn.SELU(inplace=True)],
    "celu": [F.celu, F.celu_, nn.CELU(2.0), nn.CELU(inplace=True)],
    "gelu": [F.gelu, nn.GELU(), nn.GELU("tanh")],
    "silu": [F.silu, nn.SiLU(), nn.SiLU(inplace=True)],
    "mish": [F.mish, nn.Mish(), nn.Mish(inplace=True)],
    "hardswish": [F.hardswish, nn.Hardswish(), nn.Hardswish(inplace=True)],
    "softplus": [F.softplus, nn.Softplus(), nn.Softplus(beta=2)],
    "threshold": [lambda x: F.threshold(x, 0, 0), nn.Threshold(0.0, -1.0), nn.Threshold(0, 9, inplace=True)],
}
CASES = [pytest.param(name, f, id=f"{name}-{i}") for name, forms in FORMS.items() for i, f in enumerate(forms)]


class Net(nn.Module):
    """One linear layer, then the function under test inside a context."""

    def __init__(self, function: Callable[[Tensor], Tensor], context: Callable[[], object]) -> None:
        super().__init__()
        self.linear = nn.Linear(7, 5)
        self.function = function
        self.context = context
        self.before: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        with self.context():
            x = self.linear(x)
            self.before = x.clone()
            return self.function(x)


def test_the_table_of_names_is_what_is_tested_here() -> None:
    assert set(FORMS) == rectifiers.NAMES


@pytest.mark.parametrize(("name", "function"), CASES)
@pytest.mark.parametrize(
    "context",
    [
        contextlib.nullcontext,
        torch.enable_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
    ],
    ids=["plain", "grad", "inference", "autocast"],
)
def test_each_form_is_one_application_with_the_code_of_its_input(name, function, context, definition) -> None:
    # An in-place operation under grad needs an input that is no leaf, which the linear layer's output is.
    net = Net(function, context)
    kernel = ActivationKernel(net)
    kernel(torch.randn(6, 7))
    assert kernel.activations == {name: 1}
    assert kernel.units == 5
    assert torch.equal(kernel.matrix, definition([net.before]))


@pytest.mark.parametrize(("name", "function"), CASES)
def test_the_meta_device_counts_the_same(name, function) -> None:
    module = nn.Module()
    module.forward = function  # type: ignore[method-assign]
    parts = [nn.Linear(7, 5), function if isinstance(function, nn.Module) else module]
    counted = count_units(nn.Sequential(*parts).to("meta"), torch.empty(3, 7, device="meta"))
    assert counted == (5, 1, {name: 1})


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_images_follow_the_models_precision(dtype, definition) -> None:
    net = Net(F.relu, contextlib.nullcontext).to(dtype)
    kernel = ActivationKernel(net)
    kernel(torch.randn(6, 7))
    assert net.before.dtype == dtype
    assert torch.equal(kernel.matrix, definition([net.before]))


@pytest.mark.parametrize(
    "gate",
    [
        torch.sigmoid,
        torch.tanh,
        F.hardsigmoid,
        F.logsigmoid,
        lambda x: F.softmax(x, 1),
        lambda x: x.clamp(min=1e-6),
        lambda x: x.clamp(max=6),
        lambda x: F.threshold(x, 0.5, 0),
        lambda x: x.long().clamp(min=0),
    ],
)
def test_gates_bounds_other_than_zero_and_integers_do_not_count(gate) -> None:
    kernel = ActivationKernel(Net(lambda x: gate(F.relu(x)), contextlib.nullcontext))
    kernel(torch.randn(6, 7))
    assert kernel.activations == {"relu": 1}


def test_only_the_activations_asked_for_count(definition) -> None:
    net = Net(lambda x: F.gelu(F.relu(x) - 0.1), contextlib.nullcontext)
    kernel = ActivationKernel(net, activations={"relu"})
    kernel(torch.randn(6, 7))
    assert kernel.activations == {"relu": 1}
    assert torch.equal(kernel.matrix, definition([net.before]))


def test_a_zero_pre_activation_is_inactive() -> None:
    kernel = ActivationKernel(nn.ReLU())
    assert kernel(torch.tensor([[0.0, -0.0, 1.0], [-1.0, -1.0, 1.0]])).tolist() == [[3, 3], [3, 3]]


def test_a_torchscript_model_counts_like_its_source() -> None:
    source = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.LeakyReLU())
    batch = torch.randn(4, 3, 6, 6)
    expected = ActivationKernel(source)(batch)
    scripted = torch.jit.script(source)
    for _ in range(4):  # TorchScript may fuse operations once it has seen a graph run
        scripted(batch)
    kernel = ActivationKernel(torch.jit.script(source))
    assert torch.equal(kernel(batch), expected)
    assert kernel.activations == {"relu": 1, "leaky_relu": 1}


def test_a_frozen_torchscript_model_counts_too() -> None:
    source = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    batch = torch.randn(4, 3, 6, 6)
    assert torch.equal(
        ActivationKernel(torch.jit.freeze(torch.jit.script(source)))(batch), ActivationKernel(source)(batch)
    )


def test_a_compiled_model_runs_uncompiled() -> None:
    def compiled_code_hides_activations(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        def run(*args: object) -> None:
            raise AssertionError("compiled code ran")

        return run

    source = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    batch = torch.randn(4, 4)
    expected = ActivationKernel(source)(batch)
    compiled = torch.compile(source, backend=compiled_code_hides_activations)
    for model in (compiled, nn.Sequential(compiled)):
        assert torch.equal(ActivationKernel(model)(batch), expected)


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")], ids=["data", "compile"]
)
def test_a_wrapper_does_not_change_module_paths(wrap) -> None:
    model = wrap(nn.Sequential(nn.ReLU(), nn.GELU()))
    assert count_units(model, torch.randn(3, 4), ignore=["1"]).activations == {"relu": 1}


def test_a_recurrent_relu_counts_once_a_step_and_layer_also_within_inference_mode() -> None:
    model = nn.RNN(4, 8, num_layers=2, nonlinearity="relu", batch_first=True)
    batch = torch.randn(3, 5, 4)
    expected = count_units(model, batch)
    assert expected == (2 * 5 * 8, 2 * 5, {"relu": 2 * 5})
    with torch.inference_mode():
        assert count_units(model, batch) == expected


def test_an_encoder_layers_fast_path_does_not_hide_its_activation() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    kernel = ActivationKernel(nn.TransformerEncoder(layer, 2).eval())
    kernel(torch.randn(3, 5, 8))
    assert kernel.activations == {"relu": 2}
    assert kernel.units == 2 * 5 * 16


def test_channels_last_activations_are_read_as_they_lie(definition, collect) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.GELU())
    batch = torch.randn(5, 3, 8, 8).to(memory_format=torch.channels_last)
    with undisturbed(model):
        expected = collect(model, batch, (nn.ReLU, nn.GELU))
    assert [x.stride(1) for x in expected] == [1, 1]
    assert torch.equal(ActivationKernel(model)(batch), definition(expected))


def test_an_architecture_of_modules_and_functions_counts_every_application(definition) -> None:
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU(inplace=True)
            self.linear = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            for _ in range(3):  # one module, three applications
                x = self.act(watched(self.linear(x)))
            y = F.gelu(watched(self.linear(x)))
            # A residual sum written into a ReLU's stored output, then rectified again.
            x += y
            return {"out": F.relu(watched(x))}

    kernel = ActivationKernel(Block())
    kernel(torch.randn(4, 6))
    assert kernel.activations == {"relu": 4, "gelu": 1}
    assert torch.equal(kernel.matrix, definition(seen))
