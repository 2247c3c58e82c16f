"""Batches: data in memory are indexed as whole tensors, all other data go through a DataLoader.

The order of the data is a function of (seed, pass), the randomness of a sample of (seed, pass,
index). So batches depend neither on the number of workers nor on where a run was stopped and resumed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import math
import signal
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from src.config import Config
from src.data.contract import BadItem, check_alike
from src.data.randomness import seeded, torch_seed
from src.data.source import Batch, Examples, Items
from src.data.sparse_batches import sparse_steps
from src.signals import STOP_SIGNALS


def steps_per_pass(n: int, batch_size: int) -> int:
    """Optimizer steps of one pass over n examples; the last one may be short."""
    return math.ceil(n / batch_size)


def micro_batch_size(batch_size: int, grad_accum_steps: int) -> int:
    """Samples that go through the model at once: batch_size / grad_accum_steps, rounded up."""
    return math.ceil(batch_size / grad_accum_steps)


def train_batches(
    dataset: Examples | Items, config: Config, device: torch.device, seed: int, start_step: int = 0
) -> Generator[list[Batch], None, None]:
    """Endless; each item is one optimizer step: the list of its micro-batches (x, y) on `device`.

    Each pass visits every example once. From any `start_step` (optimizer steps since the beginning of the run) it
    yields what an uninterrupted run yields from there. Closing it ends its workers.
    """
    size, repeats = micro_batch_size(config.batch_size, config.grad_accum_steps), config.augment_repeats
    where = dataset.device if isinstance(dataset, Examples) else torch.device("cpu")
    steps = _steps(len(dataset), config.batch_size, repeats, seed, start_step, where)
    if isinstance(dataset, Items):
        keys = ([(number, i) for i in ids.tolist()] for number, ids in steps)
        yield from _load(dataset, keys, size, device, config.num_workers, seed, repeats)
    elif dataset.sparse:
        yield from sparse_steps(dataset, (ids // repeats for _, ids in steps), size, device)
    else:
        for number, step_ids in steps:
            yield [
                _transform(dataset, dataset.at(ids if repeats == 1 else ids // repeats, device), number, ids)
                for ids in step_ids.split(size)
            ]


def eval_batches(
    dataset: Examples | Items, batch_size: int, device: torch.device, num_workers: int, seed: int
) -> Iterator[Batch]:
    """One pass over the data in order, in batches (x, y) on `device`. `seed`: for items that draw random numbers."""
    if isinstance(dataset, Examples):
        for indices in torch.arange(len(dataset), device=dataset.device).split(batch_size):
            yield _transform(dataset, dataset.at(indices, device), 0, indices)
        return
    keys = ([(0, index) for index in indices.tolist()] for indices in torch.arange(len(dataset)).split(batch_size))
    for (batch,) in _load(dataset, keys, batch_size, device, num_workers, seed):
        yield batch


def _transform(dataset: Examples | Items, batch: Batch, number: int, ids: Tensor) -> Batch:
    return batch if dataset.transform is None else dataset.transform(*batch, number, ids)


# --- order --------------------------------------------------------------------------------------------


def _steps(
    n: int, batch_size: int, repeats: int, seed: int, start_step: int, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Endless (pass, sample ids), one an optimizer step. Several processes would share the ids of a step here.

    An id is the index of the example; with augment_repeats, index * augment_repeats + number of the copy.
    """
    first_pass, skip = divmod(start_step, steps_per_pass(n, batch_size))
    for number in itertools.count(first_pass):
        order = pass_order(n, seed, number)
        if repeats > 1:
            order = (order[:, None] * repeats + torch.arange(repeats)).flatten()[:n]
        if device.type == "cuda":  # a copy from pinned memory does not wait for the queued steps
            order = order.pin_memory().to(device, non_blocking=True)
        yield from ((number, ids) for ids in order.split(batch_size)[skip:])
        skip = 0


def pass_order(n: int, seed: int, number: int) -> Tensor:
    """The permutation of pass `number` over n examples: int64 (n,), a function of its arguments only."""
    generator = torch.Generator().manual_seed(torch_seed(seed, number))
    return torch.randperm(n, generator=generator)


# --- data that are read item by item ------------------------------------------------------------------


class _SeededItems(Dataset):
    """Reads sample `id` for pass `number` with random numbers that depend on these two and the seed only.

    A bad item is returned as a value: an exception of a worker process would arrive with its traceback as message.
    """

    def __init__(self, dataset: Items, seed: int, repeats: int) -> None:
        self.dataset, self.seed, self.repeats = dataset, seed, repeats

    def __getitem__(self, key: tuple[int, int]) -> tuple[Batch, tuple[int, int]] | BadItem:
        number, sample_id = key
        with seeded(self.seed, number, sample_id):
            try:
                return self.dataset[sample_id // self.repeats], key
            except BadItem as error:
                return error


def _load(
    dataset: Items,
    keys: Iterator[list[tuple[int, int]]],
    size: int,
    device: torch.device,
    num_workers: int,
    seed: int,
    repeats: int = 1,
) -> Iterator[list[Batch]]:
    """For each list of (pass, id): its items, collated into batches of `size`, on `device`.

    One iterator serves all passes, so workers start once and read ahead across passes.
    """
    loader = DataLoader(
        _SeededItems(dataset, seed, repeats),
        batch_sampler=keys,
        collate_fn=functools.partial(_collate, dataset, size, repeats),
        num_workers=num_workers,
        worker_init_fn=_ignore_stop_signals,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # without one it draws from the global generator
    )
    with _ended(iter(loader)) as steps:
        for loaded in steps:
            if isinstance(loaded, BadItem):
                raise loaded
            number, batches = loaded
            yield [_transform(dataset, (_to(device, x), _to(device, y)), number, ids) for x, y, ids in batches]


@contextlib.contextmanager
def _ended(steps: Any) -> Iterator[Iterator[Any]]:
    """Iterates over a loader, whose workers end with the block, or with this process.

    Without it they end with the last reference to the iterator, which a traceback keeps; and Python's exit sends them
    SIGTERM, which they ignore, and waits for them.
    """

    def end() -> None:
        if hasattr(steps, "_workers"):
            steps._shutdown_workers()
            for worker in steps._workers:  # one that is still in an item
                worker.kill()

    atexit.register(end)
    try:
        yield steps
    finally:
        atexit.unregister(end)
        end()


def _collate(
    dataset: Items, size: int, repeats: int, items: list[Any]
) -> tuple[int, list[tuple[Any, Tensor, Tensor]]] | BadItem:
    """The items of one step -> (pass, [(x, y, ids) of each batch of `size`]), or the first bad item."""
    for item in items:
        if isinstance(item, BadItem):
            return item
    batches = []
    for start in range(0, len(items), size):
        samples, keys = zip(*items[start : start + size], strict=True)
        xs, ys = zip(*samples, strict=True)
        try:
            batches.append(
                (dataset.collate(list(xs)), torch.stack(ys), torch.tensor([sample_id for _, sample_id in keys]))
            )
        except Exception as error:  # by far the most often because of their shapes, which are looked at only here
            names = [dataset.where(sample_id // repeats) for _, sample_id in keys]
            try:
                check_alike(xs, names, "an x")
                check_alike(ys, names, "a target")
            except BadItem as bad:
                return bad
            return BadItem(f"{names[0]} and {len(names) - 1} others make no batch: {type(error).__name__}: {error}")
    return items[0][1][0], batches


def _to(device: torch.device, x: Any) -> Any:
    if isinstance(x, dict):
        return {key: value.to(device, non_blocking=True) for key, value in x.items()}
    return x.to(device, non_blocking=True)


def _ignore_stop_signals(worker: int) -> None:
    """Ctrl-C and the scheduler's signals reach all processes; the training process needs its workers to finish the
    step, and ends them itself."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
