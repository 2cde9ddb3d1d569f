"""The score of 2020: how different the network's linear maps around the images of a batch are.

Source: Mellor et al., Neural Architecture Search without Training, arXiv 2006.04647 version 1 (June 2020), section 3,
equations 1 and 2. J holds one flattened row d(sum of outputs)/d(image) for each of the B images, and sigma are the
eigenvalues of the correlation matrix of its rows:

    score = -sum_i [log(sigma_i + k) + 1 / (sigma_i + k)],        k = 1e-5.

`jacobian` normalises BatchNorm by its running statistics (mean 0 and variance 1 before any training), as the authors'
code did for the published table; `jacobian_train` by those of the batch, as their code does since July 2020. A row is
then the derivative of the outputs of all images. The authors' batch is 256 images and their networks have one output;
those of a data set with more classes are summed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from naswot_ext.errors import NaswotError
from naswot_ext.forward import Inputs, run, undisturbed
from naswot_ext.proxies import Images, Scored, proxy

MEMBERS = ("jacobian", "jacobian_train")
_K = 1e-5


def score_of(rows: Tensor) -> float:
    """The score of the Jacobian's rows [B, D], in float64; -inf where one has no correlation: constant, or not finite.

    >>> round(score_of(torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])), 4)     # two rows without correlation
    -2.0
    """
    rows = rows.to(torch.float64)
    largest, smallest = rows.amax(1, keepdim=True), rows.amin(1, keepdim=True)
    # Exactly constant: a mean's rounding would make numbers of a variance of zero. NaN fails the comparison, too.
    usable = (largest > smallest) & (largest - smallest).isfinite()
    if not bool(usable.all()):
        return -torch.inf
    # Scaled first, so that no square is too small for a float64.
    rows = rows / torch.maximum(largest.abs(), smallest.abs())
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    # Symmetric, so that no eigenvalue is complex; rounding may leave one just below zero.
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T).clamp(min=0)
    return -float((torch.log(eigenvalues + _K) + 1 / (eigenvalues + _K)).sum())


def _score(network: nn.Module, batch: Images, batchnorm: str) -> Scored:
    if len(batch.images) < 2:
        raise NaswotError(f"The batch holds {len(batch.images)} image: a score compares at least 2 of them.")
    with undisturbed(network, batchnorm), torch.enable_grad():
        images = batch.images.detach().clone().requires_grad_()
        # A copy, because the network may rectify its input in place.
        outputs = run(network, Inputs((images.clone(),), {}, len(images)))
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            what = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
            raise NaswotError(
                f"{type(network).__name__} returned a {what}: its Jacobian needs one tensor of floating-point numbers."
            )
        if not outputs.requires_grad:
            return Scored(-torch.inf)  # no output depends on the images
        (rows,) = torch.autograd.grad(outputs.sum(), images, materialize_grads=True)
    return Scored(score_of(rows.flatten(1)))


@proxy(
    "jacobian",
    title="score of 2020 (Jacobian, BatchNorm in eval mode)",
    cost="one forward and one backward pass of the batch",
    batch="the images, without labels; 256 of them in the paper",
)
def jacobian(network: nn.Module, batch: Images) -> Scored:
    """The published table's score; -inf where an image has no gradient. Raises NaswotError for fewer than 2 images."""
    return _score(network, batch, "eval")


@proxy(
    "jacobian_train",
    title="score of 2020 (Jacobian, BatchNorm in training mode)",
    cost="one forward and one backward pass of the batch",
    batch="the images, without labels; 256 of them in the paper",
)
def jacobian_train(network: nn.Module, batch: Images) -> Scored:
    """The score of the authors' later code; -inf where an image has no gradient. Raises as `jacobian` does."""
    return _score(network, batch, "train")
