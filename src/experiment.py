"""An experiment's folder: the names of its files, and its state.json.

This is the one room that train.py and submit_multiple.py share; it knows neither grids nor torch.
"""

from __future__ import annotations

import enum
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src import processes, yaml_io
from src.files import write_text

SPEC = "spec.yaml"  # what was asked for: the input of train.py
CONFIG = "config.yaml"  # what was run
STATS = "stats.csv"
LOG = "training.log"
STATE = "state.json"
CHECKPOINT = "checkpoint.pt"
BEST_CHECKPOINT = "best_checkpoint.pt"
DONE = "done"  # empty; there if and only if the experiment has finished

# Exit codes of train.py; a stop by a signal is 128 + its number (130 for Ctrl-C), as shells have it.
EXIT_DONE, EXIT_FAILED, EXIT_BAD_CONFIG, EXIT_DIVERGED = 0, 1, 2, 3


class Status(enum.StrEnum):
    """What state.json says of an experiment."""

    PENDING = "pending"  # written, perhaps queued, never started
    RUNNING = "running"
    REQUEUED = "requeued"  # stopped by SLURM, which will start it again
    DONE = "done"
    FAILED = "failed"  # stopped before its end; `cause` says why
    ENDED = "ended"  # closed on purpose by the calling program
    DIVERGED = "diverged"  # its loss became too large or not finite


class Diverged(Exception):
    """The run's loss became larger than max_allowed_loss, or not finite."""


def now() -> str:
    """UTC time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_run_folder(name: str) -> Path:
    """Makes and returns runs/<yy-mm-dd>-<name>, with -2, -3, ... behind it if that is taken."""
    stem = f"{datetime.now():%y-%m-%d}-{name}"
    for number in range(1, 10_000):
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise ValueError(f"runs/ has 10,000 folders named {stem}; tidy it up or set output_dir")


def earlier_config(folder: Path) -> dict[str, Any]:
    """The config.yaml of an earlier attempt in this folder; empty if there is none that can be read."""
    try:
        data = yaml_io.read(folder / CONFIG).data
    except yaml_io.YamlError:
        return {}
    return data if isinstance(data, dict) else {}


def read_state(folder: Path) -> dict[str, Any]:
    """What state.json says; an empty dictionary if there is none or it cannot be read."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(folder: Path, state: dict[str, Any], *, durable: bool = True) -> None:
    write_text(folder / STATE, json.dumps(state, indent=1) + "\n", durable=durable)


def status(folder: Path, said: dict[str, Any] | None = None) -> Status:
    """The experiment's status: `done` if the file says so, else state.json's, else pending.

    `said`: what state.json says, if it was read already.
    """
    if (folder / DONE).exists():
        return Status.DONE
    word = (read_state(folder) if said is None else said).get("status")
    # a state.json that says done without the file was written just before a crash: it has to run again
    return Status(word) if word in set(Status) - {Status.DONE} else Status.PENDING


def was_stopped(said: dict[str, Any]) -> bool:
    """Whether state.json tells of an end by a signal that let the run save its state: it may be started again."""
    return str(said.get("cause")).startswith("stopped by ")


def slurm_job_id() -> str | None:
    """The SLURM job that this process runs in, `123`, or `123_4` for a task of an array; None outside of SLURM."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):  # SLURM_JOB_ID may be that of the whole array
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def runs_here(folder: Path) -> bool:
    """Whether state.json says that the experiment runs on this machine, in another process that is alive."""
    state = read_state(folder)
    if status(folder) != Status.RUNNING or state.get("host") != socket.gethostname():
        return False
    try:
        pid = int(state["pid"])
    except (KeyError, TypeError, ValueError):
        return False
    return pid != os.getpid() and processes.lives(pid, state.get("process_start"))
