"""NASI: no training; the gradient of the untrained supernet's NTK trace norm by alpha says which operations to take.

The norm is taken as ||theta|| = |d loss / d weights|^2 of one mini-batch, and what is maximised is
R = ||theta|| - mu max(0, ||theta|| - nu), which keeps the norm near nu. Step t draws a mini-batch and Gumbel noise, and
takes G_t = dR / d alpha at alpha = 0; alpha then makes one step, (1/T) sum_t G_t / max_{s<=t} |G_s|, and the result is
the largest alpha of each edge. NASI(T) and NASI(4T) are `steps` of T and of four times that.

`labels: random` draws the labels and `data: gaussian` the images (label- and data-agnostic search). `nu: adaptive` is
`nu_start` in the first step and then the mean of the norms so far, so that it suits supernets of any size; a fixed
one is of the size of the norms of the supernet at hand, which the progress lines say. The mixture of each step is
Gumbel's softmax at `temperature`; with `hard`, the largest operation alone, with the gradient of the softmax.

Source: Shu et al., NASI: Label- and Data-agnostic Neural Architecture Search at Initialization, ICLR 2022, algorithm 1,
equations 10 to 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from naswot_ext.errors import NaswotError
from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.spaces.nasbench201 import OPERATIONS
from naswot_ext.supernets.nasbench201 import EDGES, Supernet, strongest
from naswot_ext.supernets.session import Record, Session, generator
from naswot_ext.supernets.training import Batch, build, check

DEFAULTS = {
    "steps": 100,
    "batch_size": 64,
    "mu": 2.0,
    "nu": "adaptive",
    "nu_start": 500.0,
    "labels": "given",
    "data": "images",
    "temperature": 1.0,
    "hard": False,
    "affine": False,
}


class Slope(NamedTuple):
    """||theta|| (a tensor of one number) and its gradient by alpha, float [6, 5]."""

    norm: torch.Tensor
    gradient: torch.Tensor


def slope(net: Supernet, batch: Batch, noise: torch.Tensor, temperature: float, hard: bool) -> Slope:
    """The trace norm of the mixture that alpha and Gumbel noise [6, 5] make, and its exact gradient by alpha."""
    mixture = functional.softmax((net.alpha + noise) / temperature, 1)
    if hard:
        chosen = functional.one_hot(mixture.detach().argmax(1), len(OPERATIONS)).to(mixture)
        mixture = chosen + (mixture - mixture.detach())
    weights = [weight for _, weight in net.weights()]
    loss = functional.cross_entropy(net(batch.images, mixture), batch.labels)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    (gradient,) = torch.autograd.grad(norm, [net.alpha])
    return Slope(norm.detach(), gradient)


def nasi(setting: Setting) -> Outcome:
    """One run. Evaluations are the steps, each of which looks at one mixture."""
    session = Session(setting, "nasi")
    options = {**DEFAULTS, **setting.options}
    check(setting, "nasi", needs_labels=options["labels"] == "given")
    count = len(setting.images)
    if count < options["batch_size"]:
        raise NaswotError(
            f"The search nasi draws mini-batches of {options['batch_size']}, but there are {count} images. Lower "
            "batch_size, or give more images."
        )
    # Nothing is trained, so there are no running statistics to keep.
    net = build(setting, options["affine"], track_running_stats=False)
    with torch.no_grad():
        net.alpha.zero_()
    zeros = torch.zeros_like(net.alpha.detach())
    record = Record(setting.device, total=zeros, largest=zeros.sum(), norms=zeros.sum())

    def verify() -> None:
        if not torch.isfinite(record["total"]).all():
            raise NaswotError(
                "The gradient of nasi's trace norm is not finite. Raise temperature, which is "
                f"{options['temperature']:g}, or take a larger batch_size, which is {options['batch_size']}."
            )

    def describe(done: int) -> str:
        return f"{done} of {options['steps']} steps, mean trace norm {float(record['norms']) / done:.4g}"

    for step in session.steps(options["steps"], {"record": record}, verify, describe):
        batch, noise = _drawn(setting, step, options)
        norm, gradient = slope(net, batch, noise, options["temperature"], options["hard"])
        nu = options["nu"]
        if nu == "adaptive":
            nu = record["norms"] / step if step else options["nu_start"]
        gradient = torch.where(norm > nu, 1 - options["mu"], 1.0) * gradient
        # Where no operation changes the norm there is no direction to go.
        record["largest"] = torch.maximum(record["largest"], gradient.norm())
        record["total"] = record["total"] + gradient / record["largest"].clamp(min=torch.finfo(torch.float32).tiny)
        record["norms"] = record["norms"] + norm
    return Outcome(strongest(record["total"]), session.seconds(), options["steps"])


def _drawn(setting: Setting, step: int, options: Mapping[str, Any]) -> tuple[Batch, torch.Tensor]:
    """The mini-batch and the Gumbel noise [6, 5] of a step, on the device."""
    random = generator(setting.seed, "nasi", step)
    chosen = torch.randperm(len(setting.images), generator=random)[: options["batch_size"]].numpy()
    images = torch.as_tensor(setting.images[chosen])
    if options["data"] == "gaussian":
        images = torch.randn(images.shape, generator=random)
    if options["labels"] == "random" or setting.labels is None:
        labels = torch.randint(setting.classes, (len(images),), generator=random)
    else:
        labels = torch.as_tensor(setting.labels[chosen])
    noise = -torch.empty(EDGES, len(OPERATIONS)).exponential_(generator=random).log()
    return Batch(images.to(setting.device), labels.to(setting.device)), noise.to(setting.device)


SEARCHES.register("nasi")(NetworkSearch(nasi, needs_labels=False))
