"""The supernet is the architectures of the space, with shared weights."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn import functional

from naswot_ext.spaces import SPACES
from naswot_ext.spaces.nasbench201 import OPERATIONS, parse
from naswot_ext.supernets.nasbench201 import Supernet, architecture, strongest
from tests.supernets.toy import blobs

IMAGES = torch.as_tensor(blobs(16)[0])


def supernet(**options: bool) -> Supernet:
    torch.manual_seed(1)
    return Supernet(4, 2, 10, **options)


def inherited(net: Supernet, path: list[int]) -> dict[str, torch.Tensor]:
    """The state of the architecture `path`, out of the supernet's."""
    state = {}
    for name, value in net.state_dict().items():
        edge = re.fullmatch(r"stages\.(\d+)\.edges\.(\d+)\.(\d+)\.(.+)", name)
        if edge is None:
            state[name.removeprefix("stages.")] = value
        elif path[int(edge[2])] == int(edge[3]):
            state[f"{edge[1]}.edges.{edge[2]}.{edge[4]}"] = value
    state.pop("alpha")
    return state


@pytest.mark.parametrize("index", [0, 7, 451, 5292, 9999, 15624])
@pytest.mark.parametrize("training", [True, False])
def test_a_path_gives_what_the_network_of_its_architecture_gives_with_the_same_weights(index, training) -> None:
    space = SPACES.get("nasbench201").with_network(channels=4, cells=2)
    net = supernet(affine=True)
    name = space.architecture(index)
    path = [OPERATIONS.index(operation) for operation in parse(name)]
    assert architecture(path) == name
    alone = space.build(name, 10)
    alone.load_state_dict(inherited(net, path))
    net.train(training)
    alone.train(training)
    assert torch.equal(net.path(IMAGES, path), alone(IMAGES))


def test_a_mixture_of_one_operation_an_edge_is_that_path() -> None:
    net, path = supernet(track_running_stats=False), [3, 1, 0, 4, 2, 3]
    mixture = functional.one_hot(torch.tensor(path), 5).float()
    torch.testing.assert_close(net(IMAGES, mixture), net.path(IMAGES, path))


def test_a_mixture_weights_all_operations_and_its_gradient_is_that_of_their_sum() -> None:
    net = supernet(track_running_stats=False).double()
    images = IMAGES.double()
    mixture = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def plain(weights: torch.Tensor) -> torch.Tensor:
        x = images
        for stage in net.stages:
            if not hasattr(stage, "edges"):
                x = stage(x)
                continue
            nodes, edge = [x], 0
            for target in (1, 2, 3):
                total = torch.zeros_like(x)
                for source in range(target):
                    for o in range(5):
                        total = total + weights[edge, o] * stage.edges[edge][o](nodes[source])
                    edge += 1
                nodes.append(total)
            x = nodes[-1]
        return x

    ours, expected = net(images, mixture), plain(mixture)
    torch.testing.assert_close(ours, expected)
    (a,) = torch.autograd.grad(ours.square().sum(), [mixture])
    (b,) = torch.autograd.grad(expected.square().sum(), [mixture])
    torch.testing.assert_close(a, b)


def test_gates_of_one_change_nothing_and_have_the_gradient_of_their_operations_output() -> None:
    net, path = supernet(track_running_stats=False).double(), [3, 1, 2, 4, 2, 3]
    images = IMAGES.double()
    gates = functional.one_hot(torch.tensor(path), 5).double().requires_grad_()
    logits = net.gated(images, gates, path)
    torch.testing.assert_close(logits, net.path(images, path))
    (gradient,) = torch.autograd.grad(logits.square().sum(), [gates])
    step = 1e-6
    for edge, operation in ((0, 3), (2, 2), (4, 0), (5, 1)):
        moved = gates.detach().clone()
        moved[edge, operation] += step
        up = net.gated(images, moved, path).square().sum()
        moved[edge, operation] -= 2 * step
        down = net.gated(images, moved, path).square().sum()
        torch.testing.assert_close(gradient[edge, operation], (up - down) / (2 * step), rtol=1e-4, atol=1e-6)


def test_only_the_operations_of_a_path_run() -> None:
    net, ran = supernet(), []
    for operation in range(5):
        net.stages[1].edges[0][operation].register_forward_hook(lambda *_, o=operation: ran.append(o))
    net.path(IMAGES, [3, 0, 0, 0, 0, 0])
    net.gated(IMAGES, torch.ones(6, 5), [2, 0, 0, 0, 0, 0])
    assert ran == [3, 2]


def test_the_cells_share_one_alpha_near_zero_which_is_no_weight() -> None:
    net = supernet()
    assert net.alpha.shape == (6, 5)
    assert net.alpha.abs().max() < 0.01
    assert "alpha" not in dict(net.weights())
    assert len(list(net.weights())) == len(list(net.parameters())) - 1


def test_the_batchnorms_of_the_cells_have_weights_only_where_asked() -> None:
    for affine in (False, True):
        net = supernet(affine=affine)
        norm = net.stages[1].edges[0][3][2]
        assert (norm.weight is not None) == affine
        assert net.stages[0][1].weight is not None


def test_the_strongest_architecture_has_the_largest_alpha_of_each_edge() -> None:
    alpha = torch.zeros(6, 5)
    alpha[range(6), [3, 1, 0, 4, 2, 3]] = 1e-7
    assert strongest(alpha) == architecture([3, 1, 0, 4, 2, 3])
