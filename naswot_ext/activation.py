"""The score of a network without training: log|det K| of its activation codes on one batch.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML 2021, section 3.
Each image i of a batch of B gets a binary code c_i: one bit for each rectified unit, 1 where the
pre-activation is greater than 0. With N_A units and the Hamming distance d_H,

    K_ij = N_A - d_H(c_i, c_j)        and        score = log|det K|

is higher where an untrained network tells the images of the batch apart better.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from naswot_ext import forward, fused, ops, rectifiers, seeds
from naswot_ext.capture import Capture, Collector, LayerKernels
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.forward import Batch

__all__ = [
    "ActivationKernel",
    "Count",
    "Pending",
    "Ranked",
    "Score",
    "collect",
    "count_units",
    "finish",
    "launch",
    "rank",
    "score",
]


class Score(float):
    """A network's score, log|det K|: a float that also says what it was counted from.

    It prints, compares, sorts and formats as the number; a singular K scores -inf.

    Attributes:
        units: N_A, the rectified units of one image, each counted as often as it ran.
        applications: how many times a rectifier ran.
        activations: how many times each kind ran, by its name in `naswot_ext.rectifiers`.

    >>> value = Score(1535.6, units=327680, applications=35, activations={"relu": 35})
    >>> f"{value:.2f}", value.units, value.singular
    ('1535.60', 327680, False)
    """

    units: int
    applications: int
    activations: dict[str, int]

    def __new__(cls, value: float, *, units: int, applications: int, activations: Mapping[str, int]) -> Score:
        """The number with its facts."""
        self = super().__new__(cls, value)
        self.units, self.applications, self.activations = units, applications, dict(activations)
        return self

    @property
    def singular(self) -> bool:
        """Whether K is singular: the codes do not tell all images apart."""
        return float(self) == float("-inf")

    def __repr__(self) -> str:
        facts = f"units={self.units}, applications={self.applications}, activations={self.activations}"
        return f"Score({float(self)!r}, {facts})"

    def __str__(self) -> str:
        return str(float(self))

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        return (float(self),), dict(self.__dict__)


class Count(NamedTuple):
    """How much one image rectifies: N_A `units` in so many `applications`, by kind in `activations`."""

    units: int
    applications: int
    activations: dict[str, int]


class Pending(NamedTuple):
    """A network whose forward pass has been started."""

    kernel: Tensor  # K, int64 [B, B]
    nonfinite: Tensor  # int64 [1], how many pre-activations are NaN or infinite
    facts: Count
    model: str  # its class, for messages


class Ranked(NamedTuple):
    """One network of a ranking: its score, or the reason why it has none."""

    name: str
    score: Score | None
    error: str | None


class ActivationKernel:
    """The activation kernel K of any network, from one forward pass without gradient.

    Every application of a rectifier counts: as module or function, in place or not, in TorchScript, as
    often as it runs. `naswot_ext.rectifiers` lists them; the code is always pre-activation > 0.

    Args:
        model: the network. It is left as it was: modes, buffers, random state, hooks.
        activations: the names of those that count, all of `naswot_ext.rectifiers.NAMES` by default.
        batchnorm: "train" normalises with the statistics of the batch, as in the paper, "eval" with the running
            ones. All else (dropout, stochastic depth, auxiliary heads) is in eval mode in both.
        ignore: globs of module paths (as in `model.named_modules()`) whose activations are left out.
        device: where to run; where the model is by default. A model that is elsewhere is copied there.

    Attributes:
        matrix: K, int64 [B, B] on that device, of the last batch.
        units: N_A, which is also K's diagonal.
        applications: how many times a rectifier ran.
        activations: how many times each kind ran.

    Raises:
        NaswotError: for a model that is not a module, or an option that does not exist.

    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    >>> kernel = ActivationKernel(model)
    >>> kernel(torch.tensor([[3.0], [-2.0], [5.0]]))     # two units: codes 10, 01, 10
    tensor([[2, 0, 2],
            [0, 2, 0],
            [2, 0, 2]])
    >>> kernel.units, kernel.activations, kernel.score().singular
    (2, {'relu': 1}, True)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        activations: Collection[str] | None = None,
        batchnorm: str = "train",
        ignore: Sequence[str] = (),
        device: str | torch.device | None = None,
    ) -> None:
        self._model = forward.read_model(model, device)
        self._device = device
        self._options = _options(activations, batchnorm, ignore)
        self._result: tuple[Tensor, Count] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """K, int64 [B, B], of this batch alone; nothing is carried over from an earlier one.

        `batch` is a tensor or array whose first dimension is the image; or a tuple or list, called as
        `model(*batch)`; or a dict, called as `model(**batch)`. Floating-point images are cast to the model's
        precision.

        Raises NaswotError for fewer than 2 images, images or activations that are not finite, an
        activation whose first dimension is not the image, no activation at all, and a model that fails.
        """
        self._result = None
        inputs = _images(batch)
        plan = _plan(self._model, inputs, self._options)
        pending = _launch(self._model, inputs, self._device, self._options, plan)
        if count := int(pending.nonfinite):
            raise _not_finite(pending.model, count)
        self._result = pending.kernel, pending.facts
        return pending.kernel

    @property
    def matrix(self) -> Tensor:
        """K, int64 [B, B]."""
        return self._last()[0]

    @property
    def units(self) -> int:
        """N_A, the rectified units of one image."""
        return self._last()[1].units

    @property
    def applications(self) -> int:
        """How many times a rectifier ran."""
        return self._last()[1].applications

    @property
    def activations(self) -> dict[str, int]:
        """How many times each kind of rectifier ran."""
        return self._last()[1].activations

    def score(self) -> Score:
        """log|det K| with its facts; -inf where K is singular."""
        kernel, count = self._last()
        _, logabsdet = ops.slogdet(kernel)
        return Score(float(logabsdet), **count._asdict())

    def _last(self) -> tuple[Tensor, Count]:
        if self._result is None:
            raise NaswotError("This ActivationKernel has no matrix yet: call it on a batch first.")
        return self._result


def score(
    model: nn.Module,
    batch: Batch,
    *,
    device: str | torch.device | None = None,
    activations: Collection[str] | None = None,
    batchnorm: str = "train",
    ignore: Sequence[str] = (),
) -> Score:
    """Score an untrained network on one batch: log|det K|, higher is better (Mellor et al. 2021, equation 2).

    For arguments and errors see `ActivationKernel`. Scores compare between networks on the same batch; the paper
    takes 128 images, BatchNorm in training mode and the network's default initialisation. The forward pass is computed
    as torch is set: on CUDA, its convolutions use TF32 unless that is switched off (the workflow does).

    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 10))
    >>> result = score(model, torch.randn(8, 3, 2, 2))
    >>> bool(20 < result < 34), result.units     # it is at most B log N_A = 8 log 64
    (True, 64)
    """
    pending = launch(model, batch, device=device, activations=activations, batchnorm=batchnorm, ignore=ignore)
    (result,) = finish([pending])
    if isinstance(result, NaswotError):
        raise result
    return result


def launch(
    model: nn.Module,
    batch: Batch | forward.Inputs,
    *,
    device: str | torch.device | None = None,
    activations: Collection[str] | None = None,
    batchnorm: str = "train",
    ignore: Sequence[str] = (),
) -> Pending:
    """Start what `score` does, and leave the determinant and the wait for a GPU to `finish`.

    So many networks can be in flight on one GPU. Arguments and errors are those of `score`, but for activations that
    are not finite, which `finish` reports. A batch that `forward.read_batch` has read is not checked again.
    """
    options = _options(activations, batchnorm, ignore)
    inputs = _images(batch)
    plan = _plan(model, inputs, options) if device is None else None
    if plan is None:
        model = forward.read_model(model, device)
    return _launch(model, inputs, device, options, plan)


def finish(pending: Sequence[Pending]) -> list[Score | NaswotError]:
    """The scores of launched networks, in their order; a network that has none gets the error that `score` raises.

    Waits for the device once. All kernels are int64 [B, B] on one device.
    """
    if not pending:
        return []
    _, logabsdet = ops.slogdet(torch.stack([each.kernel for each in pending]))
    nonfinite = torch.cat([each.nonfinite for each in pending])
    values = torch.stack([logabsdet, nonfinite.to(torch.float64)]).tolist()
    results: list[Score | NaswotError] = []
    for each, value, bad in zip(pending, *values, strict=True):
        results.append(_not_finite(each.model, int(bad)) if bad else Score(value, **each.facts._asdict()))
    return results


def rank(
    models: Mapping[str, nn.Module | Callable[[], nn.Module]],
    batch: Batch,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    activations: Collection[str] | None = None,
    batchnorm: str = "train",
) -> list[Ranked]:
    """Score networks on one batch and sort them, best first; then singular ones, then those that failed.

    A value of `models` may also be a function without arguments that builds the network. Such networks are built
    one at a time and freed; each is initialised from (seed, its name), so that it does not depend on the others.

    Raises NaswotError where the batch or an option is wrong. A network that fails has `score` None and the reason
    in `error`.

    >>> networks = {w: lambda w=w: nn.Sequential(nn.Linear(4, w), nn.ReLU()) for w in (16, 64)}
    >>> networks["broken"] = lambda: nn.Linear(4, 4)
    >>> ranking = rank(networks, torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    >>> [name for name, _, _ in ranking]
    [64, 16, 'broken']
    """
    _images(batch)
    _options(activations, batchnorm, ())
    if not isinstance(models, Mapping):
        raise NaswotError(f"The models are a {type(models).__name__}: expected a dict {{name: model}}.")
    forward.read_device(device)
    ranking = []
    for name, model in models.items():
        try:
            # No name for what is built here, so that it is freed before the next one is built.
            value = score(
                model if isinstance(model, nn.Module) else _build(model, name, seed),
                batch,
                device=device,
                activations=activations,
                batchnorm=batchnorm,
            )
            ranking.append(Ranked(name, value, None))
        except NaswotError as error:
            ranking.append(Ranked(name, None, str(error)))
    return sorted(ranking, key=lambda ranked: (ranked.score is None, -(ranked.score or 0)))


def count_units(
    model: nn.Module,
    batch: Batch,
    *,
    device: str | torch.device | None = None,
    activations: Collection[str] | None = None,
    batchnorm: str = "train",
    ignore: Sequence[str] = (),
) -> Count:
    """Count what `score` would count, from shapes alone: also on the meta device and for a single image.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Hardswish()).to("meta")
    >>> count_units(model, torch.empty(1, 3, 8, 8, device="meta"))
    Count(units=352, applications=2, activations={'relu': 1, 'hardswish': 1})
    """
    options = _options(activations, batchnorm, ignore)
    model = forward.read_model(model, device)
    inputs = forward.place(forward.read_batch(batch), model, device)
    return _watch(model, inputs, options, None)


def collect(model: nn.Module, batch: Batch | forward.Inputs, into: Collector) -> Count:
    """Give all that `score` would count of `model` to `into`, in the order of the forward pass; errors are its, too.

    Runs where the model is, with BatchNorm in training mode. Activations that are not finite are for `into` to find.
    """
    model = forward.read_model(model)
    return _watch(model, forward.place(_images(batch), model), _options(None, "train", ()), into)


def _images(batch: Batch | forward.Inputs) -> forward.Inputs:
    inputs = batch if isinstance(batch, forward.Inputs) else forward.read_batch(batch)
    if inputs.images < 2:
        raise NaswotError(f"The batch holds {inputs.images} image: a score compares at least 2 of them.")
    return inputs


class _Options(NamedTuple):
    wanted: frozenset[str]
    batchnorm: str
    ignore: tuple[str, ...]


def _options(activations: Collection[str] | None, batchnorm: str, ignore: Sequence[str]) -> _Options:
    if isinstance(activations, str) or isinstance(ignore, str):
        raise NaswotError("activations= and ignore= take a list of names, not one string.")
    wanted = rectifiers.NAMES if activations is None else frozenset(activations)
    for name in sorted(wanted - rectifiers.NAMES):
        raise unknown("activation", name, rectifiers.NAMES)
    if batchnorm not in ("train", "eval"):
        raise unknown("batchnorm mode", batchnorm, ("train", "eval"))
    return _Options(wanted, batchnorm, tuple(ignore))


def _launch(
    model: nn.Module,
    inputs: forward.Inputs,
    device: str | torch.device | None,
    options: _Options,
    plan: fused.Plan | None,
) -> Pending:
    name = type(model).__name__
    if plan is not None:
        try:
            kernel, nonfinite = plan.run(inputs.args[0])
        except Exception as error:
            raise forward.failure(model, inputs, error) from error
        return Pending(kernel, nonfinite, Count(plan.units, plan.applications, {"relu": plan.applications}), name)
    inputs = forward.place(inputs, model, device)
    home = inputs.tensors[0].device
    if home.type == "meta":
        raise NaswotError("The model or batch is on the meta device and has no values; count_units works there.")
    kernels = LayerKernels(inputs.images)
    count = _watch(model, inputs, options, kernels)
    return Pending(*kernels.total(home), count, name)


def _plan(model: nn.Module, inputs: forward.Inputs, options: _Options) -> fused.Plan | None:
    """The fused plan of a network that allows it, for the options that it serves."""
    if "relu" not in options.wanted or options.batchnorm != "train" or options.ignore:
        return None
    if len(inputs.args) != 1 or inputs.kwargs:
        return None
    # What is marked but is no module gets the error of `forward.read_model`.
    if not isinstance(model, fused.Fusable) or not isinstance(model, nn.Module):
        return None
    (images,) = inputs.args
    first = next(model.parameters(), None)
    alike = first is not None and (first.device, first.dtype) == (images.device, images.dtype)
    return fused.trace(model, images) if alike else None


def _not_finite(model: str, count: int) -> NaswotError:
    return NaswotError(
        f"{model} has {count} pre-activations that are NaN or infinite on this batch. "
        "Check its initialisation and the scale of the images."
    )


def _watch(model: nn.Module, inputs: forward.Inputs, options: _Options, kernels: Collector | None) -> Count:
    capture = Capture(model, inputs.images, options.wanted, options.ignore, kernels)
    with forward.undisturbed(model, options.batchnorm):
        try:
            with capture:
                forward.run(model, inputs)
        except NaswotError:
            if capture.error is None:
                raise
    if capture.error is not None:
        raise capture.error
    if not capture.activations:
        seen = ", ".join(f"{name} ({n} times)" for name, n in sorted(capture.not_counted.items()))
        raise NaswotError(
            f"{type(model).__name__} ran no activation that counts, so there is no code. Looked for: "
            f"{', '.join(sorted(options.wanted))}. Seen but not counted: {seen or 'none'}."
        )
    return Count(capture.units, sum(capture.activations.values()), dict(capture.activations))


def _build(builder: Callable[[], nn.Module], name: str, seed: int) -> nn.Module:
    if not callable(builder):
        raise NaswotError(
            f"It is a {type(builder).__name__}: expected a torch.nn.Module or a function that builds one."
        )
    with _seeded(seeds.derive(seed, "initialisation", name)):
        try:
            return builder()
        except Exception as error:
            raise NaswotError(f"Its builder failed: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed` inside, as if nothing had happened after. CUDA is not started for it."""
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed_all(seed)
        yield
