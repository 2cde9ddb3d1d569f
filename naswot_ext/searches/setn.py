"""SETN: random architectures train the weights, a mixture by alpha trains alpha, and the likeliest are compared.

Source: Dong & Yang, One-Shot Neural Architecture Search via Self-Evaluated Template Network, ICCV 2019, as run on
NAS-Bench-201 by its authors.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn import functional

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.spaces.nasbench201 import OPERATIONS
from naswot_ext.supernets.nasbench201 import EDGES
from naswot_ext.supernets.training import ALPHA_DEFAULTS, Trainer

DEFAULTS = {**ALPHA_DEFAULTS, "gradient_clip": 0.0, "samples": 100, "evaluation_batch": 512}


def setn(setting: Setting) -> Outcome:
    """One run. Evaluations are the architectures that were trained on a mini-batch, and the `samples` compared."""
    trainer = Trainer(setting, "setn", DEFAULTS)
    alpha_optimiser = trainer.alpha_optimiser()
    net, options = trainer.net, trainer.options
    for epoch, step, number in trainer.steps():
        batch = trainer.halves.training(epoch, step)
        trainer.descend(number, net.path(batch.images, trainer.random_path("path", number)), batch)
        batch = trainer.halves.validation(epoch, step, "alpha")
        loss = functional.cross_entropy(net(batch.images, functional.softmax(net.alpha, 1)), batch.labels)
        (net.alpha.grad,) = torch.autograd.grad(loss, [net.alpha])
        alpha_optimiser.step()
        trainer.progress.add(number, loss)
    paths = likeliest(net.alpha, options["samples"])
    found = trainer.best_path(paths, options["evaluation_batch"])
    return Outcome(found, trainer.session.seconds(), options["epochs"] * trainer.per_epoch + len(paths))


def likeliest(alpha: torch.Tensor, count: int) -> list[list[int]]:
    """The `count` likeliest paths, operation by edge, where each edge draws from the softmax of its row of `alpha`."""
    logarithms = functional.log_softmax(alpha.detach().cpu().double(), 1).numpy()
    paths = np.array(list(itertools.product(range(len(OPERATIONS)), repeat=EDGES)))
    likelihood = logarithms[np.arange(EDGES), paths].sum(1)
    return paths[np.argsort(-likelihood, kind="stable")[:count]].tolist()


SEARCHES.register("setn")(NetworkSearch(setn, needs_labels=True))
