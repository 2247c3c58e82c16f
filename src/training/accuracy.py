"""`accuracy` and `top<k>`: how often the true class has the largest output, or is among the k largest ones."""

from __future__ import annotations

import torch
from torch import Tensor

from src.training.losses import pad_classes
from src.training.metrics import MeanMetric


class Accuracy(MeanMetric):
    """Of mixed samples, whose targets are weights of classes (n, k): the mean weight of the class that is predicted."""

    name = "accuracy"

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        predicted = outputs.argmax(1)
        if targets.ndim == 1:
            return predicted == targets
        return pad_classes(targets, outputs).gather(1, predicted[:, None])[:, 0]


class TopK(MeanMetric):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k, self.name = k, f"top{k}"

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        predicted = outputs.topk(self.k, dim=1).indices
        if targets.ndim == 1:
            return (predicted == targets[:, None]).any(1)
        return pad_classes(targets, outputs).gather(1, predicted).sum(1, dtype=torch.float64)


def build_metric(name: str, n_classes: int | None) -> MeanMetric:
    """`name` is '' for accuracy, or the k of top<k>. Raises ValueError if the data have no classes, or fewer than k."""
    if n_classes is None:
        raise ValueError(
            f"metrics: {f'top{name}' if name else 'accuracy'} needs classes, and the data are a regression"
        )
    if name and int(name) > n_classes:
        raise ValueError(f"metrics: top{name} needs {name} classes or more, and the data have {n_classes}")
    return TopK(int(name)) if name else Accuracy()
