"""Where a run stands: all that a step depends on beside the model, the optimizer and the average."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.training.meter import Meter
from src.training.stopwatch import Stopwatch


class EpochInProgress:
    """The figures of the epoch that is being trained."""

    def __init__(self, device: torch.device, classification: bool) -> None:
        self.meter = Meter(device, classification)
        self.n_steps = 0
        self.grad_norm_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.learning_rate = 0.0  # of the latest step
        self.watch = Stopwatch()

    def state_dict(self) -> dict[str, Any]:
        return {
            "meter": self.meter.state_dict(),
            "n_steps": self.n_steps,
            "grad_norm_sum": self.grad_norm_sum.clone(),
            "learning_rate": self.learning_rate,
            "watch": self.watch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.meter.load_state_dict(state["meter"])
        self.n_steps, self.learning_rate = state["n_steps"], state["learning_rate"]
        self.grad_norm_sum.copy_(state["grad_norm_sum"])
        self.watch.load_state_dict(state["watch"])


class TrainState:
    """Counters, the epoch in progress, and a row of stats for each epoch that is over."""

    def __init__(self, device: torch.device, classification: bool) -> None:
        self.device, self.classification = device, classification
        self.step = 0  # optimizer steps done; with the seed and the data it says which samples come next
        self.seen_examples = 0
        self.rows: list[dict[str, Any]] = []
        self.epoch = EpochInProgress(device, classification)

    def count_step(self, micro_batches: list[tuple[Tensor, Tensor]], grad_norm: Tensor, rate: float) -> None:
        self.step += 1
        self.seen_examples += sum(len(y) for _, y in micro_batches)
        self.epoch.n_steps += 1
        self.epoch.grad_norm_sum += grad_norm
        self.epoch.learning_rate = rate

    def train_figures(self) -> dict[str, float]:
        """The epoch's `train/` figures: averages over its samples (grad_norm: steps), counts and times at its end."""
        epoch = self.epoch
        figures = epoch.meter.averages() | {"grad_norm": epoch.grad_norm_sum.item() / epoch.n_steps}
        figures |= epoch.watch.state_dict()  # after the line above, which waited for the device to finish
        return figures | {
            "seen_examples": self.seen_examples,
            "learning_rate": epoch.learning_rate,
            "samples_per_second": epoch.meter.n_samples / figures["time"],
        }

    def end_epoch(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.epoch = EpochInProgress(self.device, self.classification)

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seen_examples": self.seen_examples,
            "rows": self.rows,
            "epoch": self.epoch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.seen_examples, self.rows = state["step"], state["seen_examples"], state["rows"]
        self.epoch.load_state_dict(state["epoch"])
