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
