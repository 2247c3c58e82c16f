"""The progress bar of a run on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from src.logs.listeners import Listener, Outcome, Start


class ProgressBar(Listener):
    def __init__(self, name: str) -> None:
        self.name = name
        self._bar: Any = None

    def started(self, start: Start) -> None:
        self._start = start
        self._bar = tqdm(
            total=start.total_steps,
            initial=start.step,
            unit="step",
            desc=self.name[:40],
            dynamic_ncols=True,
            disable=None,  # no bar where stderr is no terminal
        )

    def step(self, step: int, values: Mapping[str, float]) -> None:
        self._bar.update(step - self._bar.n)

    def epoch(self, row: Mapping[str, Any]) -> None:
        figures = self._start.figures(row)
        self._bar.set_postfix_str("  ".join(f"{name} {value:.6g}" for name, value in figures.items()))

    def closed(self, outcome: Outcome) -> None:
        if self._bar is not None:
            self._bar.close()
