"""Copies of prototypes are what the constructors make."""

from __future__ import annotations

import torch
from torch import nn

from naswot_ext.spaces._prototype import Prototype, prototyped


def build(width: int) -> nn.Module:
    block = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 8, 3), nn.BatchNorm2d(8))
    return nn.Sequential(block, nn.Flatten(), nn.Linear(8, 2, bias=False), nn.Identity())


def test_a_copy_has_the_numbers_flags_and_form_of_a_constructed_module() -> None:
    copied = prototyped(build)
    copied(4)  # the prototype itself draws nothing
    torch.manual_seed(3)
    ours, after_ours = copied(4), torch.rand(1)
    torch.manual_seed(3)
    theirs, after_theirs = build(4), torch.rand(1)
    assert torch.equal(after_ours, after_theirs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert all(parameter.requires_grad for parameter in ours.parameters())
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(ours(x), theirs(x))


def test_copies_share_nothing() -> None:
    copied = prototyped(build)
    one, other = copied(4), copied(4)
    pointers = [{t.data_ptr() for t in m.state_dict().values()} for m in (one, other)]
    assert not pointers[0] & pointers[1]
    one.eval()
    one[0].register_forward_hook(lambda *_: None)
    one[0].append(nn.ReLU())
    assert all(module.training for module in other.modules())
    assert not other[0]._forward_hooks
    assert len(other[0]) == len(copied(4)[0]) == 3


def test_copies_do_not_share_which_buffers_are_saved() -> None:
    copied = prototyped(build)
    one, other = copied(4), copied(4)
    one[0].register_buffer("mask", torch.ones(1), persistent=False)
    other[0].register_buffer("mask", torch.ones(1))
    assert "0.mask" not in one.state_dict()
    assert "0.mask" in other.state_dict()


def test_a_copy_has_the_default_type_of_its_own_time() -> None:
    copied = prototyped(build)
    copied(4)
    torch.set_default_dtype(torch.float64)
    try:
        assert {p.dtype for p in copied(4).parameters()} == {torch.float64}
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in copied(4).parameters()} == {torch.float32}


def test_a_copy_is_made_on_the_default_device() -> None:
    with torch.device("meta"):
        assert all(tensor.is_meta for tensor in Prototype(build(4)).fresh().state_dict().values())
    assert all(tensor.device.type == "cpu" for tensor in prototyped(build)(4).state_dict().values())
