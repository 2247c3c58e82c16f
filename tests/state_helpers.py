"""Experiments in every state: what their state.json reports, and what becomes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from src import experiment
from src.jobs.states import Outcome, read_outcomes


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def write(folder: Path, **reported: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / experiment.SPEC).touch()
    experiment.write_state(folder, reported, durable=False)
    return folder


def outcome(folder: Path) -> Outcome:
    (only,) = read_outcomes([folder]).all
    return only


# a heart that beats while the suite runs, however long that takes
FRESH, OLD = (
    {"heartbeat": ago(-10_000), "host": "node1"},
    {"heartbeat": ago(200_000), "host": "node1"},
)  # 2.3 days: a slow test run does not age it
RUNNING = {"status": "running", "job_id": "7"}
STOPPED = {"status": "failed", "cause": "stopped by SIGTERM", "job_id": "7"}
