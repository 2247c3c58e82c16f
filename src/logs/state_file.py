"""state.json: the status of a run, its heartbeat and how far it is; and the file `done`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src import experiment, files, processes
from src.experiment import Status
from src.logs.listeners import Listener, Outcome, Start
from src.logs.resources import process_peak_mb

HEARTBEAT_SECONDS = 2.0  # least time between two writes of state.json


class StateFile(Listener):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._beat = 0.0
        self._start: Start | None = None
        earlier = experiment.read_state(folder)
        saved_step = earlier.get("saved_step", 0)
        self._state: dict[str, Any] = {
            "status": Status.RUNNING,
            "attempt": earlier.get("attempt", 0) + 1,
            "job_id": experiment.slurm_job_id(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_start": processes.process_start(os.getpid()),
            "started": experiment.now(),
            "heartbeat": experiment.now(),
            "cause": None,
            "peak_memory_mb": None,
            "epoch": 0,
            "step": 0,
            "total_steps": None,
            "first_step": saved_step,  # what this attempt starts from
            "saved_step": saved_step,  # of checkpoint.pt
            "stalled": experiment.stalled_restarts(earlier),
        }

    def opened(self) -> None:
        (self.folder / experiment.DONE).unlink(missing_ok=True)
        self._write(durable=True)

    def started(self, start: Start) -> None:
        self._start = start
        self._state |= {"step": start.step, "total_steps": start.total_steps}

    def step(self, step: int, values: Mapping[str, float]) -> None:
        self._state["step"] = step
        if time.monotonic() - self._beat > HEARTBEAT_SECONDS:
            self._write(durable=False)

    def epoch(self, row: Mapping[str, Any]) -> None:
        assert self._start is not None, "started comes before the first epoch"
        self._state |= {"epoch": row["epoch"], "figures": self._start.figures(row)}
        self._write(durable=False)

    def saved(self, step: int) -> None:
        self._state["saved_step"] = step

    def closed(self, outcome: Outcome) -> None:
        self._state |= {"status": outcome.status, "cause": outcome.cause, "peak_memory_mb": process_peak_mb()}
        self._write(durable=True)
        if outcome.status == Status.DONE:
            files.write_text(self.folder / experiment.DONE, "")

    def _write(self, *, durable: bool) -> None:
        self._beat = time.monotonic()
        self._state["heartbeat"] = experiment.now()
        experiment.write_state(self.folder, self._state, durable=durable)
