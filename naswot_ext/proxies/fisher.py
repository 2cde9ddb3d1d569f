"""Fisher: each output channel's squared sum of activation times gradient, summed over the weights of the channel.

For channel c of a convolution or linear layer with activations z and gradients g = dL/dz,
Delta_c = 1/2 mean over images of (sum over positions of z g)^2; the score is the sum of Delta_c times the number of
weights of the channel.

Sources: Theis et al., Faster gaze prediction with dense networks and Fisher pruning, 2018; Turner et al., BlockSwap,
ICLR 2020; as a network's score: Abdelfattah et al. 2021, section 3.2, and its code. The weighting by the number of
weights is not in the papers but in that code, from which the published numbers come: it gives each weight the value of
its channel before it adds them up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from naswot_ext.gradients import Layer, cross_entropy, differentiable, finite, gradients, weighted_layers, weights_of
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "fisher",
    title="Fisher",
    cost="one forward and one backward pass of the batch",
    batch="the images and their labels",
    needs_labels=True,
)
def fisher(network: nn.Module, batch: Images) -> Scored:
    """Sum the channels, in float64; raises NaswotError as `naswot_ext.gradients` does."""
    with differentiable(network):
        layers = weighted_layers(network)
        outputs = _Outputs(copies=False)
        loss = outputs.watch(layers, lambda: cross_entropy(network, batch))
        if outputs.overwritten():
            # A copy of each output is safe from what comes after it, but takes memory.
            outputs = _Outputs(copies=True)
            loss = outputs.watch(layers, lambda: cross_entropy(network, batch))
        gradients(loss, weights_of(network))
        nothing = torch.zeros((), dtype=torch.float64, device=loss.device)
        return Scored(finite(torch.stack([nothing, *outputs.terms]).sum(), loss))


class _Outputs:
    """The outputs of layers in a forward pass, and in the backward pass their terms of the score."""

    def __init__(self, copies: bool) -> None:
        self.terms: list[Tensor] = []
        self._copies = copies
        self._versions: list[tuple[Tensor, int]] = []

    def watch(self, layers: list[Layer], forward: Callable[[], Tensor]) -> Tensor:
        """The result of the forward pass. The hooks on the layers are gone after it."""
        handles = [layer.register_forward_hook(self._seen) for layer in layers]
        try:
            return forward()
        finally:
            for handle in handles:
                handle.remove()

    def overwritten(self) -> bool:
        """Whether what came after a layer, such as a sum in place, changed its output."""
        changed = any(output._version != version for output, version in self._versions)
        self._versions.clear()
        return changed

    def _seen(self, layer: nn.Module, _: Any, output: Tensor) -> Tensor | None:
        assert isinstance(layer, Layer)
        if not output.requires_grad:
            return None
        # Linear layers have their channels last, which is the same where images are vectors.
        channel = output.dim() - 1 if isinstance(layer, nn.Linear) else 1
        positions = [d for d in range(1, output.dim()) if d != channel]
        weights_per_channel = layer.weight[0].numel()
        activation = output.detach()

        def add(gradient: Tensor) -> None:
            products = activation * gradient
            sums = products.sum(positions, dtype=torch.float64) if positions else products.double()
            self.terms.append(sums.square().sum() * (0.5 * weights_per_channel / len(output)))

        output.register_hook(add)
        self._versions.append((activation, activation._version))
        return output.clone() if self._copies else None
