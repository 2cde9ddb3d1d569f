"""What the searches that share weights have in common: halves of the images, mini-batches, and training the weights.

Source: the recipe of NAS-Bench-201's own searches (Dong & Yang, ICLR 2020, appendix): half of the training images
trains the weights, the other half the architecture; random crops and flips; SGD with Nesterov momentum and a learning
rate that falls along a cosine, epoch by epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from naswot_ext.errors import NaswotError
from naswot_ext.searches import Setting
from naswot_ext.seeds import derive
from naswot_ext.spaces.nasbench201 import OPERATIONS
from naswot_ext.supernets.nasbench201 import EDGES, Supernet, architecture
from naswot_ext.supernets.session import Record, Session, generator

# Of every search here; a search's own `DEFAULTS` go before them.
DEFAULTS: Mapping[str, Any] = {
    "epochs": 250,
    "batch_size": 64,
    "learning_rate": 0.025,
    "learning_rate_min": 0.001,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "gradient_clip": 5.0,
    "augment": True,
    "affine": False,
    "track_running_stats": True,
}
ALPHA_DEFAULTS: Mapping[str, Any] = {"alpha_learning_rate": 3e-4, "alpha_weight_decay": 1e-3}
_ALPHA_BETAS = (0.5, 0.999)
_CROP_PADDING = 4
# The loss is looked at this often: on a GPU each look waits for it.
_LOOK_EVERY = 50


class Batch(NamedTuple):
    """Images float [B, 3, H, W] and labels int64 [B], on the device of the search."""

    images: torch.Tensor
    labels: torch.Tensor


def check(setting: Setting, algorithm: str, needs_labels: bool = True) -> None:
    """Raise NaswotError where the supernet does not know the space, or the images are not what it takes."""
    if setting.space.name != "nasbench201":
        raise NaswotError(
            f"The search {algorithm} knows the supernet of nasbench201 only, not that of {setting.space.name}. "
            "Choose another search for this space."
        )
    if needs_labels and setting.labels is None:
        raise NaswotError(
            f"The search {algorithm} trains networks and needs the labels of the images, which these do not have. "
            "Search on a data set with labels."
        )
    shape = list(setting.images.shape)
    if len(shape) != 4 or shape[1] != 3 or shape[2] % 4 or shape[3] % 4 or not all(shape):
        raise NaswotError(
            f"The images are of shape {shape}; the search {algorithm} takes [n, 3, H, W] with H and W multiples of 4."
        )


def build(setting: Setting, affine: bool, track_running_stats: bool) -> Supernet:
    """The untrained supernet of a run on its device, drawn on the CPU, so that it is the same on all.

    It has the channels and cells of the space's networks, or of the option `supernet`.
    """
    network = {**setting.space.network, **setting.options.get("supernet", {})}
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which seeds the GPUs, too.
        torch.random.default_generator.manual_seed(derive(setting.seed, "supernet"))
        net = Supernet(network["channels"], network["cells"], setting.classes, affine, track_running_stats)
    return net.to(setting.device)


def augmented(images: torch.Tensor, darkest: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Each image [B, C, H, W] shifted by up to 4 pixels and, in one of two cases, flipped left to right.

    What comes in at the border is `darkest` [1, C, 1, 1]: the benchmark pads with black before it normalises.
    """
    count, _, height, width = images.shape
    offsets = torch.randint(2 * _CROP_PADDING + 1, (2, count), generator=random)
    flips = torch.randint(2, (count,), generator=random).bool()
    offsets, flips = offsets.to(images.device), flips.to(images.device)
    padded = darkest.repeat(count, 1, height + 2 * _CROP_PADDING, width + 2 * _CROP_PADDING)
    padded[:, :, _CROP_PADDING:-_CROP_PADDING, _CROP_PADDING:-_CROP_PADDING] = images
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = offsets[1][:, None] + torch.where(flips[:, None], columns.flip(1), columns)
    here = torch.arange(count, device=images.device)[:, None, None]
    # Indices beside a slice go first: [B, H, W, C].
    return padded[here, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class Halves:
    """The images of a run, split at random: one half trains the weights, the other validates and trains alpha."""

    def __init__(self, setting: Setting, algorithm: str, batch_size: int, augment: bool) -> None:
        count = len(setting.images)
        self._seed, self._size, self._augment = setting.seed, batch_size, augment
        if count // 2 < batch_size:
            raise NaswotError(
                f"The search {algorithm} splits the {count} images into two halves, and each must fill one mini-batch "
                f"of {batch_size}. Set batch_size to {max(count // 2, 1)} or less, or give more images."
            )
        assert setting.labels is not None
        self._images = torch.as_tensor(setting.images).to(setting.device)
        self._labels = torch.as_tensor(setting.labels).to(setting.device)
        self._darkest = self._images.amin((0, 2, 3), keepdim=True)
        order = torch.randperm(count, generator=generator(self._seed, "halves"))
        self._training, self._validation = order[: count // 2], order[count // 2 :]
        self._epoch, self._order = -1, self._training
        # As in the benchmark's searches, the last mini-batch of an epoch is whatever is left.
        self.steps = math.ceil(len(self._training) / batch_size)

    def training(self, epoch: int, step: int) -> Batch:
        """Mini-batch `step` of the training half in this epoch's order."""
        if epoch != self._epoch:
            random = generator(self._seed, "order", epoch)
            self._epoch, self._order = epoch, self._training[torch.randperm(len(self._training), generator=random)]
        return self._batch(self._order[step * self._size :][: self._size], self._augment, "training", epoch, step)

    def validation(self, epoch: int, step: int, what_for: str) -> Batch:
        """A mini-batch of the validation half, drawn with replacement, and augmented as the training half."""
        random = generator(self._seed, what_for, "draw", epoch, step)
        drawn = torch.randint(len(self._validation), (self._size,), generator=random)
        return self._batch(self._validation[drawn], self._augment, what_for, epoch, step)

    def in_turn(self, number: int, size: int, augment: bool, *what_for: str | int) -> Batch:
        """The mini-batch `number` of up to `size` of the validation half, pass after pass, each in a new order."""
        turn, step = divmod(number, math.ceil(len(self._validation) / size))
        random = generator(self._seed, *what_for, "order", turn)
        order = self._validation[torch.randperm(len(self._validation), generator=random)]
        return self._batch(order[step * size :][:size], augment, *what_for, number)

    def _batch(self, chosen: torch.Tensor, augment: bool, *what_for: str | int) -> Batch:
        chosen = chosen.to(self._images.device)
        images = self._images[chosen]
        if augment:
            images = augmented(images, self._darkest, generator(self._seed, "augment", *what_for))
        return Batch(images, self._labels[chosen])


class Progress:
    """The losses of the steps of a search, which are looked at now and then, and the training accuracy."""

    def __init__(self, algorithm: str, per_epoch: int, advice: str) -> None:
        self._algorithm, self._per_epoch, self._advice = algorithm, per_epoch, advice
        self._losses: list[tuple[int, torch.Tensor]] = []
        self._training: list[torch.Tensor] = []
        self._hits: list[torch.Tensor] = []
        self._seen = 0
        self._summary = ""

    def add(self, number: int, loss: torch.Tensor) -> None:
        """Note a loss of step `number` of the whole search."""
        self._losses.append((number, loss.detach()))
        if len(self._losses) >= _LOOK_EVERY:
            self.check()

    def add_training(self, number: int, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Note the loss of a step of the weights, and on how many images the network was right."""
        self._training.append(loss.detach())
        self._hits.append((logits.detach().argmax(1) == labels).sum())
        self._seen += len(labels)
        self.add(number, loss)

    def check(self) -> None:
        """Raise NaswotError at the first loss that is no finite number."""
        if not self._losses:
            return
        losses = torch.stack([loss.cpu() for _, loss in self._losses])
        wrong = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        if wrong:
            epoch, step = divmod(self._losses[wrong[0]][0], self._per_epoch)
            raise NaswotError(
                f"The loss of {self._algorithm} is {losses[wrong[0]]:g} in epoch {epoch + 1}, step {step + 1}: the "
                f"training does not converge. {self._advice}"
            )
        if self._training:
            right = 100 * torch.stack(self._hits).sum() / self._seen
            self._summary = f"training loss {torch.stack(self._training).mean():.3f}, accuracy {right:.1f} %"
        self._losses, self._training, self._hits, self._seen = [], [], [], 0

    def describe(self, done: int) -> str:
        """What has been done, for a progress line."""
        epoch, step = divmod(done, self._per_epoch)
        return f"{epoch} epochs and {step} of {self._per_epoch} steps done, {self._summary or 'at the beginning'}"


class Trainer:
    """A run of a search that shares weights: the supernet, its halves of the images and its optimiser.

    Raises NaswotError where `check` does, or the images do not fill a mini-batch.
    """

    def __init__(self, setting: Setting, algorithm: str, defaults: Mapping[str, Any], extra_steps: int = 0) -> None:
        self.session = Session(setting, algorithm)
        check(setting, algorithm)
        self.setting, self.algorithm = setting, algorithm
        self.options = {**DEFAULTS, **defaults, **setting.options}
        options = self.options
        self.halves = Halves(setting, algorithm, options["batch_size"], options["augment"])
        self.net = build(setting, options["affine"], options["track_running_stats"])
        self.weights = [parameter for _, parameter in self.net.weights()]
        self.optimiser = torch.optim.SGD(
            self.weights,
            options["learning_rate"],
            momentum=options["momentum"],
            weight_decay=options["weight_decay"],
            nesterov=options["momentum"] > 0,
        )
        self.parts: dict[str, Any] = {"supernet": self.net, "optimiser": self.optimiser}
        self.per_epoch = self.halves.steps + extra_steps
        advice = f"Lower learning_rate, which is {options['learning_rate']:g}, or gradient_clip."
        self.progress = Progress(algorithm, self.per_epoch, advice)

    def alpha_optimiser(self) -> torch.optim.Adam:
        """The optimiser of alpha, saved and loaded with the rest."""
        self.parts["alpha_optimiser"] = torch.optim.Adam(
            [self.net.alpha],
            self.options["alpha_learning_rate"],
            betas=_ALPHA_BETAS,
            weight_decay=self.options["alpha_weight_decay"],
        )
        return self.parts["alpha_optimiser"]

    def record(self, **values: Any) -> Record:
        """Values that the search keeps from step to step, saved and loaded with the rest."""
        self.parts["record"] = Record("cpu", **values)
        return self.parts["record"]

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """(epoch, step of the epoch, step of the search) still to do, each in training mode at the epoch's rate."""
        total = self.options["epochs"] * self.per_epoch
        for number in self.session.steps(total, self.parts, self.progress.check, self.progress.describe):
            epoch, step = divmod(number, self.per_epoch)
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate(epoch)
            self.net.train()
            yield epoch, step, number

    def learning_rate(self, epoch: int) -> float:
        """The cosine from `learning_rate` to `learning_rate_min`, half a wave in `learning_rate_period` epochs."""
        low, high = self.options["learning_rate_min"], self.options["learning_rate"]
        period = self.options.get("learning_rate_period") or self.options["epochs"]
        return low + (high - low) * (1 + math.cos(math.pi * epoch / period)) / 2

    def descend(self, number: int, logits: torch.Tensor, batch: Batch) -> None:
        """One step of the weights down the loss of a mini-batch of the training half; alpha gets no gradient."""
        loss = functional.cross_entropy(logits, batch.labels)
        # The gradient of an operation that was not sampled is zero: its weights go on by their momentum and decay, as
        # they did in the benchmark's searches.
        gradients = torch.autograd.grad(loss, self.weights, materialize_grads=True)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        if self.options["gradient_clip"] > 0:
            nn.utils.clip_grad_norm_(self.weights, self.options["gradient_clip"])
        self.optimiser.step()
        self.progress.add_training(number, loss, logits, batch.labels)

    def random_path(self, *what_for: str | int) -> list[int]:
        """One operation an edge, uniformly at random."""
        random = generator(self.setting.seed, *what_for)
        return torch.randint(len(OPERATIONS), (EDGES,), generator=random).tolist()

    def best_path(self, paths: Sequence[Sequence[int]], size: int, augment: bool = False) -> str:
        """The architecture that is right about most of its mini-batch of the validation half, the first of equal ones.

        Each is seen on one mini-batch of `size`, the next for each, in evaluation mode with the shared weights.
        """
        self.net.eval()
        accuracies = []
        with torch.no_grad():
            for number, path in enumerate(paths):
                batch = self.halves.in_turn(number, size, augment, "select")
                accuracies.append((self.net.path(batch.images, path).argmax(1) == batch.labels).double().mean())
        best = int(torch.stack(accuracies).argmax())
        accuracy = 100 * float(accuracies[best])
        found = architecture(paths[best])
        self.setting.say(f"{self.session.name}: {found} has {accuracy:.1f} % of its mini-batch, most of {len(paths)}")
        return found
