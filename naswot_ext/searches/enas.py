"""ENAS: a controller, an LSTM that names the operations edge by edge, learns by REINFORCE what does well.

An epoch trains the shared weights, on architectures that the controller draws, and then the controller, whose reward is
the accuracy on a mini-batch of the validation half. In the end `samples` of its architectures are compared.

Source: Pham et al., Efficient Neural Architecture Search via Parameters Sharing, ICML 2018, as run on NAS-Bench-201 by
its authors. As there, the baseline of the reward moves once an epoch, by the epoch's last reward; the first epoch has
none, so that only the entropy counts; and the learning rate's cosine goes up and down again.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.seeds import derive
from naswot_ext.spaces.nasbench201 import OPERATIONS
from naswot_ext.supernets.nasbench201 import EDGES
from naswot_ext.supernets.session import generator
from naswot_ext.supernets.training import Trainer

DEFAULTS = {
    "batch_size": 128,
    "learning_rate": 0.05,
    "learning_rate_min": 0.0005,
    "learning_rate_period": 10,
    "weight_decay": 0.00025,
    "controller_learning_rate": 0.001,
    "controller_steps": 50,
    "controller_aggregate": 20,
    "controller_entropy_weight": 0.0001,
    "controller_baseline_decay": 0.99,
    "samples": 100,
}
_CONTROLLER_BETAS, _CONTROLLER_EPSILON, _CONTROLLER_CLIP = (0.0, 0.999), 1e-3, 5.0


class Controller(nn.Module):
    """Draws the operation of each edge from an LSTM that is given the one before."""

    def __init__(self, size: int = 32, layers: int = 2, tanh_constant: float = 2.5, temperature: float = 5.0) -> None:
        super().__init__()
        self._tanh_constant, self._temperature = tanh_constant, temperature
        self.start = nn.Parameter(torch.empty(1, 1, size))
        self.lstm = nn.LSTM(size, size, layers)
        self.embedding = nn.Embedding(len(OPERATIONS), size)
        self.logits = nn.Linear(size, len(OPERATIONS))
        # As in the code of the source; the rest as torch has it.
        for name, parameter in self.named_parameters():
            if name in ("start", "lstm.weight_hh_l0", "lstm.weight_ih_l0", "embedding.weight", "logits.weight"):
                nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """(log-probability, entropy, operations) of one architecture; the first two are sums over the edges."""
        given, state = self.start, None
        likelihoods, entropies, operations = [], [], []
        for _ in range(EDGES):
            output, state = self.lstm(given, state)
            logits = self._tanh_constant * torch.tanh(self.logits(output).view(-1) / self._temperature)
            logarithms = functional.log_softmax(logits, 0)
            probabilities = logarithms.exp()
            chosen = torch.multinomial(probabilities.detach(), 1, generator=random)
            likelihoods.append(logarithms[chosen[0]])
            entropies.append(-(probabilities * logarithms).sum())
            operations.append(int(chosen))
            given = self.embedding(chosen).view(1, 1, -1)
        return torch.stack(likelihoods).sum(), torch.stack(entropies).sum(), operations


def enas(setting: Setting) -> Outcome:
    """One run. Evaluations are the architectures that were drawn: for the weights, the controller and the end."""
    controller_steps = setting.options.get("controller_steps", DEFAULTS["controller_steps"])
    trainer = Trainer(setting, "enas", DEFAULTS, extra_steps=controller_steps)
    net, options = trainer.net, trainer.options
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derive(setting.seed, "controller"))
        # On the CPU wherever the networks are: its steps are too small for a GPU.
        controller = Controller()
    optimiser = torch.optim.Adam(
        controller.parameters(),
        options["controller_learning_rate"],
        betas=_CONTROLLER_BETAS,
        eps=_CONTROLLER_EPSILON,
    )
    trainer.parts |= {"controller": controller, "controller_optimiser": optimiser}
    record = trainer.record(baseline=None, next_baseline=None)

    def drawn(*what_for: str | int) -> list[int]:
        with torch.no_grad():
            return controller(generator(setting.seed, *what_for))[2]

    for epoch, step, number in trainer.steps():
        if step < trainer.halves.steps:
            batch = trainer.halves.training(epoch, step)
            trainer.descend(number, net.path(batch.images, drawn("path", number)), batch)
            continue
        if step == trainer.halves.steps:
            record["baseline"] = record["next_baseline"]
        record["next_baseline"] = _train_controller(
            trainer, controller, optimiser, record["baseline"], epoch, step - trainer.halves.steps, number
        )
    paths = [drawn("candidate", i) for i in range(options["samples"])]
    # The benchmark's code draws these mini-batches, too, with crops and flips.
    found = trainer.best_path(paths, options["batch_size"], augment=options["augment"])
    a_epoch = trainer.halves.steps + controller_steps * options["controller_aggregate"]
    return Outcome(found, trainer.session.seconds(), options["epochs"] * a_epoch + len(paths))


def _train_controller(
    trainer: Trainer,
    controller: Controller,
    optimiser: torch.optim.Adam,
    baseline: float | None,
    epoch: int,
    step: int,
    number: int,
) -> float:
    """One step of the controller along the mean gradient of `controller_aggregate` draws; gives the moved baseline."""
    options, net = trainer.options, trainer.net
    net.eval()
    optimiser.zero_grad()
    total, moved = torch.zeros(()), torch.zeros(())
    for i in range(options["controller_aggregate"]):
        random = generator(trainer.setting.seed, "controller", number, i)
        likelihood, entropy, operations = controller(random)
        turn = step * options["controller_aggregate"] + i
        batch = trainer.halves.in_turn(turn, options["batch_size"], options["augment"], "reward", epoch)
        with torch.no_grad():
            accuracy = (net.path(batch.images, operations).argmax(1) == batch.labels).float().mean().cpu()
        reward = accuracy + options["controller_entropy_weight"] * entropy
        if baseline is None:
            moved = accuracy
        else:
            moved = baseline - (1 - options["controller_baseline_decay"]) * (baseline - reward)
        total = total - likelihood * (reward - moved)
    loss = total / options["controller_aggregate"]
    loss.backward()
    nn.utils.clip_grad_norm_(controller.parameters(), _CONTROLLER_CLIP)
    optimiser.step()
    trainer.progress.add(number, loss)
    return float(moved.detach())


SEARCHES.register("enas")(NetworkSearch(enas, needs_labels=True))
