"""Which epoch was the best so far, for early stopping and for best_checkpoint.pt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from src.config import Config, judged_columns


class BestEpoch:
    """Follows the stats columns that best_checkpoint_metric names, in the direction of best_checkpoint_mode.

    `value` is the best so far, for patience; `kept` is that of best_checkpoint.pt, which may be saved only since a resume.
    """

    def __init__(self, config: Config, evaluations: list[str], modes: Mapping[str, str]) -> None:
        """Raises ValueError, which lists the columns, if the metric is needed and is not one of the run's."""
        self.patience = config.early_stopping_patience
        self.columns: list[str] = []
        mode: str = "max"
        if config.save_best_checkpoint or self.patience is not None:
            self.columns, mode = judged_columns(config, evaluations, modes)
        self.sign = 1 if mode == "max" else -1
        self.value: float | None = None
        self.kept: float | None = None
        self.epochs_without_improvement = 0

    def update(self, row: dict[str, Any]) -> None:
        """Take in an epoch's row. Values that are not finite are never the best."""
        values = {column: row[column] for column in self.columns if math.isfinite(row[column])}
        self.column = max(values, key=lambda c: self.sign * values[c], default="")  # of this epoch
        self.now = values.get(self.column)
        if self._is_better(self.value):
            self.value, self.epochs_without_improvement = self.now, 0
        else:
            self.epochs_without_improvement += 1

    @property
    def is_to_keep(self) -> bool:
        """Whether this epoch is better than the one in best_checkpoint.pt."""
        return self._is_better(self.kept)

    def _is_better(self, than: float | None) -> bool:
        return self.now is not None and (than is None or self.sign * (self.now - than) > 0)

    @property
    def model(self) -> str:
        """The model that this epoch's value is of: `av` or `last`."""
        return "av" if "/av/" in self.column else "last"

    @property
    def out_of_patience(self) -> bool:
        return self.patience is not None and self.epochs_without_improvement >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "kept": self.kept,
            "epochs_without_improvement": self.epochs_without_improvement,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.kept = state["value"], state.get("kept", state["value"])
        self.epochs_without_improvement = state["epochs_without_improvement"]
