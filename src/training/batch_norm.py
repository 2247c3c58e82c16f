"""Batch-norm statistics of a model over data, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recompute_batch_norm(model: nn.Module, batches: Iterable[tuple[Any, Tensor]]) -> None:
    """Set the running mean and variance of each batch-norm layer to those over the samples, in one pass.

    The pass is in evaluation mode, without dropout, and each layer normalises by its statistics over the samples so far:
    those of the first layer do not depend on the batches. What a deeper layer gets from the first batches was normalised
    by the statistics of fewer samples, so there they depend on the size of these batches a little. Layers that are
    frozen keep theirs. Draws no random number from the run's generators.
    """
    was_training = model.training
    layers = [layer for layer in model.train().modules() if isinstance(layer, _BatchNorm) and layer.training]
    sums = [_Sums(layer) for layer in layers if layer.running_mean is not None]
    if sums:
        model.eval()
        device = next(model.parameters()).device
        handles = [each.layer.register_forward_pre_hook(each) for each in sums]
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                for x, _ in batches:
                    model(x)
        finally:
            for handle in handles:
                handle.remove()
    model.train(was_training)


class _Sums:
    """Before each call of a layer, adds its input (n, channels, ...) to sums, and sets its statistics by them."""

    def __init__(self, layer: _BatchNorm) -> None:
        self.layer, self.n = layer, 0
        self.mean: Tensor | float = 0.0  # float64, of each channel, as below
        self.squares: Tensor | float = 0.0  # sum of the squared distances to the mean

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)  # (channels, values)
        added = values.shape[1]
        mean = values.mean(1)
        squares = (values - mean[:, None]).square().sum(1)
        total = self.n + added
        step = mean - self.mean  # Chan et al. 1979: the sums of two parts give those of the whole
        self.squares = self.squares + squares + step.square() * (self.n * added / total)
        self.mean = self.mean + step * (added / total)
        self.n = total
        self.layer.running_mean.copy_(self.mean)  # type: ignore[union-attr]
        self.layer.running_var.copy_(self.squares / max(1, total - 1))  # type: ignore[union-attr]
