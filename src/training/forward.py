"""The model that is called, and a mini-batch's way through it.

The model that is kept (its parameters, checkpoints, the one that is yielded) and the one that is called may differ:
what changes how a model computes, and not what it is, wraps the latter here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from src.training.losses import Loss
from src.training.metrics import Metrics

Forward = Callable[[Any], Tensor]  # x of a batch -> outputs (n, k)


def build_forward(model: nn.Module) -> Forward:
    """What is called in the place of `model`: the model itself."""
    return model


def forward_batch(forward: Forward, loss_fn: Loss, metrics: Metrics, x: Any, y: Tensor) -> Tensor:
    """The loss of each sample (n,), with its graph; adds the batch to the metrics."""
    outputs = forward(x)
    losses = loss_fn(outputs, y)
    metrics.update(losses, outputs, y)
    return losses
