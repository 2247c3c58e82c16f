"""Tiny experiments in processes forked from one that has imported torch, against a fresh process for each.

    python benchmarks/forked_experiments.py [N] [ROUNDS]

Both sides run the same N experiments (linear on digits, one epoch), one at a time, alternately for ROUNDS rounds.
Prints the CPU seconds and the wall seconds of an experiment, and their ratios: median, smallest and largest.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPEC = """
dataset: sklearn/digits
data_splits_map: {{train: 'train[:80%]', test: 'train[80%:]'}}
model: linear
base_lr: 0.1
train_length: 1
seed_model: 0
seed_training: {seed}
output_dir: {folder}
"""


def specs(folder: Path, n: int) -> list[str]:
    paths = []
    for seed in range(n):
        path = folder / str(seed) / "spec.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(SPEC.format(seed=seed, folder=path.parent))
        paths.append(str(path))
    return paths


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, check=True, capture_output=True)


def fresh(paths: list[str]) -> None:
    for path in paths:
        run(path)


def forked(paths: list[str]) -> None:
    run(*paths, "--parallel", "1")


def seconds_each(side: object, n: int) -> tuple[float, float]:
    """CPU and wall seconds of an experiment."""
    with tempfile.TemporaryDirectory() as folder:
        paths = specs(Path(folder), n)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        side(paths)  # type: ignore[operator]
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert all((Path(path).parent / "done").exists() for path in paths)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / n, wall / n


def main(n: int = 12, rounds: int = 3) -> None:
    measured: dict[str, list[tuple[float, float]]] = {"fresh": [], "forked": []}
    for _ in range(rounds):
        measured["fresh"].append(seconds_each(fresh, n))
        measured["forked"].append(seconds_each(forked, n))
    for which, name in enumerate(("CPU", "wall")):
        sides = {side: [figures[which] for figures in rows] for side, rows in measured.items()}
        ratios = [a / b for a, b in zip(sides["fresh"], sides["forked"], strict=True)]
        for side, values in [*sides.items(), ("ratio fresh/forked", ratios)]:
            print(f"{name:5} {side:20} {statistics.median(values):7.2f}  ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
