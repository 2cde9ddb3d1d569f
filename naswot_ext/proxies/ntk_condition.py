"""TE-NAS's condition number of the neural tangent kernel, lambda_max / lambda_min; lower is better.

K_ij = <grad_theta f(x_i), grad_theta f(x_j)>, where f is the sum of the logits of an image and theta the weights (of
BatchNorm too, but no biases), with BatchNorm in training mode. The authors take 72 images on NAS-Bench-201, 14 or 24
in the DARTS space, and the mean over 3 initialisations of their own choice; here it is the network as it was
initialised. As the statistics of the batch couple its images, each image costs a backward pass of all of them.

Source: Chen et al., Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective,
ICLR 2021, and its code, VITA-Group/TENAS. There K and its eigenvalues are in float32, here in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from naswot_ext.errors import NaswotError
from naswot_ext.gradients import differentiable, gradients, logits, weighted_layers
from naswot_ext.proxies import Images, Scored, proxy

IMAGES = 32


@proxy(
    "ntk_condition",
    title="NTK condition number (TE-NAS)",
    cost=f"one forward pass and {IMAGES} backward passes of {IMAGES} images; memory for {IMAGES} copies of the weights",
    batch=f"the first {IMAGES} images (all where there are fewer), without labels",
    higher_is_better=False,
)
def ntk_condition(network: nn.Module, batch: Images) -> Scored:
    """The ratio of K's extreme eigenvalues; inf where K is singular (within the rounding of float64).

    Raises NaswotError for fewer than two images, and as `naswot_ext.gradients` does.
    """
    images = batch.images[:IMAGES]
    if len(images) < 2:
        raise NaswotError("The condition number of the NTK of one image says nothing: give a batch of 2 or more.")
    with differentiable(network):
        kernel = _kernel(network, images, batch.classes)
    if not bool(kernel.isfinite().all()):
        raise NaswotError("The NTK holds infinite values or NaN: the network's gradients overflow or are no numbers.")
    eigenvalues = torch.linalg.eigvalsh(kernel).tolist()
    smallest, largest = eigenvalues[0], eigenvalues[-1]
    rounding = len(images) * torch.finfo(torch.float64).eps * largest
    return Scored(largest / smallest if smallest > rounding else math.inf)


def _kernel(network: nn.Module, images: Tensor, classes: int) -> Tensor:
    """K, float64 [B, B]."""
    weighted_layers(network)
    weights = [w for name, w in network.named_parameters() if w.requires_grad and "weight" in name]
    outputs = logits(network, images, classes).sum(1)
    rows = [gradients(output, weights, keep_graph=True) for output in outputs]
    kernel = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=outputs.device)
    # One weight at a time, so that only one is there in float64.
    for of_one_weight in zip(*rows, strict=True):
        jacobian = torch.stack(of_one_weight).flatten(1).double()
        kernel += jacobian @ jacobian.T
    return kernel
