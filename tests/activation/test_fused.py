"""The fused forward pass gives the codes of the plain modules, or leaves the network to them."""

from __future__ import annotations

import csv
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import naswot_ext
from naswot_ext import activation, capture, forward, fused, rectifiers
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from tests.conftest import REPOSITORY

SPACE = SPACES.get("nasbench201")
with open(REPOSITORY / "tests/golden/nasbench201.csv", newline="") as file:
    GOLDEN = [row["arch"] for row in csv.DictReader(file)]
# Where every node is zero, one is, none is used, and one map is pooled, passed on and rectified in the same sum.
CORNERS = [
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|",
    "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|",
    "|avg_pool_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|avg_pool_3x3~0|skip_connect~1|avg_pool_3x3~2|",
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
]


class Kept(capture.LayerKernels):
    """Keeps what is rectified, [B, H, W, C], instead of counting it."""

    def __init__(self, images: int) -> None:
        super().__init__(images)
        self.seen: list[Tensor] = []

    def add(self, activations: Tensor) -> None:
        self.seen.append(activations.permute(0, 2, 3, 1).clone())


def plain(network: nn.Module, images: Tensor) -> list[Tensor]:
    kept = Kept(len(images))
    with forward.undisturbed(network), capture.Capture(network, len(images), rectifiers.NAMES, (), kept):
        network(images)
    return kept.seen


def from_plain(network: nn.Module, images: Tensor) -> int:
    """How far the fused kernel is from that of the plain modules; their counts are the same."""
    assert fused.trace(network, images) is not None
    ours = activation.launch(network, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "trace", lambda model, images: None)
        theirs = activation.launch(network, images)
    assert ours.facts == theirs.facts
    return int((ours.kernel - theirs.kernel).abs().max())


@pytest.mark.parametrize("architecture", [*GOLDEN, *CORNERS])
def test_codes_differ_from_the_plain_modules_only_within_rounding_of_zero(architecture: str) -> None:
    network, images = SPACE.build(architecture), torch.randn(16, 3, 16, 16)
    plan = fused.trace(network, images)
    assert plan is not None
    codes, single = plan.codes(images), plain(network, images)
    double = plain(network.double(), images.double())
    assert plan.applications == len(single)
    assert plan.units == sum(x[0].numel() for x in single)
    for code, x, exact in zip(codes, single, double, strict=True):
        differs = code != (x > 0)
        # How far the plain modules themselves are from the network in double precision.
        rounding = (x.double() - exact).abs().max()
        assert not differs.any() or exact[differs].abs().max() <= 4 * rounding
        assert differs.float().mean() < 1e-4


@pytest.mark.parametrize("architecture", GOLDEN[:6] + CORNERS)
def test_the_kernel_is_the_sum_over_its_own_codes(architecture: str, definition) -> None:
    network, images = SPACE.build(architecture), torch.randn(9, 3, 16, 16)
    pending = activation.launch(network, images)
    plan = fused.trace(network, images)
    assert torch.equal(pending.kernel, definition(code.int() for code in plan.codes(images)))
    assert pending.facts == (plan.units, plan.applications, {"relu": plan.applications})


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_network_gives_the_same_kernel_in_either_memory_format(threads: int) -> None:
    network, images = SPACE.build(GOLDEN[0]), torch.randn(8, 3, 32, 32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        kernels = [
            activation.launch(network, images.contiguous(memory_format=layout)).kernel
            for layout in (torch.contiguous_format, torch.channels_last)
        ]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*kernels)


def test_the_network_and_the_images_stay_as_they_were() -> None:
    network, images = SPACE.build(GOLDEN[5]).train(), torch.randn(4, 3, 32, 32)
    images = images.contiguous(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copy, state = images.clone(), torch.get_rng_state()
    naswot_ext.score(network, images)
    assert torch.equal(images, copy)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())


class Residual(fused.Fusable, nn.Module):
    """What cells of the space do not do: rectify a convolution, a rectified map and the images; add unequal parts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(F.relu(x))
        y = F.relu(F.relu(x))
        z = self.norm(F.avg_pool2d(self.second(y), 3, 1, 1)) + x + (y + self.norm(x))
        z = F.relu(z) + F.relu(z)
        z = F.relu(F.avg_pool2d(z, 2))
        return self.last(F.adaptive_avg_pool2d(z, 1).flatten(1))


def test_other_graphs_are_fused_too() -> None:
    # A handful of bits within rounding of zero.
    assert from_plain(Residual(), torch.randn(12, 3, 16, 16)) <= 3


def test_batch_norm_with_a_shift_brings_zeros_to_life() -> None:
    network, images = SPACE.build(CORNERS[1]), torch.randn(6, 3, 16, 16)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
    assert from_plain(network, images) <= 3


class ManyTerms(Residual):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        left = x
        for _ in range(11):
            left = left + self.norm(x)
        return F.relu(left + (x + (x + (x + x))))


def test_sums_of_many_terms_are_cut_to_what_the_operator_takes() -> None:
    network, images = ManyTerms(), torch.randn(5, 3, 8, 8)
    plan = fused.trace(network, images)
    assert plan is not None
    assert max(len(step.terms) for step in plan._steps) == 8
    assert from_plain(network, images) <= 1


class AddInPlace(Residual):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        before = same = x
        same += self.second(x)
        return F.relu(before) + F.relu(x + self.norm(before))


def test_a_sum_in_place_is_seen_under_every_name() -> None:
    assert from_plain(AddInPlace(), torch.randn(6, 3, 16, 16)) <= 3


class Branch(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 0 else x + 1)


class InPlace(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.first(x), inplace=True)


class Unknown(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.max_pool2d(self.first(x), 2))


class AfterTheTail(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.adaptive_avg_pool2d(F.relu(self.first(x)), 1).flatten(1))


class Frozen(Residual):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return F.relu(F.batch_norm(x, torch.zeros(8), torch.ones(8), training=self.training))


class Autocast(Residual):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.relu(self.second(self.first(x)))


class WindowInThePadding(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.conv2d(x, self.first.weight[:, :, :1, :1], stride=2, padding=1))


@pytest.mark.parametrize("kind", [Branch, InPlace, Unknown, AfterTheTail, Frozen, Autocast, WindowInThePadding])
def test_what_the_trace_does_not_know_is_run_by_the_modules(kind: type[Residual]) -> None:
    network, images = kind(), torch.randn(4, 3, 16, 16)
    assert fused.trace(network, images) is None
    assert math.isfinite(naswot_ext.score(network, images))


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(9), nn.BatchNorm2d(9, affine=False), nn.BatchNorm2d(8, eps=0), nn.BatchNorm2d(8).double()]
)
def test_a_batch_norm_that_torch_refuses_is_an_error_of_the_plain_modules(norm: nn.Module) -> None:
    network, images = Residual(), torch.randn(4, 3, 16, 16)
    network.norm = norm
    assert fused.trace(network, images) is None
    with pytest.raises(NaswotError, match="Residual failed in its forward pass"):
        naswot_ext.score(network, images)


class WithoutStatistics(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.batch_norm(self.first(x), None, None))


def test_a_batch_norm_outside_training_mode_is_left_to_torch() -> None:
    with pytest.raises(NaswotError, match="evaluation mode"):
        naswot_ext.score(WithoutStatistics(), torch.randn(4, 3, 16, 16))


class Noisy(Residual):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return F.relu(x + torch.randn(8, 8, 8)) if torch.rand(1) < 2 else x


def test_the_trace_draws_no_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = Noisy(), torch.randn(4, 3, 16, 16)
    state = torch.get_rng_state()
    ours = naswot_ext.score(network, images)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(fused, "trace", lambda model, images: None)
    assert naswot_ext.score(network, images) == ours


def test_a_mark_on_what_is_no_module_is_an_error() -> None:
    with pytest.raises(NaswotError, match=r"The model is a Fusable: expected a torch\.nn\.Module"):
        naswot_ext.score(fused.Fusable(), torch.randn(4, 3, 16, 16))


def test_hooks_and_patched_modules_are_honoured() -> None:
    images = torch.randn(4, 3, 16, 16)
    network = SPACE.build(GOLDEN[0])
    calls: list[int] = []
    hook = network[0].register_forward_hook(lambda *_: calls.append(1))
    assert fused.trace(network, images) is None
    naswot_ext.score(network, images)
    assert calls
    hook.remove()
    assert fused.trace(network, images) is not None
    network[0].forward = lambda x: x
    assert fused.trace(network, images) is None


def test_options_that_the_fused_pass_does_not_serve_go_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = SPACE.build(GOLDEN[0]), torch.randn(4, 3, 16, 16)
    monkeypatch.setattr(fused.Plan, "run", lambda self, images: pytest.fail("was fused"))
    naswot_ext.score(network, images, batchnorm="eval")
    naswot_ext.score(network, images, ignore=["1"])
    naswot_ext.score(network.double(), images)
    with pytest.raises(NaswotError, match="ran no activation that counts"):
        naswot_ext.score(network, images, activations=["gelu"])


def test_inside_inference_mode_and_autocast_scores_are_those_outside() -> None:
    network, images = SPACE.build(GOLDEN[0]), torch.randn(4, 3, 16, 16)
    expected = naswot_ext.score(network, images)
    with torch.inference_mode():
        assert naswot_ext.score(network, images) == expected
        pending = activation.launch(network, images)
    assert activation.finish([pending]) == [expected]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fused.trace(network, images) is None


def test_what_fails_while_it_runs_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: fused.Plan, images: Tensor) -> None:
        raise RuntimeError("the convolution broke")

    monkeypatch.setattr(fused.Plan, "run", fail)
    with pytest.raises(NaswotError, match=r"Network failed in its forward pass .*RuntimeError: the convolution broke"):
        naswot_ext.score(SPACE.build(GOLDEN[0]), torch.randn(4, 3, 16, 16))


def test_activations_that_are_not_finite_are_an_error_as_ever() -> None:
    network, images = SPACE.build(GOLDEN[1]), torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        network[0][0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(NaswotError, match="pre-activations that are NaN or infinite"):
        naswot_ext.score(network, images)


def test_launched_networks_finish_in_order_with_an_error_each_of_their_own() -> None:
    images = torch.randn(8, 3, 16, 16)
    networks = [SPACE.build(architecture) for architecture in (GOLDEN[0], CORNERS[0], GOLDEN[2])]
    broken = SPACE.build(GOLDEN[3])
    with torch.no_grad():
        broken[0][0].weight.fill_(torch.inf)
    results = activation.finish([activation.launch(network, images) for network in [*networks, broken]])
    assert results[:3] == [naswot_ext.score(network, images) for network in networks]
    assert results[1] == -math.inf
    assert isinstance(results[3], NaswotError)
    assert activation.finish([]) == []
