"""What the proxies of gradients share: the loss, the weights they count, and a network that is left as it was.

Sources: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, section 3, and its code,
SamsungLabs/zero-cost-nas: the weights are those of convolutions and linear layers, the loss is cross-entropy, and
BatchNorm normalises with the statistics of the batch. Unlike there, everything else is in eval mode, so that dropout
and drop-path are no noise in the scores; the benchmarks' networks have neither.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from naswot_ext.errors import NaswotError, one_line
from naswot_ext.forward import Inputs, run, undisturbed
from naswot_ext.proxies import Images

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


@contextlib.contextmanager
def differentiable(network: nn.Module, batchnorm: str = "train") -> Iterator[None]:
    """Inside: `undisturbed`, but with gradients. After, also after an exception: the network as it was.

    Nothing may call ``backward`` inside, which would leave a `.grad`; `gradients` does not.
    """
    with undisturbed(network, batchnorm), torch.enable_grad():
        yield


def weighted_layers(network: nn.Module) -> list[Layer]:
    """The convolutions and linear layers with a trainable weight, in the order of ``network.modules()``.

    Raises NaswotError where there is none, and for a weight that is computed from others at each use
    (`torch.nn.utils.parametrize`).
    """
    layers: list[Layer] = []
    for name, layer in network.named_modules():
        if not isinstance(layer, Layer):
            continue
        weight = layer.weight
        if not isinstance(weight, nn.Parameter):
            raise NaswotError(
                f"The weight of {name or type(layer).__name__} is computed from other parameters, so it has no "
                "gradient of its own. Remove its parametrisation (torch.nn.utils.parametrize) first."
            )
        if weight.requires_grad:
            layers.append(layer)
    if not layers:
        raise NaswotError(
            f"{type(network).__name__} has no convolution or linear layer with a trainable weight "
            "(torch.nn.Conv1d, Conv2d, Conv3d or Linear with requires_grad), which this proxy scores."
        )
    return layers


def weights_of(network: nn.Module) -> list[Tensor]:
    """The weights of `weighted_layers`; one that several layers share is there once."""
    return list({id(layer.weight): layer.weight for layer in weighted_layers(network)}.values())


def logits(network: nn.Module, images: Tensor, classes: int) -> Tensor:
    """The network's logits [B, at least 1] for images [B, ...], which it gets a copy of.

    Of a tuple or list, as networks with an auxiliary head return, the first must be logits [B, classes]. Raises
    NaswotError for any other output.
    """
    given = images.clone()  # the network may rectify its input in place
    output = run(network, Inputs((given,), {}, len(given)))
    several = isinstance(output, tuple | list) and len(output) > 0
    first = output[0] if several else output
    is_logits = isinstance(first, Tensor) and first.dim() == 2 and len(first) == len(images) and first.shape[1] > 0
    if is_logits and (not several or first.shape[1] == classes):
        return first
    shape = f" of shape {list(first.shape)}" if isinstance(first, Tensor) else ""
    what = f"a {type(output).__name__} that starts with a {type(first).__name__}" if several else type(first).__name__
    raise NaswotError(
        f"{type(network).__name__} returned {what}{shape} for {len(images)} images of {classes} classes; this proxy "
        f"needs logits [{len(images)}, {classes}], alone or as the first of a tuple. Wrap it so that it returns them."
    )


def cross_entropy(network: nn.Module, batch: Images) -> Tensor:
    """The mean cross-entropy of the batch, in float32 or the network's higher precision.

    Raises NaswotError without labels, for labels that are no class, and where there is only one class: its
    cross-entropy is 0 and has no gradient, whatever the network.
    """
    labels = batch.labels
    if labels is None:
        raise NaswotError(
            "This proxy needs labels, and the data set has none. Choose one with labels, or another proxy."
        )
    if labels.shape != batch.images.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise NaswotError(
            f"The labels are {labels.dtype} of shape {list(labels.shape)}; they must be whole numbers, one for each of "
            f"the {len(batch.images)} images."
        )
    outputs = logits(network, batch.images, batch.classes)
    classes = min(batch.classes, outputs.shape[1])
    if classes < 2:
        raise NaswotError(
            f"The data set has {batch.classes} classes and the network {outputs.shape[1]} outputs: the cross-entropy "
            "of one class is 0 for every network. Give `classes`, or choose a data set with labels."
        )
    # Before the loss, which on a GPU would fail for good, and skips the label -100 in silence.
    low, high = torch.stack([labels.min(), labels.max()]).tolist()
    if low < 0 or high >= classes:
        raise NaswotError(
            f"The labels run from {low} to {high}, but the data set has {batch.classes} classes and the network "
            f"{outputs.shape[1]} outputs: labels must lie between 0 and {classes - 1}."
        )
    # A copy, which unlike a tensor made in inference mode may be kept for the backward pass.
    labels = labels.to(torch.int64, copy=True)
    return functional.cross_entropy(outputs.to(torch.promote_types(outputs.dtype, torch.float32)), labels)


def gradients(
    output: Tensor, parameters: Sequence[Tensor], keep_graph: bool = False, differentiable_again: bool = False
) -> Sequence[Tensor]:
    """The gradient of a scalar for each parameter, zeros for one that it does not depend on; no `.grad` is touched.

    Raises NaswotError where the output was computed without gradients, and where the backward pass fails.
    """
    if not output.requires_grad:
        raise NaswotError(
            "The network's output depends on no trainable parameter: it was computed without gradients "
            "(torch.no_grad, detach or another framework in its forward pass), which this proxy needs."
        )
    try:
        return torch.autograd.grad(
            output,
            parameters,
            retain_graph=keep_graph or differentiable_again,
            create_graph=differentiable_again,
            allow_unused=True,
            materialize_grads=True,
        )
    # A user's module may fail here with any error.
    except Exception as error:
        raise NaswotError(f"The network's backward pass failed: {type(error).__name__}: {one_line(error)}") from error


def finite(value: Tensor, loss: Tensor) -> float:
    """The value as a number; raises NaswotError where it, or the loss that it comes from, is infinite or NaN."""
    number, of_loss = torch.stack([value.detach().double(), loss.detach().double()]).tolist()
    if not math.isfinite(of_loss):
        raise NaswotError(
            f"The loss is {of_loss}: the network's outputs overflow {str(loss.dtype)[6:]} or are no numbers."
        )
    if not math.isfinite(number):
        raise NaswotError(f"The score is {number}: the network's gradients overflow or are no numbers.")
    return number
