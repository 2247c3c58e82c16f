"""Random numbers as a function of a seed and a key that states their purpose, not of earlier draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *key: int) -> np.random.SeedSequence:
    """Well-mixed seed material for (seed, *key): numpy's SeedSequence with `key` as spawn key.

    Unlike with seed + key, neighbouring seeds and keys give unrelated numbers, and (1, 2) differs from (2, 1).
    """
    return np.random.SeedSequence(seed, spawn_key=key)


def torch_seed(seed: int, *key: int) -> int:
    """64 bits of `derive` for torch.Generator.manual_seed."""
    return int(derive(seed, *key).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(seed: int, *key: int) -> Iterator[None]:
    """In the block, Python's, numpy's and torch's CPU generators start from (seed, *key); then their states are restored."""
    before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    start = torch_seed(seed, *key)
    random.seed(start)
    np.random.seed(derive(seed, *key).generate_state(4))
    torch.default_generator.manual_seed(start)  # torch.manual_seed would seed the GPU's generators too
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.default_generator.set_state(before[2])
