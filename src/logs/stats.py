"""stats.csv: a row an epoch, columns in an order that is known before the first epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from src.files import write_text

_TRAIN = ["seen_examples", "learning_rate", "grad_norm", "samples_per_second", "time", "data_time", "peak_memory_mb"]


def columns(evaluations: Iterable[str], classification: bool) -> list[str]:
    """The columns of a run whose evaluations are named `<split>/<last|av>`, such as test/last."""
    metrics = ["loss", "accuracy"] if classification else ["loss"]
    return [
        "epoch",
        "timestamp",
        "step",
        *(f"train/{metric}" for metric in [*metrics, *_TRAIN]),
        *(f"{name}/{metric}" for name in evaluations for metric in [*metrics, "time", "data_time"]),
    ]


def table(rows: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    """The rows as a data frame; what a row lacks is empty."""
    return pd.DataFrame(rows, columns=names)


def prefixed(prefix: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in figures.items()}


def write(path: Path, stats: pd.DataFrame) -> None:
    """Write it whole or not at all; numbers in the shortest form that reads back to the same number.

    A run that resumes from a checkpoint older than its last epoch comes to epochs again that the file
    already has, with the same figures: until it is past them the longer file stays.
    """
    if len(stats) >= _rows_on_disk(path):
        write_text(path, stats.to_csv(index=False, lineterminator="\n"))


def _rows_on_disk(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n") - 1
    except FileNotFoundError:
        return 0
