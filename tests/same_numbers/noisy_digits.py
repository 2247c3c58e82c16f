"""What the python/ families of the resumed case reach: a data set with random items, a model that asks its run to stop."""

from __future__ import annotations

import math
import random
import signal

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import Dataset


class NoisyDigits(Dataset):
    """Digits as flat vectors; the noise on an item is drawn each time it is read."""

    n_classes = 10

    def __init__(self, split: str, data_dir: str) -> None:
        x, y = load_digits(return_X_y=True)
        part = slice(0, 270) if split == "train" else slice(270, 400)
        self.x, self.y = torch.tensor(x[part] / 16, dtype=torch.float32), y[part]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index] + 0.1 * torch.randn(64) * random.random(), int(self.y[index])


class StoppingNet(nn.Module):
    """Batch norm and dropout; sends SIGUSR2 to its own process in the training forward passes numbered in `stop_in`.

    The passes are counted in a buffer, so that the count is part of the checkpoint and a resumed run counts on.
    """

    n_passes: Tensor

    def __init__(self, num_classes: int, input_shape: tuple[int, ...], stop_in: list[int]) -> None:
        super().__init__()
        hidden = (nn.Linear(math.prod(input_shape), 30, bias=False), nn.BatchNorm1d(30), nn.ReLU(), nn.Dropout(0.3))
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(30, num_classes))
        self.stop_in = stop_in
        self.register_buffer("n_passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self.n_passes += 1
            if self.n_passes.item() in self.stop_in:
                signal.raise_signal(signal.SIGUSR2)
        return self.layers(x)
