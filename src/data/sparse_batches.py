"""Optimizer steps on sparse data: batches as CSR tensors, cut from rows that are picked for many steps at once.

To pick 128 rows of 75 values costs as much as a forward and a backward pass on them, and nearly all of that is a fixed
cost per call.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from src.data.source import Batch, Examples, csr_tensor

ROWS_AT_ONCE = 8192


def sparse_steps(
    data: Examples, steps: Iterator[Tensor], size: int, device: torch.device
) -> Generator[list[Batch], None, None]:
    """For each of `steps` (indices, int64 (n,), on the CPU): the list of its micro-batches (x, y) of `size` on `device`."""
    for first in steps:
        group = [first, *itertools.islice(steps, min(ROWS_AT_ONCE, len(data)) // len(first))]
        picked = data.take(torch.cat(group).numpy())
        start = 0
        for step in group:
            micro_batches = []
            for part in step.split(size):
                stop = start + len(part)
                x = csr_tensor(picked.x, start, stop)
                micro_batches.append((x.to(device, non_blocking=True), picked.y[start:stop].to(device)))
                start = stop
            yield micro_batches
