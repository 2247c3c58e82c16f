"""Batches: whole tensors indexed at once where the data are in memory, a DataLoader elsewhere.

The order of the data is a function of (seed_training, pass), the randomness of a sample of (seed_training,
pass, index). So batches depend neither on the number of workers nor on where a run was stopped and resumed.
"""

from __future__ import annotations

import functools
import itertools
import math
import signal
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from src.config import Config
from src.data.randomness import seeded, torch_seed
from src.data.source import Batch, Examples, Items


def steps_per_pass(n: int, batch_size: int) -> int:
    """Optimizer steps of one pass over n examples; the last one may be short."""
    return math.ceil(n / batch_size)


def micro_batch_size(config: Config) -> int:
    """Samples that go through the model at once: batch_size / grad_accum_steps, rounded up."""
    return math.ceil(config.batch_size / config.grad_accum_steps)


def train_batches(
    dataset: Examples | Items, config: Config, device: torch.device, start_step: int = 0
) -> Generator[list[Batch], None, None]:
    """Endless; each item is one optimizer step: the list of its micro-batches (x, y) on `device`.

    Each pass visits every example once. Started at any `start_step` (optimizer steps since the beginning of
    the run) it gives what an uninterrupted run would have seen from there. Closing it ends its workers.
    """
    size = micro_batch_size(config)
    if isinstance(dataset, Examples):
        for _, indices in _steps(len(dataset), config, start_step, dataset.device):
            yield [dataset.at(part, device) for part in indices.split(size)]
        return
    n = len(dataset)
    keys = (
        [(number, index) for index in indices.tolist()]
        for number, indices in _steps(n, config, start_step, torch.device("cpu"))
    )
    yield from _loaded(dataset, keys, size, config, device)


def eval_batches(dataset: Examples | Items, batch_size: int, config: Config, device: torch.device) -> Iterator[Batch]:
    """Once over the data in order, in batches (x, y) on `device`."""
    if isinstance(dataset, Examples):
        for indices in torch.arange(len(dataset), device=dataset.device).split(batch_size):
            yield dataset.at(indices, device)
        return
    n = len(dataset)
    keys = ([(0, index) for index in range(n)[start : start + batch_size]] for start in range(0, n, batch_size))
    for (batch,) in _loaded(dataset, keys, batch_size, config, device):
        yield batch


# --- order --------------------------------------------------------------------------------------------


def _steps(n: int, config: Config, start_step: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Endless (pass, indices of the examples), one an optimizer step. Several processes would share a step's here."""
    first_pass, skip = divmod(start_step, steps_per_pass(n, config.batch_size))
    for number in itertools.count(first_pass):
        order = pass_order(n, _seed(config), number)
        if device.type == "cuda":  # a copy from pinned memory does not wait for the steps that are queued
            order = order.pin_memory().to(device, non_blocking=True)
        yield from ((number, indices) for indices in order.split(config.batch_size)[skip:])
        skip = 0


def pass_order(n: int, seed: int, number: int) -> Tensor:
    """The permutation of pass `number` over n examples: int64 (n,), a function of its arguments only."""
    generator = torch.Generator().manual_seed(torch_seed(seed, number))
    return torch.randperm(n, generator=generator)


def _seed(config: Config) -> int:
    if config.seed_training is None:
        raise ValueError("seed_training must be drawn before batches are made")
    return config.seed_training


# --- data that are loaded item by item ----------------------------------------------------------------


class _SeededItems(Dataset):
    """Reads item `index` for pass `number` with random numbers that depend on these two and the seed only."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        number, index = key
        with seeded(self.seed, number, index):
            return self.dataset[index]


def _loaded(
    dataset: Dataset, keys: Iterator[list[tuple[int, int]]], size: int, config: Config, device: torch.device
) -> Iterator[list[Batch]]:
    """For each list of (pass, index): its items, collated into batches of `size`, on `device`.

    One iterator for all passes: workers start once and read ahead across passes.
    """
    loader = DataLoader(
        _SeededItems(dataset, _seed(config)),
        batch_sampler=keys,
        collate_fn=functools.partial(_collate, size),
        num_workers=config.num_workers,
        worker_init_fn=_leave_stopping_to_trainer,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # it would draw from the global generator otherwise
    )
    for batches in loader:
        yield [(x.to(device, non_blocking=True), y.to(device, non_blocking=True)) for x, y in batches]


def _collate(size: int, items: list[Batch]) -> list[Batch]:
    return [default_collate(items[start : start + size]) for start in range(0, len(items), size)]


def _leave_stopping_to_trainer(worker: int) -> None:
    """Ctrl-C and the scheduler's signals reach all processes; the training process still needs its workers
    to finish the step, and ends them itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
