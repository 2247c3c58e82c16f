"""The figures of a model on one split."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import torch.optim.swa_utils
from torch import Tensor, nn

from src.training.losses import Loss
from src.training.meter import Meter
from src.training.stopwatch import Stopwatch

AfterBatch = Callable[[int, Meter], None]


def batch_watcher(log: logging.Logger, name: str, interval: int | None, check: Callable[[], None]) -> AfterBatch:
    """For `evaluate`: calls `check` after each batch, and logs a line every `interval` batches (None: never)."""

    def after_batch(number: int, meter: Meter) -> None:
        check()
        if interval is not None and number % interval == 0:
            log.info("%s  batch %d  loss %.6g", name, number, meter.averages()["loss"])

    return after_batch


def recompute_batch_norm(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Set the batch-norm statistics to those over the batches. Draws no random number from the run's generators."""
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.optim.swa_utils.update_bn(batches, model)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    meter: Meter,
    after_batch: AfterBatch,
) -> dict[str, float]:
    """Average `loss` (and `accuracy`) over the batches, and the seconds it took: `time`, of which `data_time`.

    The model is put into evaluation mode for it. `after_batch(number, meter)` is called after each batch
    and may stop the evaluation by an exception.
    """
    was_training = model.training
    model.eval()
    watch = Stopwatch()
    try:
        for number, (x, y) in enumerate(watch.waiting(batches), start=1):
            outputs = model(x)
            meter.add(loss(outputs, y), outputs, y)
            after_batch(number, meter)
        return {**meter.averages(), **watch.state_dict()}
    finally:
        model.train(was_training)
