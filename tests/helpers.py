"""Functions that tests of several rooms share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from warm import WarmProcess

from src.config import Config
from train import experiment_generator

ROOT = Path(__file__).resolve().parent.parent

# Columns that a clock decides: the only ones in which two runs of one seeded config may differ.
CLOCK = r"^timestamp$|time$|samples_per_second$"


def stats_without_clock(folder: Path) -> str:
    """The text of stats.csv less the columns that a clock decides, every other digit as it is in the file."""
    stats = pd.read_csv(folder / "stats.csv", dtype=str, keep_default_na=False)
    return stats.drop(columns=stats.filter(regex=CLOCK).columns).to_csv(index=False)


def start_command(
    *arguments: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None, **options: bool
) -> WarmProcess:
    """Starts `python <arguments>`, a script, from the repository's root; what it imports is loaded already."""
    return WarmProcess([*map(str, arguments)], cwd, os.environ if env is None else env, **options)


def run_command(*arguments: str | Path, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `python <arguments>` to its end, as `start_command` does."""
    with start_command(*arguments, **options) as process:
        out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def run_fresh(
    *arguments: str | Path, cwd: Path = ROOT, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs `python <arguments>` in a Python that has imported nothing: seconds slower, where imports are the subject."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout, **options
    )


def wait_until(reached: Callable[[], bool], *processes: WarmProcess | subprocess.Popen[Any]) -> None:
    """Waits; fails if one of the processes that should bring it about has ended, or after two minutes."""
    deadline = time.monotonic() + 120
    while not reached():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run_in_parts(config: Config) -> int:
    """Runs an experiment to its end, broken off after each epoch and resumed; the number of attempts it took."""
    n_attempts = 0
    while not (Path(str(config.output_dir)) / "done").exists():
        for _ in experiment_generator(config):
            break
        n_attempts += 1
    return n_attempts
