"""SWAP-Score: how many different sample-wise activation patterns a network shows on a batch.

Source: Peng et al., SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS, ICLR 2024, section 3 (the score
without regularisation). The pattern of a rectified unit is its code over the images of the batch: B bits, 1 where its
pre-activation is greater than 0. The score is the number of different patterns among all units of the network.

The number of patterns is at most 2^B, and with many images it nears that of the units that differ at all, so that the
ranking depends on B: `swap` takes the whole batch, `swap_16` its first 16 images, as many as the authors' code. That
also takes weights from N(0, 1) and the mean of 32 initialisations, here the network's own initialisation counts; and it
sees `nn.ReLU` modules on feature maps only, here every rectifier counts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from naswot_ext.activation import collect
from naswot_ext.errors import NaswotError
from naswot_ext.forward import Inputs
from naswot_ext.proxies import Images, Scored, proxy

MEMBERS = ("swap", "swap_16")

# 64 images of a pattern are one word. Bytes of patterns that wait to be merged: so many are sorted at once.
_WAITING = 1 << 27
# 2^64 divided by the golden ratio, as a signed number: an odd one without a pattern.
_MIXER = -7046029254386353131


class Patterns:
    """The different patterns of the applications of rectifiers, each a row of 64-bit words (a `Collector`)."""

    def __init__(self) -> None:
        self._distinct: Tensor | None = None
        self._waiting: list[Tensor] = []
        self._limit = _WAITING
        self._checks: list[Tensor] = []

    def add(self, activations: Tensor) -> None:
        """Add the patterns of the units of one application [B, ...]."""
        if not activations.numel():
            return
        # NaN is both the largest and the smallest number.
        self._checks.append(torch.stack([activations.amax(), activations.amin()]).isfinite().all())
        self._waiting.append(pack(activations))
        if sum(rows.nbytes for rows in self._waiting) > self._limit:
            self._limit = max(_WAITING, 2 * self._merged().nbytes)

    def written(self, tensor: Tensor) -> None:
        """Nothing is kept of a tensor that may change."""

    def count(self) -> int:
        """How many different patterns there are; raises NaswotError where a pre-activation was not finite."""
        if not self._checks:
            return 0
        home = self._checks[0].device
        if not bool(torch.stack([check.to(home) for check in self._checks]).all()):
            raise NaswotError(
                "The network has pre-activations that are NaN or infinite on this batch. Check its initialisation and "
                "the scale of the images."
            )
        return len(self._merged())

    def _merged(self) -> Tensor:
        rows = self._waiting if self._distinct is None else [self._distinct, *self._waiting]
        self._distinct, self._waiting = distinct(torch.cat([each.to(rows[0].device) for each in rows])), []
        return self._distinct


def pack(activations: Tensor) -> Tensor:
    """The pattern of each unit: int64 [units, ceil(B / 64)] from activations [B, ...], units in the order of memory."""
    # As they lie in memory, whatever the layout: the order of the units does not matter.
    order = sorted(range(1, activations.dim()), key=activations.stride, reverse=True)
    bits = (activations.permute(0, *order) > 0).flatten(1).view(torch.uint8)
    images, units = bits.shape
    packed = bits.new_zeros(8 * -(-images // 64), units)
    for bit in range(min(8, images)):
        # Eight images a byte; which images share one does not matter.
        some = bits[bit::8]
        packed[: len(some)] |= some << bit
    # A clone, because one unit's column already counts as contiguous, with strides that cannot be viewed.
    return packed.T.clone(memory_format=torch.contiguous_format).view(torch.int64)


def distinct(rows: Tensor) -> Tensor:
    """The different rows of an int64 matrix [n, words], in any order."""
    # One sort of one number a row. Equal rows have equal numbers; where different ones do, too, all columns are sorted.
    key = rows[:, 0]
    for column in range(1, rows.shape[1]):
        key = key * _MIXER
        # Patterns often differ in few images: without the shift, the same few bits of two words would cancel out.
        key = (key ^ (key >> 32)) * _MIXER + rows[:, column]
    key, order = key.sort()
    rows = rows[order]
    new = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    new[1:] = (rows[1:] != rows[:-1]).any(1)
    if rows.shape[1] > 1 and bool((new[1:] & (key[1:] == key[:-1])).any()):
        return torch.unique(rows, dim=0)
    return rows[new]


def _count(network: nn.Module, images: Tensor) -> Scored:
    patterns = Patterns()
    units = collect(network, Inputs((images,), {}, len(images)), patterns).units
    return Scored(float(patterns.count()), units)


@proxy("swap", title="SWAP-Score, number of activation patterns", cost="one forward pass of the batch")
def swap(network: nn.Module, batch: Images) -> Scored:
    """Count the patterns on the batch, exactly.

    Raises NaswotError for a network without a rectifier, for fewer than 2 images and for pre-activations that are not
    finite.
    """
    return _count(network, batch.images)


@proxy(
    "swap_16",
    title="SWAP-Score, number of activation patterns of 16 images",
    cost="one forward pass of 16 images",
    batch="the first 16 images, without labels",
)
def swap_16(network: nn.Module, batch: Images) -> Scored:
    """Count the patterns on the first 16 images, or all where there are fewer. Raises as `swap` does."""
    return _count(network, batch.images[:16])
