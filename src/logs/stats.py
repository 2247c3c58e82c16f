"""stats.csv: a row an epoch, columns in an order that is known before the first epoch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from src.files import write_text

_TRAIN = ["seen_examples", "learning_rate", "grad_norm", "samples_per_second", "time", "data_time", "peak_memory_mb"]


def columns(evaluations: Iterable[str], metrics: Iterable[str]) -> list[str]:
    """The columns of a run whose evaluations are named `<split>/<last|av>`, such as test/last."""
    metrics = list(metrics)
    return [
        "epoch",
        "timestamp",
        "step",
        *(f"train/{name}" for name in [*metrics, *_TRAIN]),
        *(f"{evaluation}/{name}" for evaluation in evaluations for name in [*metrics, "time", "data_time"]),
    ]


def table(rows: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    """The rows as a data frame; what a row lacks is empty."""
    return pd.DataFrame(rows, columns=names)


def write(path: Path, rows: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    """Write the rows whole or not at all, and return them as a data frame.

    Numbers are written in the shortest form that reads back to the same number.

    A run that resumes from a checkpoint older than its last epoch comes to epochs again that the file
    already has, with the same figures: until it is past them the longer file stays.
    """
    stats = table(rows, names)
    if len(stats) >= _rows_on_disk(path):
        write_text(path, stats.to_csv(index=False, lineterminator="\n"))
    return stats


def _rows_on_disk(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n") - 1
    except FileNotFoundError:
        return 0
