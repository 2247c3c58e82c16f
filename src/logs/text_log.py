"""training.log, written by loguru."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger as global_logger

from src import experiment
from src.experiment import Status
from src.logs.listeners import Listener, Outcome, Start

FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} | {message}"


class TextLog(Listener):
    """Appends to training.log, and prints the same lines with `to_stdout`.

    A line that cannot be written, on a full disk, is dropped; it is stats.csv that may not be lost.
    """

    def __init__(self, folder: Path, to_stdout: bool) -> None:
        self.path = folder / experiment.LOG
        self.to_stdout = to_stdout

    def opened(self) -> None:
        self._file = self.path.open("ab", buffering=0)  # whole lines: nothing waits in a buffer when the process dies
        self.log = own_logger()
        self.log.add(self._write, format=FORMAT, backtrace=False, diagnose=False)  # diagnose would print values
        if self.to_stdout:
            self.log.add(sys.stdout, format=FORMAT, colorize=False, backtrace=False, diagnose=False)

    def started(self, start: Start) -> None:
        self._start = start
        attempt = experiment.read_state(self.path.parent).get("attempt", 1)
        self.log.info(
            "attempt {}: step {} of {}; {} parameters", attempt, start.step, start.total_steps, start.n_parameters
        )

    def step(self, step: int, values: Mapping[str, float]) -> None:
        if values:
            self.log.info("epoch {epoch}  step {step}  loss {loss:.6g}  lr {lr:.6g}", step=step, **values)

    def note(self, text: str) -> None:
        self.log.info("{}", text)

    def epoch(self, row: Mapping[str, Any]) -> None:
        figures = self._start.figures(row)
        self.log.info(
            "epoch {} over  {}", row["epoch"], "  ".join(f"{name} {value:.6g}" for name, value in figures.items())
        )

    def closed(self, outcome: Outcome) -> None:
        if outcome.status == Status.FAILED and isinstance(outcome.error, Exception):
            self.log.opt(exception=outcome.error).error("failed")
        else:
            self.log.info("{}{}", outcome.status, f": {outcome.cause}" if outcome.cause else "")
        self.log.remove()
        self._file.close()

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(line.encode())


def own_logger() -> Any:
    """A loguru logger that shares no sink with any other.

    loguru has one global logger, whose sinks are the importing program's: they would print every line of every run.
    This is the logger that loguru itself makes when it is imported, made once more; loguru has no public name for it.
    """
    core = type(global_logger._core)()  # type: ignore[attr-defined]
    return type(global_logger)(core, None, 0, False, False, False, False, True, [], {})  # type: ignore[call-arg]
