"""Sums over the samples of an epoch, kept on the device so that a step never waits for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.training.losses import count_correct


class Meter:
    """Average loss, and accuracy in classification, over the samples that were added."""

    def __init__(self, device: torch.device, classification: bool) -> None:
        self.classification = classification
        self.n_samples = 0
        # float64: the sum of millions of float32 losses would lose digits
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.n_correct = torch.zeros((), dtype=torch.float64, device=device)  # of mixed samples it is no whole number

    def add(self, losses: Tensor, outputs: Tensor, targets: Tensor) -> None:
        self.n_samples += len(targets)
        self.loss_sum += losses.detach().sum(dtype=torch.float64)
        if self.classification:
            self.n_correct += count_correct(outputs.detach(), targets)

    def averages(self) -> dict[str, float]:
        """`loss` and, in classification, `accuracy`; waits for the device."""
        averages = {"loss": self.loss_sum.item() / self.n_samples}
        if self.classification:
            averages["accuracy"] = self.n_correct.item() / self.n_samples
        return averages

    def state_dict(self) -> dict[str, Any]:
        return {"n_samples": self.n_samples, "loss_sum": self.loss_sum.clone(), "n_correct": self.n_correct.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_samples = state["n_samples"]
        self.loss_sum.copy_(state["loss_sum"])
        self.n_correct.copy_(state["n_correct"])
