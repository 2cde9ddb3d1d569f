"""What all proxies of gradients share: networks are left as they were, and what cannot be scored is said."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images
from naswot_ext.spaces import SPACES
from tests.spaces.test_nds import GENOTYPE

LABELLED = ("fisher", "grad_norm", "grasp", "ntk_trace", "snip", "zico")
NAMES = (*LABELLED, "ntk_condition", "synflow")
all_proxies = pytest.mark.parametrize("name", NAMES)
labelled_proxies = pytest.mark.parametrize("name", LABELLED)


def images(size: int = 8, count: int = 8, classes: int = 3) -> Images:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(count, 3, size, size, generator=generator)
    return Images(drawn, torch.arange(count) % classes, classes)


def nasbench201(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    small = SPACES.get("nasbench201").with_network(channels=4, cells=1)
    return small.build(
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|", classes
    )


def plain(*extra: nn.Module, classes: int = 3) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU, what is given, average pooling, linear layer."""
    torch.manual_seed(0)
    rectified = (nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(*rectified, *extra, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def value(name: str, network: nn.Module, batch: Images) -> float:
    return PROXIES.get(name).score(network, batch).score


class Fails(nn.Module):
    """Gives what it gets, and fails on the way forward or back."""

    def __init__(self, backward: bool) -> None:
        super().__init__()
        self.backward = backward

    def forward(self, x: Tensor) -> Tensor:
        if not self.backward:
            raise ValueError("not today")

        def fail(_: Tensor) -> None:
            raise ValueError("not today")

        x = x * 1
        x.register_hook(fail)
        return x


def traces(network: nn.Module) -> dict[str, Any]:
    """What a proxy could leave behind, tensors by their identity and their bits."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        "identity": {name: id(tensor) for name, tensor in tensors.items()},
        "bits": {name: tensor.detach().clone().view(-1).tolist() for name, tensor in tensors.items()},
        "versions": {name: tensor._version for name, tensor in tensors.items()},
        "kinds": {name: (type(tensor), tensor.dtype, tensor.requires_grad) for name, tensor in tensors.items()},
        "gradients": {name: None if p.grad is None else p.grad.tolist() for name, p in network.named_parameters()},
        "attributes": {name: sorted(module.__dict__) for name, module in network.named_modules()},
        "training": {name: module.training for name, module in network.named_modules()},
        "hooks": {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for name, module in network.named_modules()
        },
        "tensor hooks": [name for name, p in network.named_parameters() if p._backward_hooks],
        "random state": torch.get_rng_state().tolist(),
        "grad mode": torch.is_grad_enabled(),
    }


@all_proxies
def test_the_network_and_the_images_are_left_as_they_were(name: str) -> None:
    network, batch = nn.Sequential(nn.Hardtanh(inplace=True), *plain(nn.Dropout(0.5))), images()
    network[4].eval()
    network[2].weight.requires_grad_(False)
    network[1].weight.grad = torch.ones_like(network[1].weight)
    before, pixels = traces(network), batch.images.clone()
    value(name, network, batch)
    assert traces(network) == before
    assert torch.equal(batch.images, pixels)
    assert not batch.images.requires_grad


@pytest.mark.parametrize("backward", [False, True])
@all_proxies
def test_a_network_that_fails_is_left_as_it_was(name: str, backward: bool) -> None:
    network = plain(Fails(backward))
    before = traces(network)
    with pytest.raises(Exception, match="not today"):
        value(name, network, images())
    assert traces(network) == before


@all_proxies
def test_a_backward_pass_that_fails_is_an_error(name: str) -> None:
    with pytest.raises(NaswotError, match="backward pass failed: ValueError: not today"):
        value(name, plain(Fails(backward=True)), images())


@pytest.mark.parametrize("names", itertools.permutations(NAMES, 2), ids="-".join)
def test_two_proxies_of_one_network_give_what_each_gives_alone(names: tuple[str, str]) -> None:
    batch, shared = images(), nasbench201()
    together = [value(name, shared, batch) for name in names]
    assert together == [value(name, nasbench201(), batch) for name in names]
    for name, tensor in nasbench201().state_dict().items():
        assert torch.equal(shared.state_dict()[name], tensor), name
    assert all(parameter.grad is None for parameter in shared.parameters())


@all_proxies
def test_dropout_and_the_random_state_change_no_score(name: str) -> None:
    with_dropout = plain(nn.Dropout(0.5))
    torch.manual_seed(1)
    first = value(name, with_dropout, images())
    torch.manual_seed(2)
    assert value(name, with_dropout, images()) == first == value(name, plain(), images())


@all_proxies
def test_running_statistics_and_the_mode_of_the_network_change_no_score(name: str) -> None:
    network = plain()
    trained = copy.deepcopy(network)
    trained[1].running_mean.fill_(3.0)
    assert value(name, trained.eval(), images()) == value(name, network, images())


@all_proxies
def test_scoring_works_in_inference_mode(name: str) -> None:
    network = plain()
    with torch.inference_mode():
        batch = images()
        inside = value(name, network, batch)
    assert inside == value(name, network, images())


@pytest.mark.parametrize(
    ("space", "architecture", "options"),
    [
        ("nasbench101", "0110000100010000 input,conv3x3-bn-relu,maxpool3x3,output", {"modules": 1}),
        ("nats-sss", "8:16:8:16:8", {}),
        (
            "nds-resnet",
            '{"block_type": "res_basic_block", "ds": [1, 2, 1], "ss": [1, 1, 2], "ws": [16, 8, 16]}',
            {"stem": "trained"},
        ),
        ("nds-darts", GENOTYPE, {"width": 4, "depth": 3}),
    ],
)
@all_proxies
def test_networks_of_all_spaces_are_scored(name: str, space: str, architecture: str, options: dict[str, Any]) -> None:
    found = SPACES.get(space).with_network(**options)
    torch.manual_seed(0)
    network = found.build(found.canonical(architecture), 3)
    score = value(name, network, images(size=32))
    assert torch.tensor(score).isfinite()
    assert score != 0


class WithAuxiliary(nn.Module):
    def __init__(self, *others: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = plain()
        self.others = others

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first, *rest = [self.network(x), *(other(x) for other in self.others)]
        return (first, *rest)


class FeaturesFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = plain()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network[:-1](x)
        return features, self.network[-1](features)


@all_proxies
def test_of_a_tuple_that_starts_with_logits_these_are_scored(name: str) -> None:
    both = WithAuxiliary(lambda x: x.mean((2, 3)))
    assert value(name, both, images()) == value(name, plain(), images())


@all_proxies
def test_a_tuple_that_starts_with_features_is_an_error(name: str) -> None:
    with pytest.raises(NaswotError, match="a tuple that starts with a Tensor of shape"):
        value(name, FeaturesFirst(), images())


@all_proxies
def test_maps_are_no_logits(name: str) -> None:
    with pytest.raises(NaswotError, match="needs logits"):
        value(name, nn.Conv2d(3, 3, 1), images())


@all_proxies
def test_a_network_without_trainable_layers_is_an_error(name: str) -> None:
    frozen = plain()
    frozen[0].requires_grad_(False)
    frozen[-1].requires_grad_(False)
    for network in (nn.Flatten(), frozen):
        with pytest.raises(NaswotError, match="no convolution or linear layer with a trainable weight"):
            value(name, network, images())


@all_proxies
def test_frozen_layers_do_not_count(name: str) -> None:
    network, half = plain(), plain()
    half[-1].weight.requires_grad_(False)
    assert value(name, half, images()) != value(name, network, images())


@all_proxies
def test_a_computed_weight_is_an_error(name: str) -> None:
    network = plain()
    parametrizations.weight_norm(network[0])
    with pytest.raises(NaswotError, match="weight of 0 is computed from other parameters"):
        value(name, network, images())


class WithoutGradients(nn.Sequential):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@all_proxies
def test_a_network_that_switches_gradients_off_is_an_error(name: str) -> None:
    with pytest.raises(NaswotError, match="computed without gradients"):
        value(name, WithoutGradients(*plain()), images())


@labelled_proxies
def test_a_data_set_without_labels_is_an_error(name: str) -> None:
    assert PROXIES.get(name).needs_labels
    with pytest.raises(NaswotError, match="needs labels, and the data set has none"):
        value(name, plain(), images()._replace(labels=None))


@pytest.mark.parametrize("name", ["ntk_condition", "synflow"])
def test_proxies_without_a_loss_need_no_labels(name: str) -> None:
    assert not PROXIES.get(name).needs_labels
    assert value(name, plain(), images()._replace(labels=None)) == value(name, plain(), images())


@pytest.mark.parametrize("wrong", [3, -1, -100])
@labelled_proxies
def test_a_label_that_is_no_class_is_an_error(name: str, wrong: int) -> None:
    batch = images()
    assert batch.labels is not None
    batch.labels[1] = wrong
    with pytest.raises(NaswotError, match="labels must lie between 0 and 2"):
        value(name, plain(), batch)


@labelled_proxies
def test_labels_of_another_kind_or_number_are_an_error(name: str) -> None:
    batch = images()
    assert batch.labels is not None
    for labels in (batch.labels.float(), batch.labels[:-1], batch.labels[:, None]):
        with pytest.raises(NaswotError, match="must be whole numbers, one for each"):
            value(name, plain(), batch._replace(labels=labels))


@labelled_proxies
def test_one_class_is_an_error(name: str) -> None:
    for classes in (1, 3):
        with pytest.raises(NaswotError, match="cross-entropy of one class is 0"):
            value(name, plain(classes=1), images(classes=1)._replace(classes=classes))


@labelled_proxies
def test_a_loss_that_is_no_number_is_an_error(name: str) -> None:
    network = plain()
    with torch.no_grad():
        network[-1].weight.fill_(3e38)
    with pytest.raises(NaswotError, match=r"The loss is (nan|inf)"):
        value(name, network, images())


class Root(nn.Module):
    """The square root of 0, whose gradient is infinite."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x * 0)


@all_proxies
def test_gradients_that_are_no_numbers_are_an_error(name: str) -> None:
    with pytest.raises(NaswotError, match="overflow or are no numbers"):
        value(name, plain(Root()), images())


@all_proxies
def test_a_batch_of_one_image_and_a_map_of_one_pixel_say_that_batchnorm_cannot_run(name: str) -> None:
    one = images(size=1, count=2 if name == "zico" else 1)
    if name == "synflow":
        assert value(name, plain(), one) > 0
        return
    with pytest.raises(NaswotError, match=r"more than 1 value per channel|2 or more"):
        value(name, plain(), one)


@all_proxies
def test_scores_in_bfloat16_are_near_those_in_float32(name: str) -> None:
    batch, network = images(), plain()
    exact = value(name, network, batch)
    rounded = value(name, plain().bfloat16(), batch._replace(images=batch.images.bfloat16()))
    # GraSP is a difference of large terms, and ZiCo and the NTK divide by small ones.
    assert rounded == pytest.approx(exact, rel=0.5 if name in ("grasp", "zico", "ntk_condition") else 0.05)
