"""Batches of images in memory, against batches that the workers of a DataLoader read.

    python benchmarks/image_loading.py [N] [ROUNDS]

Both sides give the same batches of N artificial images of CIFAR's shape, without augmentation and with hflip and
random_crop_padding, alternately one pass each for ROUNDS rounds; a first pass, in which the workers start, is not
counted. Prints the seconds of a pass, and their ratio: median, smallest and largest.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from data.made_timm import made_cifar  # noqa: E402

from src import config as configs  # noqa: E402
from src.data import load_data  # noqa: E402
from src.data.batches import steps_per_pass, train_batches  # noqa: E402

SIDES: dict[str, dict[str, Any]] = {"memory": {}, "2 workers": {"image_memory_gb": 0, "num_workers": 2}}
AUGMENTATIONS: dict[str, dict[str, Any]] = {"plain": {}, "hflip+padding": {"hflip": 0.5, "random_crop_padding": 4}}


def batches(folder: str, **options: Any) -> Iterator[Any]:
    """Endless training batches of 128 images in random order."""
    config = configs.build(
        {"dataset": "timm/torch/cifar10", "data_dir": folder, "batch_size": 128, "seed_training": 0} | options
    )
    torch.set_num_threads(config.num_threads)
    return train_batches(load_data(config).splits["train"], config, torch.device("cpu"), seed=0)


def seconds_of_pass(steps: Iterator[Any], n_steps: int) -> float:
    start = time.perf_counter()
    for _ in itertools.islice(steps, n_steps):
        pass
    return time.perf_counter() - start


def main(n: int = 10_000, rounds: int = 5) -> None:
    n_steps = steps_per_pass(n, 128)
    with tempfile.TemporaryDirectory() as folder, made_cifar(folder, n_train=n):
        for name, augmentation in AUGMENTATIONS.items():
            seconds: dict[str, list[float]] = {side: [] for side in SIDES}
            for _ in range(rounds):
                for side, options in SIDES.items():
                    # one side at a time: workers read ahead, and would use the CPU of the other side
                    steps = batches(folder, **options, **augmentation)
                    seconds_of_pass(steps, n_steps)
                    seconds[side].append(seconds_of_pass(steps, n_steps))
                    steps.close()  # type: ignore[attr-defined]  # a generator
            ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
            for side, values in [*seconds.items(), ("ratio workers/memory", ratios)]:
                print(f"{name:14} {side:20} {statistics.median(values):8.3f}  ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
