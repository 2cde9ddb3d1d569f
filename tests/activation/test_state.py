"""A model, and torch, are after a score what they were before."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from naswot_ext.activation import ActivationKernel, score
from naswot_ext.errors import NaswotError


class Noisy(nn.Module):
    """Everything that could change: normalisation of three kinds, dropout, random numbers, its own buffer."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norms = nn.Sequential(
            nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True), nn.SyncBatchNorm(4)
        )
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(2))
        self.register_buffer("same_calls", self.calls)
        self.register_buffer("empty", None)
        self.fail = fail

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        assert self.same_calls is self.calls
        self.empty = torch.rand(1)
        x = F.relu(self.dropout(self.norms[:2](self.conv(x))))
        if self.fail:
            raise ValueError("no further")
        return x


def snapshot(model: nn.Module) -> dict[str, object]:
    """All that must not change, by value and by identity."""
    return {
        "flags": [(m.training, getattr(m, "track_running_stats", None)) for m in model.modules()],
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "identity": [id(t) for t in (*model.parameters(), *model.buffers())],
        "versions": [t._version for t in (*model.parameters(), *model.buffers())],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "attributes": [sorted(m.__dict__) for m in model.modules()],
        "random": torch.get_rng_state(),
        "grad": torch.is_grad_enabled(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
    }


def assert_same(after: dict[str, object], before: dict[str, object]) -> None:
    for name, value in before.items():
        if name == "state":
            for key, tensor in value.items():
                assert torch.equal(after[name][key], tensor), key
        elif isinstance(value, Tensor):
            assert torch.equal(after[name], value), name
        else:
            assert after[name] == value, name


@pytest.mark.parametrize("batchnorm", ["train", "eval"])
@pytest.mark.parametrize("fail", [False, True], ids=["returns", "raises"])
def test_flags_buffers_hooks_and_random_state_are_restored(batchnorm, fail) -> None:
    model = Noisy(fail)
    model.norms[0].eval()  # a mixture, which neither train() nor eval() would bring back
    model.dropout.train()
    before = snapshot(model)
    try:
        score(model, torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1)), batchnorm=batchnorm)
        assert not fail
    except NaswotError:
        assert fail
    assert_same(snapshot(model), before)
    assert model.empty is None
    assert model.same_calls is model.calls


@pytest.mark.parametrize("batchnorm", ["train", "eval"])
def test_a_torchscript_models_running_statistics_are_restored(batchnorm) -> None:
    model = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    score(model, torch.randn(4, 3, 6, 6), batchnorm=batchnorm)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    model(torch.randn(4, 3, 6, 6))
    assert model.state_dict()["1.num_batches_tracked"] == 1


def test_training_goes_on_as_if_nothing_had_been_scored() -> None:
    model = Noisy()
    other = copy.deepcopy(model)
    batch = torch.randn(4, 3, 6, 6)
    loss = model.norms[0](model.conv(batch)).square().sum()
    score(model, batch)  # between a forward and its backward pass
    loss.backward()
    other.norms[0](other.conv(batch)).square().sum().backward()
    assert torch.equal(model.conv.weight.grad, other.conv.weight.grad)
    assert torch.equal(model.norms[0].running_mean, other.norms[0].running_mean)


def test_batch_statistics_and_running_statistics_are_two_modes(definition) -> None:
    norm, batch = nn.BatchNorm2d(3), torch.randn(6, 3, 5, 5) * 3 + 2
    norm.running_mean.fill_(1.0)
    for mode, training in (("train", True), ("eval", False)):
        kernel = ActivationKernel(nn.Sequential(norm, nn.ReLU()), batchnorm=mode)(batch)
        expected = F.batch_norm(batch, norm.running_mean.clone(), norm.running_var.clone(), training=training)
        assert torch.equal(kernel, definition([expected]))


def test_instance_norm_uses_each_images_own_statistics(definition) -> None:
    norm, batch = nn.InstanceNorm2d(3, track_running_stats=True), torch.randn(6, 3, 5, 5) + 2
    kernel = ActivationKernel(nn.Sequential(norm, nn.ReLU()))(batch)
    assert torch.equal(kernel, definition([F.instance_norm(batch)]))


def test_dropout_and_skipped_blocks_are_off(definition) -> None:
    batch = torch.randn(6, 50)
    model = nn.Sequential(nn.Dropout(0.9), nn.AlphaDropout(0.9), nn.ReLU()).train()
    assert torch.equal(ActivationKernel(model)(batch), definition([batch]))


def test_the_matrix_is_of_the_last_batch_alone() -> None:
    kernel = ActivationKernel(nn.Sequential(nn.Linear(4, 8), nn.ReLU()))
    batch = torch.randn(4, 4)
    first = kernel(batch).clone()
    assert torch.equal(kernel(batch), first)
    assert kernel(batch[:3]).shape == (3, 3)
    with pytest.raises(NaswotError, match="failed in its forward pass"):
        kernel(torch.randn(4, 5))
    with pytest.raises(NaswotError, match="call it on a batch first"):
        _ = kernel.matrix


def test_a_score_inside_inference_mode_is_the_same() -> None:
    model, batch = Noisy(), torch.randn(4, 3, 6, 6)
    expected = score(model, batch)
    with torch.inference_mode():
        assert score(model, batch) == expected
        assert score(model, batch.clone()) == expected
        assert torch.is_inference_mode_enabled()
        born_here = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    outside = ActivationKernel(born_here)(batch)
    assert torch.equal(outside, ActivationKernel(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))(batch))


def test_the_images_are_not_changed_by_a_model_that_rectifies_them_in_place() -> None:
    batch = torch.randn(4, 8)
    before = batch.clone()
    score(nn.Sequential(nn.ReLU(inplace=True)), batch)
    assert torch.equal(batch, before)


def test_a_model_wrapped_for_several_devices_is_scored_inside_its_wrapper() -> None:
    model, batch = nn.Sequential(nn.Linear(4, 64), nn.ReLU()), torch.randn(4, 4)
    assert score(nn.DataParallel(model), batch) == score(model, batch)


def test_a_score_survives_pickling_and_copying_with_its_facts() -> None:
    value = score(nn.Sequential(nn.Linear(4, 64), nn.ReLU()), torch.randn(4, 4))
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert type(other) is type(value)
        assert (other, repr(other)) == (value, repr(value))
