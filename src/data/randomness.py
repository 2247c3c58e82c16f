"""Random numbers as a function of a seed and of what they are for, not of what was drawn before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *key: int) -> np.random.SeedSequence:
    """Well-mixed seed material for (seed, *key): numpy's SeedSequence with `key` as spawn key.

    Unlike seed + key, neighbouring seeds and keys give unrelated numbers, and (1, 2) is not (2, 1).
    """
    return np.random.SeedSequence(seed, spawn_key=key)


def torch_seed(seed: int, *key: int) -> int:
    """64 bits of `derive` for torch.Generator.manual_seed."""
    return int(derive(seed, *key).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(seed: int, *key: int) -> Iterator[None]:
    """Within the block python's, numpy's and torch's CPU generator start from (seed, *key); then they go on as before."""
    before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    start = torch_seed(seed, *key)
    random.seed(start)
    np.random.seed(derive(seed, *key).generate_state(4))
    torch.default_generator.manual_seed(start)  # torch.manual_seed would reach the GPU's generators too
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.default_generator.set_state(before[2])
