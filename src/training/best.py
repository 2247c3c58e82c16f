"""Which epoch was the best so far, for early stopping and for best_checkpoint.pt."""

from __future__ import annotations

import math
import re
from typing import Any

from src.config import Config


class BestEpoch:
    """Follows the stats columns that match best_checkpoint_metric, in the direction of best_checkpoint_mode."""

    def __init__(self, config: Config, columns: list[str]) -> None:
        """Raises ValueError, which lists the columns, if the metric is needed and matches none."""
        self.patience = config.early_stopping_patience
        self.sign = 1 if config.best_checkpoint_mode == "max" else -1
        pattern = re.compile(config.best_checkpoint_metric)
        self.columns = [column for column in columns if pattern.fullmatch(column)]
        if not self.columns and (config.save_best_checkpoint or self.patience is not None):
            raise ValueError(
                f"best_checkpoint_metric {config.best_checkpoint_metric!r} matches no column of stats.csv; "
                f"the columns are {', '.join(columns)}"
            )
        self.value: float | None = None
        self.column = ""  # the column that held the best value
        self.epochs_without_improvement = 0

    def update(self, row: dict[str, Any]) -> bool:
        """Take in an epoch's row; whether it is the best so far. Values that are not finite never are."""
        values = {column: row[column] for column in self.columns if math.isfinite(row[column])}
        column = max(values, key=lambda c: self.sign * values[c], default="")
        improved = bool(values) and (self.value is None or self.sign * (values[column] - self.value) > 0)
        if improved:
            self.value, self.column, self.epochs_without_improvement = values[column], column, 0
        else:
            self.epochs_without_improvement += 1
        return improved

    @property
    def model(self) -> str:
        """The model that the best value is of: `av` or `last`."""
        return "av" if "/av/" in self.column else "last"

    @property
    def out_of_patience(self) -> bool:
        return self.patience is not None and self.epochs_without_improvement >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "column": self.column,
            "epochs_without_improvement": self.epochs_without_improvement,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.column = state["value"], state["column"]
        self.epochs_without_improvement = state["epochs_without_improvement"]
