"""Losses: outputs and targets -> one value a sample."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from src import families, python_object
from src.data.contract import check_outputs

# (outputs (n, k), targets (n,) or, of mixed samples, the weights of their classes (n, k)) -> losses (n,)
Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(name: str, n_classes: int | None, label_smoothing: float = 0.0) -> Loss:
    """`log`/`xentropy`: cross entropy of the softmax; `mse`/`square`: squared error, averaged over the outputs;
    `python/<module>:<callable>`: a function of (outputs, targets), or a class that is called without arguments.

    Targets are class indices (int64), weights of classes (float32, n_classes columns) or, where n_classes is None,
    real values (float32).
    """
    if name in families.CROSS_ENTROPY:
        smoothed = functools.partial(cross_entropy, label_smoothing=label_smoothing, n_classes=n_classes)
        return _FirstChecked(smoothed, n_classes)
    if name in families.SQUARED_ERROR:
        return _FirstChecked(squared_error, n_classes)
    _, rest = families.find("loss", name, families.LOSSES)
    found = python_object.import_callable(rest, "loss")
    return functools.partial(_own_loss, name, python_object.call(rest, "loss") if inspect.isclass(found) else found)


class _FirstChecked:
    """A loss that looks at the model's outputs for the first batch."""

    def __init__(self, loss_fn: Loss, n_classes: int | None) -> None:
        self.loss_fn, self.n_classes, self.is_checked = loss_fn, n_classes, False

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not self.is_checked:
            check_outputs(outputs, targets, self.n_classes)
            self.is_checked = True
        return self.loss_fn(outputs, targets)


def _own_loss(name: str, loss_fn: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    losses = loss_fn(outputs, targets)
    if losses.shape != (len(targets),):
        raise ValueError(
            f"loss {name!r} returned a tensor of shape {list(losses.shape)} for {len(targets)} samples; "
            "it must return one value a sample (reduction='none')"
        )
    return losses


def cross_entropy(
    outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0, n_classes: int | None = None
) -> Tensor:
    """`label_smoothing` is shared by the first `n_classes` outputs (None: all), since no label names the others."""
    if label_smoothing and n_classes is not None and n_classes < outputs.shape[1]:
        weights = F.one_hot(targets, n_classes).to(outputs.dtype) if targets.ndim == 1 else targets
        targets, label_smoothing = weights * (1 - label_smoothing) + label_smoothing / n_classes, 0.0
    targets = pad_classes(targets, outputs)
    return F.cross_entropy(outputs, targets, reduction="none", label_smoothing=label_smoothing)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.dtype == torch.int64:  # classes: the distance to the one-hot vector
        targets = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return (outputs - pad_classes(targets, outputs).view_as(outputs)).square().flatten(1).mean(1)


def pad_classes(targets: Tensor, outputs: Tensor) -> Tensor:
    """Weights of classes (n, k), with zeros for outputs beyond the classes; other targets unchanged."""
    beyond = outputs.shape[1] - targets.shape[1] if targets.ndim == 2 else 0
    return F.pad(targets, [0, beyond]) if beyond else targets
