"""Losses, one value a sample, and the count of correct predictions."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# (outputs (n, k), targets (n,) or, of mixed samples, the weights of their classes (n, k)) -> losses (n,)
Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(name: str, output_dim: int, n_classes: int | None, label_smoothing: float = 0.0) -> Loss:
    """`log`/`xentropy`: cross entropy of the softmax; `mse`/`square`: squared error, averaged over the outputs.

    Targets are class indices (int64), weights of classes (float32, n_classes columns) or, where n_classes is None,
    real values (float32). Raises ValueError if a model with that many outputs does not go with them.
    """
    if n_classes is None and output_dim != 1:
        raise ValueError(f"model_output_dim {output_dim}: regression on one target needs 1 output")
    if n_classes is not None and output_dim < n_classes:
        raise ValueError(f"model_output_dim {output_dim} is less than the {n_classes} classes of the data")
    if name in ("log", "xentropy"):
        return functools.partial(cross_entropy, label_smoothing=label_smoothing)
    return squared_error


def cross_entropy(outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    targets = _fitting(targets, outputs)
    return F.cross_entropy(outputs, targets, reduction="none", label_smoothing=label_smoothing)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.dtype == torch.int64:  # classes: the distance to the one-hot vector
        targets = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return (outputs - _fitting(targets, outputs).view_as(outputs)).square().flatten(1).mean(1)


def count_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """How many of the classes (n,) are where the outputs (n, k) are largest: a scalar on the same device.

    Of mixed samples, whose targets are weights (n, k): the sum of the weights of the classes that were predicted.
    """
    predicted = outputs.argmax(1)
    if targets.ndim == 1:
        return (predicted == targets).sum()
    return _fitting(targets, outputs).gather(1, predicted[:, None]).sum(dtype=torch.float64)


def _fitting(targets: Tensor, outputs: Tensor) -> Tensor:
    """Weights of classes, with zeros for the outputs that are beyond the classes; other targets as they are."""
    beyond = outputs.shape[1] - targets.shape[1] if targets.ndim == 2 else 0
    return F.pad(targets, [0, beyond]) if beyond else targets
