"""Where a run stands: all that a step depends on beside the model, the optimizer and the average."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.logs.resources import device_peak_mb
from src.training.metrics import Metrics
from src.training.stopwatch import Stopwatch


class TrainState:
    """Counters, the figures of the epoch in progress, and a row of stats for each epoch that is over."""

    def __init__(self, metrics: Metrics, device: torch.device) -> None:
        self.step = 0  # optimizer steps done; with the seed and the data it says which samples come next
        self.seen_examples = 0
        self.rows: list[dict[str, Any]] = []
        self.metrics, self.device = metrics, device
        self._start_epoch()

    def _start_epoch(self) -> None:
        self.metrics.reset()
        self.epoch_steps = 0  # in the epoch in progress, as all below
        self.grad_norm_sum: Tensor | float = 0.0  # a float64 tensor on the device
        self.lr = 0.0  # of the latest step
        self.watch = Stopwatch()

    def count_step(self, n_examples: int, grad_norm: Tensor, lr: float) -> None:
        self.step += 1
        self.seen_examples += n_examples
        self.epoch_steps += 1
        self.grad_norm_sum += grad_norm.double()
        self.lr = lr

    def train_figures(self) -> dict[str, float]:
        """The epoch's `train/` figures: averages over its samples (grad_norm: steps), counts and times at its end.

        Empty after an epoch without a step. Waits for the device.
        """
        if self.epoch_steps == 0:
            return {}
        figures = self.metrics.compute() | {"grad_norm": float(self.grad_norm_sum) / self.epoch_steps}
        figures |= self.watch.state_dict()  # after the line above, which waited for the device to finish
        figures |= {
            "seen_examples": self.seen_examples,
            "learning_rate": self.lr,
            "samples_per_second": self.metrics.n_samples / figures["time"],
            "peak_memory_mb": device_peak_mb(self.device),
        }
        return {f"train/{name}": value for name, value in figures.items()}

    def end_epoch(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self._start_epoch()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seen_examples": self.seen_examples,
            "rows": self.rows,
            "metrics": self.metrics.state_dict(),
            "epoch_steps": self.epoch_steps,
            "grad_norm_sum": torch.as_tensor(self.grad_norm_sum, dtype=torch.float64).clone(),
            "lr": self.lr,
            "watch": self.watch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.seen_examples, self.rows = state["step"], state["seen_examples"], state["rows"]
        self.metrics.load_state_dict(state["metrics"])
        self.epoch_steps, self.grad_norm_sum, self.lr = state["epoch_steps"], state["grad_norm_sum"], state["lr"]
        self.watch.load_state_dict(state["watch"])
