"""DARTS: alpha goes down the validation loss of the mixture of all operations, the weights down the training loss.

The result is the largest alpha of each edge after the last epoch. First order: alpha's gradient is taken at the weights
as they are, after their step. Second order: at the weights one step ahead, and through that step.

Source: Liu, Simonyan & Yang, DARTS: Differentiable Architecture Search, ICLR 2019, sections 2.2 and 2.3, as run on
NAS-Bench-201 by its authors. Theirs clips alpha's gradient with that of the weights; here only theirs is clipped.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.func import functional_call
from torch.nn import functional

from naswot_ext.searches import Outcome, Setting
from naswot_ext.supernets.nasbench201 import Supernet, strongest
from naswot_ext.supernets.training import ALPHA_DEFAULTS, Batch, Trainer

DEFAULTS = {**ALPHA_DEFAULTS, "epochs": 50}
# How far the weights are moved, in all, to take the second derivative as a difference (section 2.3, footnote 2).
_DISTANCE = 0.01


def darts(setting: Setting, algorithm: str, second_order: bool) -> Outcome:
    """One run. Evaluations are the mixtures that were looked at: two a step, for the weights and for alpha."""
    trainer = Trainer(setting, algorithm, DEFAULTS)
    alpha_optimiser = trainer.alpha_optimiser()
    net = trainer.net
    for epoch, step, number in trainer.steps():
        training = trainer.halves.training(epoch, step)
        validation = trainer.halves.validation(epoch, step, "alpha")

        def step_weights(training: Batch = training, number: int = number) -> None:
            trainer.descend(number, net(training.images, functional.softmax(net.alpha, 1)), training)

        if second_order:
            loss, net.alpha.grad = look_ahead(net, trainer.optimiser, training, validation)
            alpha_optimiser.step()
            step_weights()
        else:
            step_weights()
            loss = functional.cross_entropy(net(validation.images, functional.softmax(net.alpha, 1)), validation.labels)
            (net.alpha.grad,) = torch.autograd.grad(loss, [net.alpha])
            alpha_optimiser.step()
        trainer.progress.add(number, loss)
    return Outcome(strongest(net.alpha), trainer.session.seconds(), 2 * trainer.options["epochs"] * trainer.per_epoch)


def look_ahead(
    net: Supernet, optimiser: torch.optim.SGD, training: Batch, validation: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """(validation loss, its gradient [6, 5]) at the weights that one step of the optimiser would lead to.

    The step is alpha's function, too: the gradient has a term - rate x (d2 training loss / d alpha d weights) x
    (d validation loss / d weights), equation 7. It leaves no trace in the net.
    """
    (group,) = optimiser.param_groups
    rate, decay, momentum = group["lr"], group["weight_decay"], group["momentum"]
    weights = dict(net.weights())
    gradients = torch.autograd.grad(_loss(net, weights, training), list(weights.values()))
    ahead = {}
    with torch.no_grad():
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            buffer = optimiser.state[weight].get("momentum_buffer")
            direction = gradient + decay * weight
            if buffer is not None:
                direction += momentum * buffer
            ahead[name] = weight - rate * direction
    for weight in ahead.values():
        weight.requires_grad_()
    loss = _loss(net, ahead, validation)
    direct, *vector = torch.autograd.grad(loss, [net.alpha, *ahead.values()])
    return loss.detach(), direct - rate * mixed_product(net, weights, training, vector)


def mixed_product(
    net: Supernet, weights: Mapping[str, torch.Tensor], batch: Batch, vector: list[torch.Tensor]
) -> torch.Tensor:
    """(d2 loss / d alpha d weights) x `vector`, float [6, 5], as the difference of two gradients (equation 8)."""
    # A vector of zeros, as of a validation loss of exactly 0, has no direction; any distance will do.
    distance = _DISTANCE / torch.stack([part.norm() for part in vector]).norm().clamp(min=1e-12)
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            pairs = zip(weights.items(), vector, strict=True)
            moved = {name: weight + sign * distance * part for (name, weight), part in pairs}
        (side,) = torch.autograd.grad(_loss(net, moved, batch), [net.alpha])
        sides.append(side)
    return (sides[0] - sides[1]) / (2 * distance)


def _loss(net: Supernet, weights: Mapping[str, torch.Tensor], batch: Batch) -> torch.Tensor:
    # With copies of the buffers, so that the running statistics are those of the training alone.
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    logits = functional_call(net, {**weights, **buffers}, (batch.images, functional.softmax(net.alpha, 1)))
    return functional.cross_entropy(logits, batch.labels)
