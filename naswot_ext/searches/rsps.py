"""RSPS: random search with shared weights; each mini-batch trains one random architecture, then some are compared.

Source: Li & Talwalkar, Random Search and Reproducibility for Neural Architecture Search, UAI 2019, as run on
NAS-Bench-201 by its authors.
"""

from __future__ import annotations

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.supernets.training import Trainer

DEFAULTS = {"samples": 100, "evaluation_batch": 512}


def rsps(setting: Setting) -> Outcome:
    """One run. Evaluations are the architectures that were trained on a mini-batch, and the `samples` compared."""
    trainer = Trainer(setting, "rsps", DEFAULTS)
    for epoch, step, number in trainer.steps():
        batch = trainer.halves.training(epoch, step)
        trainer.descend(number, trainer.net.path(batch.images, trainer.random_path("path", number)), batch)
    samples = trainer.options["samples"]
    paths = [trainer.random_path("candidate", i) for i in range(samples)]
    found = trainer.best_path(paths, trainer.options["evaluation_batch"])
    return Outcome(found, trainer.session.seconds(), trainer.options["epochs"] * trainer.per_epoch + samples)


SEARCHES.register("rsps")(NetworkSearch(rsps, needs_labels=True))
