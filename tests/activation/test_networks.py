"""torchvision's networks: as many applications and units as their architecture has, and K by definition.

The expected numbers follow from the papers' architectures; hooks on the activation modules, each of which
runs in these networks as `REPEATED` says, are the independent witness for units and K.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from naswot_ext.activation import ActivationKernel, count_units
from naswot_ext.forward import undisturbed

NETWORKS: dict[str, dict[str, int]] = {
    # The stem, and two in each of 8 basic blocks.
    "resnet18": {"relu": 1 + 8 * 2},
    # The stem, two in each of 6 + 12 + 24 + 16 dense layers, one in each of 3 transitions, and a last F.relu.
    "densenet121": {"relu": 1 + 58 * 2 + 3 + 1},
    # Stem, last convolution, classifier; the 8 blocks from the fourth on have two. ReLU: block 1 one, blocks 2 and 3
    # two, and one in each of the 9 squeeze-and-excitations, whose hardsigmoid gate does not count.
    "mobilenet_v3_small": {"hardswish": 3 + 8 * 2, "relu": 1 + 2 * 2 + 9},
    # Stem and head; one block that does not expand (1 + 1 for squeeze-and-excitation), 15 that do (2 + 1).
    "efficientnet_b0": {"silu": 2 + 2 + 15 * 3},
    # One in each of 3 + 3 + 9 + 3 blocks.
    "convnext_tiny": {"gelu": 18},
    # One in each encoder layer's MLP, and likewise in each of 2 + 2 + 6 + 2 Swin blocks.
    "vit_b_16": {"gelu": 12},
    "swin_t": {"gelu": 12},
}
KINDS = (nn.ReLU, nn.Hardswish, nn.SiLU, nn.GELU)


def build(name: str) -> nn.Module:
    options = {"image_size": 64} if name == "vit_b_16" else {}
    return getattr(torchvision.models, name)(weights=None, **options)


def by_hooks(name: str, model: nn.Module, batch: Tensor, collect: Callable[..., list[Tensor]]) -> list[Tensor]:
    """Every pre-activation, collected on a copy of the model without naswot's capture."""
    model = copy.deepcopy(model)
    functional: list[Tensor] = []
    if name == "densenet121":  # its last ReLU is a function of the features
        model.features.register_forward_hook(lambda _, __, out: functional.append(out.clone()))
    with undisturbed(model):
        return collect(model, batch, KINDS) + functional


@pytest.mark.parametrize("name", NETWORKS)
def test_every_application_is_counted_and_the_kernel_is_the_definition(name, definition, collect) -> None:
    model, batch = build(name), torch.randn(4, 3, 64, 64)
    before = {k: v.clone() for k, v in model.state_dict().items()}

    kernel = ActivationKernel(model)
    kernel(batch)

    expected = by_hooks(name, model, batch, collect)
    assert kernel.activations == NETWORKS[name]
    assert kernel.applications == len(expected)
    assert kernel.units == sum(x[0].numel() for x in expected)
    assert torch.equal(kernel.matrix, definition(expected))
    assert kernel.score() > 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t"])
def test_the_meta_device_counts_the_units_of_a_network(name) -> None:
    with torch.device("meta"):
        model = build(name)
    kernel = ActivationKernel(build(name))
    kernel(torch.randn(2, 3, 64, 64))
    counted = count_units(model, torch.empty(1, 3, 64, 64, device="meta"))
    assert counted == (kernel.units, kernel.applications, kernel.activations)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_do_not_run(name) -> None:
    model = getattr(torchvision.models, name)(weights=None, init_weights=False)
    model.train()
    convolutions = sum(
        type(m).__name__ == "BasicConv2d" and not path.lower().startswith("aux") for path, m in model.named_modules()
    )
    assert count_units(model, torch.randn(2, 3, 75, 75)).activations == {"relu": convolutions}


def test_swin_v2s_position_network_is_named_and_can_be_left_out() -> None:
    # It rectifies a table of window positions, which belongs to no image.
    model, batch = torchvision.models.swin_v2_t(weights=None), torch.randn(2, 3, 64, 64)
    kernel = ActivationKernel(model, ignore=["*.cpb_mlp"])
    kernel(batch)
    assert kernel.activations == {"gelu": 12}
    assert count_units(model, batch, activations={"gelu"}).activations == {"gelu": 12}


def test_resnet18_under_autocast_has_the_codes_of_what_it_computed(definition, collect) -> None:
    model, batch = build("resnet18"), torch.randn(4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        kernel = ActivationKernel(model)(batch)
        expected = by_hooks("resnet18", model, batch, collect)
    assert {x.dtype for x in expected} >= {torch.bfloat16}
    assert torch.equal(kernel, definition(expected))


def test_a_functional_network_equals_its_module_twin() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 3, bias=False)])
            self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])

        def forward(self, x: Tensor) -> Tensor:
            for layer, norm in zip(self.layers, self.norms, strict=True):
                x = F.relu_(norm(layer(x)))
            return F.adaptive_avg_pool2d(x, 1).flatten(1)

    model, batch = Functional(), torch.randn(6, 3, 12, 12)
    pairs = zip(model.layers, model.norms, strict=True)
    twin = nn.Sequential(*(m for pair in pairs for m in (*pair, nn.ReLU())))
    assert torch.equal(ActivationKernel(model)(batch), ActivationKernel(twin)(batch))
