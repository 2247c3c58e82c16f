"""A user's own data set and models, as experiments on the cluster import them: small, quick, stoppable."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset


class Points(TensorDataset):
    """128 train or 32 test points in four dimensions, of three classes."""

    n_classes = 3

    def __init__(self, split: str, data_dir: str) -> None:
        generator = torch.Generator().manual_seed(len(split))
        x = torch.randn(128 if split == "train" else 32, 4, generator=generator)
        super().__init__(x, x[:, : self.n_classes].argmax(dim=1))


class Patient(nn.Linear):
    """A linear model that takes a fifth of a second for a step, until the file `hurry` is there."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...], hurry: str) -> None:
        super().__init__(*input_shape, num_classes)
        self.hurry = Path(hurry)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and not self.hurry.exists():
            time.sleep(0.2)
        return super().forward(x)


def doomed(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A model that is never built: its job goes back into the queue, and its process dies."""
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def huge(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A model that no machine has the memory for."""
    return nn.Linear(10**9, 10**6)


def broken(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A model with a mistake in it."""
    raise IndexError("layer 7 of 5")


def deaf(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A model whose building takes forever and hears no warning."""
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3600)
    raise AssertionError("an hour has passed")


FAILS, IS_KILLED = 13, 26


def unlucky(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A linear model that cannot be built with the seed FAILS, and whose process is killed with IS_KILLED."""
    if torch.initial_seed() == FAILS:
        raise RuntimeError("made to fail")
    if torch.initial_seed() == IS_KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    return nn.Linear(*input_shape, num_classes)
