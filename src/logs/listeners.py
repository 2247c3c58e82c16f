"""Listeners: whatever watches a run is a Listener, each in its own file.

A listener never changes a run. It is called in the training process, so `step` must be cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from src import experiment
from src.experiment import Status


@dataclass(frozen=True)
class Start:
    """Where a run starts, and how long it is."""

    step: int  # more than 0 if it is resumed
    total_steps: int
    n_parameters: int
    metrics: tuple[str, ...]  # the last parts of the columns of stats.csv that are metrics

    def figures(self, row: Mapping[str, Any]) -> dict[str, float]:
        """The metrics among the columns of an epoch's row."""
        return {name: value for name, value in row.items() if name.rpartition("/")[2] in self.metrics}


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Status
    cause: str | None = None  # in a line; None: it is done
    error: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException | None) -> Outcome:
        """The outcome of a run that ended with this exception."""
        if error is None:
            return cls(Status.DONE)
        if isinstance(error, GeneratorExit):
            return cls(Status.ENDED, "closed by the calling program", error)
        if isinstance(error, experiment.Diverged):
            return cls(Status.DIVERGED, str(error), error)
        if isinstance(error, KeyboardInterrupt):
            return cls(Status.FAILED, str(error) or "interrupted", error)
        name, text = type(error).__name__, (str(error).splitlines() or [""])[0]
        return cls(Status.FAILED, f"{name}: {text}" if text else name, error)


class Listener:
    """The events of a run; a listener overrides the methods that it needs."""

    def opened(self) -> None:
        """An attempt at the run begins; data and model are not loaded yet."""

    def started(self, start: Start) -> None:
        """The first step follows."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """`step` optimizer steps are done. `values` (epoch, loss, lr) is filled every log_interval steps, and else empty."""

    def note(self, text: str) -> None:
        """A line for the log."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch is trained and evaluated, and its row is in stats.csv."""

    def saved(self, step: int) -> None:
        """checkpoint.pt now holds the state after `step`."""

    def closed(self, outcome: Outcome) -> None:
        """The attempt is over. Called for every listener whose `opened` has returned."""


class Listeners(Listener):
    """Passes each event on to several listeners, in their order; they are closed in the reverse order.

    The run takes place within its block; how the block ends is its outcome.
    """

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners
        self._closing = ExitStack()
        self._outcome = Outcome.of(None)

    def started(self, start: Start) -> None:
        for listener in self.listeners:
            listener.started(start)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        for listener in self.listeners:
            listener.step(step, values)

    def note(self, text: str) -> None:
        for listener in self.listeners:
            listener.note(text)

    def epoch(self, row: Mapping[str, Any]) -> None:
        for listener in self.listeners:
            listener.epoch(row)

    def saved(self, step: int) -> None:
        for listener in self.listeners:
            listener.saved(step)

    def __enter__(self) -> Listeners:
        try:
            for listener in self.listeners:
                listener.opened()
                self._closing.callback(self._close, listener)
        except BaseException as error:  # no block is entered, so those that are open have to be closed here
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._outcome = Outcome.of(error)
        self._closing.close()

    def _close(self, listener: Listener) -> None:
        listener.closed(self._outcome)
