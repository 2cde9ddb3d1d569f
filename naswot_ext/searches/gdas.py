"""GDAS: one architecture a step, drawn by Gumbel's trick, whose gates pass their gradient on to alpha.

The temperature falls from `tau_max` to `tau_min` along a line, epoch by epoch; the result is the largest alpha of each
edge. Source: Dong & Yang, Searching for a Robust Neural Architecture in Four GPU Hours, CVPR 2019, as run on
NAS-Bench-201 by its authors; there, alpha's gradient is clipped with that of the weights, here only theirs is.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.supernets.nasbench201 import strongest
from naswot_ext.supernets.session import generator
from naswot_ext.supernets.training import ALPHA_DEFAULTS, Batch, Trainer

DEFAULTS = {**ALPHA_DEFAULTS, "tau_max": 10.0, "tau_min": 0.1}


def gdas(setting: Setting) -> Outcome:
    """One run. Evaluations are the architectures that were drawn: two a step, for the weights and for alpha."""
    trainer = Trainer(setting, "gdas", DEFAULTS)
    alpha_optimiser = trainer.alpha_optimiser()
    net, options = trainer.net, trainer.options

    def logits(batch: Batch, epoch: int, what_for: str, number: int) -> torch.Tensor:
        fallen = epoch / max(options["epochs"] - 1, 1)
        tau = options["tau_max"] - (options["tau_max"] - options["tau_min"]) * fallen
        gates, operations = sampled_gates(net.alpha, tau, generator(setting.seed, what_for, number))
        return net.gated(batch.images, gates, operations)

    for epoch, step, number in trainer.steps():
        batch = trainer.halves.training(epoch, step)
        trainer.descend(number, logits(batch, epoch, "gates of weights", number), batch)
        batch = trainer.halves.validation(epoch, step, "alpha")
        loss = functional.cross_entropy(logits(batch, epoch, "gates of alpha", number), batch.labels)
        (net.alpha.grad,) = torch.autograd.grad(loss, [net.alpha])
        alpha_optimiser.step()
        trainer.progress.add(number, loss)
    return Outcome(strongest(net.alpha), trainer.session.seconds(), 2 * options["epochs"] * trainer.per_epoch)


def sampled_gates(alpha: torch.Tensor, tau: float, random: torch.Generator) -> tuple[torch.Tensor, list[int]]:
    """(gates [6, 5], operations [6]): 1 at the operation that Gumbel noise makes the largest, with softmax's gradient.

    Source: GDAS, equations 4 to 6.
    """
    noise = -torch.empty(alpha.shape).exponential_(generator=random).log()
    soft = functional.softmax((functional.log_softmax(alpha, 1) + noise.to(alpha)) / tau, 1)
    chosen = soft.detach().argmax(1)
    hard = functional.one_hot(chosen, alpha.shape[1]).to(soft)
    return hard + (soft - soft.detach()), chosen.tolist()


SEARCHES.register("gdas")(NetworkSearch(gdas, needs_labels=True))
