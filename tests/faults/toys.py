"""A data set with random augmentation and two models, for the runs of the fault campaign."""

from __future__ import annotations

import math
import random

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import Dataset


class NoisyDigits(Dataset):
    """Digits as flat vectors, each with noise that is drawn anew every time it is read."""

    n_classes = 10

    def __init__(self, split: str, data_dir: str) -> None:
        x, y = load_digits(return_X_y=True)
        part = slice(0, 600) if split == "train" else slice(600, 900)
        self.x, self.y = torch.tensor(x[part] / 16, dtype=torch.float32), y[part]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index] + 0.1 * torch.randn(64) * random.random(), int(self.y[index])


def dropout_net(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    n = math.prod(input_shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(n, 100), nn.ReLU(), nn.Dropout(0.5), nn.Linear(100, num_classes))


def wide_net(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Four million parameters: writing its checkpoint takes longer than an epoch."""
    n = math.prod(input_shape)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n, 2000), nn.ReLU(), nn.Linear(2000, 2000), nn.Linear(2000, num_classes)
    )


def normed_dropout_net(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    n = math.prod(input_shape)
    hidden = (nn.Linear(n, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(30, num_classes))
