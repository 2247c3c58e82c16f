"""Losses, one value a sample, and the count of correct predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs (n, k), targets (n,)) -> losses (n,)


def build_loss(name: str, output_dim: int, n_classes: int | None) -> Loss:
    """`log`/`xentropy`: cross entropy of the softmax; `mse`/`square`: squared error, averaged over the outputs.

    Targets are class indices (int64) or, where n_classes is None, real values (float32).
    Raises ValueError if a model with that many outputs does not go with them.
    """
    if n_classes is None and output_dim != 1:
        raise ValueError(f"model_output_dim {output_dim}: regression on one target needs 1 output")
    if n_classes is not None and output_dim < n_classes:
        raise ValueError(f"model_output_dim {output_dim} is less than the {n_classes} classes of the data")
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
