"""The proxies without a loss leave a network, and torch, as they were: many of them score the same one in turn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from naswot_ext.proxies import PROXIES, Images

NAMES = (
    "flops",
    "jacobian",
    "jacobian_train",
    "naswot",
    "naswot_normalised",
    "params",
    "random",
    "swap",
    "swap_16",
    "units",
    "zen",
)
all_proxies = pytest.mark.parametrize("name", NAMES)
IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """With all that a forward pass may change: running statistics, gradients, dropout, layers in eval mode."""

    def __init__(self, breaks: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.ReLU(inplace=True))
        self.untracked = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
        self.tied = self.stem[0]
        self.frozen = nn.Parameter(torch.ones(4, 1, 1), requires_grad=False)
        self.breaks = breaks
        self.drop.eval()
        for parameter in self.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(self.drop(self.untracked(self.stem(x)) * self.frozen))
        if self.breaks:
            raise RuntimeError("no way")
        return x


def state(network: Network) -> dict[str, object]:
    """All that can be seen of a network and of torch."""
    seen: dict[str, object] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        seen[f"{name} itself"] = (id(parameter), parameter.data_ptr(), parameter.requires_grad, id(parameter.grad))
        seen[f"{name}.grad"] = parameter.grad.clone()
    for name, buffer in network.named_buffers():
        seen[f"{name} itself"] = (id(buffer), buffer.data_ptr())
    for name, module in network.named_modules():
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        options = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        seen[f"{name} options"] = (repr(options), module.training, hooks, list(module._buffers))
    seen["torch"] = (torch.get_rng_state().tolist(), torch.is_grad_enabled(), torch.initial_seed())
    return seen


def assert_same(before: dict[str, object], after: dict[str, object]) -> None:
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, name


@all_proxies
@pytest.mark.parametrize("breaks", [False, True])
def test_the_network_and_torch_are_as_before_also_where_the_network_breaks(name: str, breaks: bool) -> None:
    network, images = Network(breaks), IMAGES.clone()
    torch.manual_seed(7)
    before = state(network)
    if breaks and name not in ("params", "random"):
        with pytest.raises(Exception, match="no way"):
            PROXIES.get(name).compute(network, Images(images, None, 10))
    else:
        PROXIES.get(name).compute(network, Images(images, None, 10))
    assert_same(before, state(network))
    assert torch.equal(images, IMAGES)


@all_proxies
def test_a_value_is_the_same_behind_all_others_and_in_eval_mode(name: str) -> None:
    batch = Images(IMAGES, None, 10)
    network = Network()
    torch.manual_seed(7)
    alone = PROXIES.get(name).compute(copy.deepcopy(network), batch)
    for other in NAMES:
        PROXIES.get(other).compute(network, batch)
    assert PROXIES.get(name).compute(network, batch) == alone
    assert PROXIES.get(name).compute(network.eval(), batch) == alone


@all_proxies
def test_each_says_what_it_needs(name: str) -> None:
    proxy = PROXIES.get(name)
    assert proxy.name == name
    assert proxy.title
    assert proxy.cost
    assert proxy.batch
    assert not proxy.needs_labels
    assert proxy.higher_is_better
