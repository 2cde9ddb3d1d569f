"""The counts of a network: exact, cheap, and without a trace in it. And the random baseline."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images, Proxy, Scored
from naswot_ext.spaces import SPACES
from tests.proxies.tiny import score
from tests.spaces import golden

# Spaces that differ in what their networks are made of. (All 15 of tests/golden agreed when the count was written.)
SPACES_COUNTED = ("nasbench101", "nasbench201", "nats-sss", "nds-darts-in", "nds-resnext-a", "nds-vanilla")
FIRST = {fact.space: fact.arch for file in golden.FILES for fact in reversed(golden.facts(file))}


def images(size: int = 8, count: int = 3) -> Images:
    return Images(torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0)), None, 10)


def plainly(network: nn.Module, of: Images) -> float:
    """What torch's own counter says of two images in training mode."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(of.images[:2])
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("space", SPACES_COUNTED)
def test_flops_are_those_of_torchs_counter(space: str) -> None:
    network = SPACES.get(space).build(FIRST[space], 10)
    of = images(64 if space.endswith("-in") else 16)
    laid_out = of._replace(images=of.images.contiguous(memory_format=torch.channels_last))
    assert score("flops", network, laid_out) == plainly(network, of) > 0


def test_flops_of_small_layers_are_those_of_their_formulas() -> None:
    # 4x4 outputs of 2x3x3 products for each of 6 channels; the group's other input channel is not seen.
    network = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(96, 5))
    of = Images(torch.zeros(2, 4, 4, 4), None, 5)
    assert score("flops", network, of) == 2 * (16 * 6 * 2 * 9 + 96 * 5)
    strided = nn.Sequential(nn.Conv2d(4, 1, (3, 1), stride=(2, 3), dilation=(1, 2), padding="valid"))
    assert score("flops", strided, of) == 2 * (1 * 2) * 4 * 3
    transposed = nn.Sequential(nn.ConvTranspose2d(4, 3, 2, stride=2))
    assert score("flops", transposed, of) == plainly(transposed, of) == 2 * 16 * 4 * 3 * 4


class Asks(nn.Module):
    """Takes another way where its feature maps are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if not x.any():
            raise RuntimeError("nothing here")
        return self.second(x.mean((2, 3)))


def test_a_network_that_needs_values_is_counted_by_running_it() -> None:
    network = Asks()
    assert score("flops", network, images()) == plainly(network, images()) == 2 * (64 * 3 * 4 + 4 * 10)


def test_what_is_wrong_with_a_network_is_said_by_its_plain_run() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        score("flops", nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(9, 9)), images())
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        score("flops", nn.Sequential(nn.Conv2d(3, 4, 9)), images())


def test_the_random_baseline_is_a_uniform_number_of_the_networks_seed() -> None:
    space = SPACES.get("nasbench201").with_network(channels=4, cells=1)
    values = []
    for seed in range(40):
        torch.manual_seed(seed)
        network = space.build(space.architecture(seed), 10)
        state = torch.get_rng_state()
        values.append(score("random", network, images()))
        assert torch.equal(torch.get_rng_state(), state)
        assert score("random", network, images()) == values[-1]
    assert len(set(values)) == 40
    assert 0 <= min(values) < 0.2 < 0.8 < max(values) < 1
    torch.manual_seed(0)
    space.build(space.architecture(0), 10)
    assert score("random", nn.Identity(), images()) == values[0]


NASWOT, NORMALISED, UNITS = map(PROXIES.get, ("naswot", "naswot_normalised", "units"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 10))


def converted(proxy: Proxy, value: Scored, batch: Images) -> Scored:
    assert proxy.converts is not None
    assert proxy.converts[0] == "naswot"
    return proxy.converts[1](value, batch)


def test_the_normalised_score_is_the_determinant_of_codes_in_common_per_unit() -> None:
    batch = Images(torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0)), None, 10)
    layers = network()
    codes = (layers[1](layers[0](batch.images)) > 0).double()
    kernel = (codes @ codes.T + (1 - codes) @ (1 - codes.T)) / 40
    expected = float(torch.linalg.slogdet(kernel)[1])
    value = NORMALISED.compute(layers, batch)
    assert isinstance(value, Scored)
    assert value.score == pytest.approx(expected, rel=1e-9)
    assert value.score < 0
    assert value.units == 40


def test_naswot_tells_the_normalised_score_and_the_units_without_the_network() -> None:
    batch = Images(torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0)), None, 10)
    known = NASWOT.compute(network(), batch)
    assert isinstance(known, Scored)
    for proxy in (NORMALISED, UNITS):
        assert converted(proxy, known, batch) == proxy.compute(network(), batch)
    singular = Scored(-math.inf, 40)
    assert converted(NORMALISED, singular, batch) == singular
    assert converted(UNITS, singular, batch) == (40, 40)


@pytest.mark.parametrize("proxy", [NORMALISED, UNITS], ids=["naswot_normalised", "units"])
def test_a_score_that_does_not_say_its_units_cannot_be_converted(proxy: Proxy) -> None:
    with pytest.raises(NaswotError, match="does not say of how many units"):
        converted(proxy, Scored(3.0, 0), images())


def test_many_normalised_scores_under_way_are_those_of_one_at_a_time() -> None:
    batch = Images(torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0)), None, 10)
    broken = network()
    with torch.no_grad():
        broken[1].weight[0, 0] = math.nan
    assert NORMALISED.launch is not None
    assert NORMALISED.finish is not None
    good, bad = NORMALISED.finish([NORMALISED.launch(each, batch) for each in (network(), broken)])
    assert good == NORMALISED.compute(network(), batch)
    assert "NaN or infinite" in str(bad)
