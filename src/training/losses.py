"""Losses, one value a sample, and the count of correct predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs (n, k), targets (n,)) -> losses (n,)


def build_loss(name: str) -> Loss:
    """`log`/`xentropy`: cross entropy of the softmax; `mse`/`square`: squared error, averaged over the outputs.

    Targets are class indices (int64) or, for mse, also real values (float32).
    """
    return cross_entropy if name in ("log", "xentropy") else squared_error


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.dtype == torch.int64:  # classes: the distance to the one-hot vector
        targets = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return (outputs - targets.view_as(outputs)).square().flatten(1).mean(1)


def count_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """How many of the classes (n,) are where the outputs (n, k) are largest: a scalar on the same device."""
    return (outputs.argmax(1) == targets).sum()
