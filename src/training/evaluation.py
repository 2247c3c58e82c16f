"""The metrics of the models on the splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from src.config import Config
from src.data import Data
from src.data.batches import eval_batches
from src.training.batch_norm import recompute_batch_norm
from src.training.forward import build_forward, forward_batch
from src.training.losses import Loss
from src.training.metrics import Metrics, build_metrics
from src.training.setup import Setup
from src.training.stopwatch import Stopwatch

Batches = Iterable[tuple[Any, Tensor]]
AfterBatch = Callable[[str, int, Metrics], None]


def batch_watcher(interval: int | None, note: Callable[[str], None], check: Callable[[], None]) -> AfterBatch:
    """For an Evaluator: calls `check` after each batch, and notes the loss every `interval` batches (None: never)."""

    def after_batch(name: str, number: int, metrics: Metrics) -> None:
        check()
        if interval is not None and number % interval == 0:
            note(f"{name}  batch {number}  loss {metrics.loss.compute():.6g}")

    return after_batch


@dataclass
class Evaluator:
    """Evaluates every model on every split, after each epoch."""

    models: Mapping[str, nn.Module]  # `last` and `av`, as asked for
    splits: Mapping[str, Any]  # all but train
    batches: Callable[[Any], Batches]  # once over a split
    loss_fn: Loss
    metrics: Metrics
    after_batch: AfterBatch  # called with `<split>/<model>`, the number of batches and the metrics so far; may raise
    train_split: Any = None  # where the batch-norm statistics of `av` are recomputed over it; else None

    @property
    def names(self) -> list[str]:
        """`<split>/<model>` of each evaluation, in the order of the columns."""
        return [f"{split}/{model}" for split in self.splits for model in self.models]

    def evaluate(self) -> dict[str, float]:
        """`<split>/<model>/<metric>` of all, and the seconds that each took: `time`, of which `data_time`."""
        if self.train_split is not None and "av" in self.models:
            recompute_batch_norm(self.models["av"], self.batches(self.train_split))
        row: dict[str, float] = {}
        for split, data in self.splits.items():
            for name, model in self.models.items():
                figures = self._evaluate(model, self.batches(data), f"{split}/{name}")
                row |= {f"{split}/{name}/{figure}": value for figure, value in figures.items()}
        return row

    @torch.no_grad()
    def _evaluate(self, model: nn.Module, batches: Batches, name: str) -> dict[str, float]:
        was_training = model.training
        model.eval()
        self.metrics.reset()
        watch = Stopwatch()
        try:
            forward = build_forward(model)
            for number, (x, y) in enumerate(watch.waiting(batches), start=1):
                forward_batch(forward, self.loss_fn, self.metrics, x, y)
                self.after_batch(name, number, self.metrics)
            return {**self.metrics.compute(), **watch.state_dict()}
        finally:
            model.train(was_training)


def build_evaluator(
    config: Config,
    setup: Setup,
    data: Data,
    models: Mapping[str, nn.Module],
    loss_fn: Loss,
    batch_size: int,
    after_batch: AfterBatch,
) -> Evaluator:
    """The evaluations that the config asks for. `models`: `last`, and `av` where there is an average."""
    return Evaluator(
        models={name: model for name, model in models.items() if config.evaluate in (name, "both", None)},
        splits={name: split for name, split in data.splits.items() if name != "train"},
        batches=lambda split: eval_batches(split, batch_size, setup.device, config.num_workers, setup.seed_training),
        loss_fn=loss_fn,
        metrics=build_metrics(config.metrics, data.n_classes),
        after_batch=after_batch,
        train_split=data.splits["train"] if config.averaging_buffers == "recompute" else None,
    )
