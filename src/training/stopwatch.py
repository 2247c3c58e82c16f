"""How long something took, and how much of it was waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Runs from the moment it is made or started. Host clock: it does not wait for a GPU's unfinished work."""

    def __init__(self) -> None:
        self.start()
        self._before = 0.0  # seconds of earlier attempts at the same thing
        self.data_seconds = 0.0

    def start(self) -> None:
        """Count from now on, on top of what earlier attempts at the same thing took."""
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._start

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """The items; the time it takes to get each counts as waiting for data."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.data_seconds += time.perf_counter() - start
            yield item

    def state_dict(self) -> dict[str, float]:
        return {"time": self.seconds, "data_time": self.data_seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._before, self.data_seconds = state["time"], state["data_time"]
