"""Job folders made by format alone, for the tests of results, plots, report and notebook: nothing is trained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src import config, experiment, files, yaml_io

GRID = {"model": ["linear", "tiny/lenet"], "base_lr": [0.001, 0.01, 0.1], "batch_size": [32, 128]}  # 12 experiments


def make_experiment(
    folder: Path,
    options: dict[str, Any],
    *,
    status: str = "done",
    epochs: int = 5,
    cause: str | None = None,
    loss: float = 0.5,
) -> Path:
    """Writes one experiment's folder. `loss` is the final one of the train split; accuracy falls as it grows."""
    folder.mkdir(parents=True)
    files.write_text(folder / experiment.SPEC, yaml_io.dump(options), durable=False)
    experiment.write_state(folder, {"status": status, "cause": cause}, durable=False)
    if status != "pending":
        ran = config.to_dict(config.build(options)) | {"host_name": "node1", "data_n_classes": 10}
        files.write_text(folder / experiment.CONFIG, yaml_io.dump(ran | {"output_dir": str(folder)}), durable=False)
        stats(epochs, loss, options.get("base_lr", 1.0)).to_csv(folder / experiment.STATS, index=False)
    if status == "done":
        (folder / experiment.DONE).touch()
    return folder


def make_job(folder: Path, grid: dict[str, list[Any]] | None = None, epochs: int = 5) -> Path:
    """Writes a job of finished experiments, one for each combination in the grid; returns its folder."""
    grid = grid or GRID
    for number, values in enumerate(itertools.product(*grid.values())):
        options = dict(zip(grid, values, strict=True))
        loss = 0.2 + 0.3 * abs(np.log10(options.get("base_lr", 1.0) / 0.03)) ** 2 + 0.01 * (number % 5)
        make_experiment(folder / f"{number:02}_experiment", options, epochs=epochs, loss=loss)
    return folder


def stats(epochs: int, loss: float, learning_rate: float) -> pd.DataFrame:
    """A stats.csv whose losses fall towards `loss`."""
    epoch = np.arange(1, epochs + 1)
    losses = loss + 2 * np.exp(-0.8 * epoch)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "timestamp": [f"2025-01-31T12:{minute:02}:00+00:00" for minute in epoch % 60],
            "step": epoch * 14,
            "train/loss": losses,
            "train/accuracy": np.exp(-losses),
            "train/learning_rate": learning_rate,
            "test/last/loss": 1.1 * losses,
            "test/last/accuracy": np.exp(-1.1 * losses),
            "test/av/loss": 1.05 * losses,
            "test/av/accuracy": np.exp(-1.05 * losses),
        }
    )
