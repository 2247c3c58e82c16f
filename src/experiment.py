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

ARRAY, PACK = ".array", ".pack"  # endings of lists of spec.yaml files (src/running/lists.py)

# Exit codes of train.py; a stop by a signal is 128 + its number (130 for Ctrl-C), as shells have it.
EXIT_DONE, EXIT_FAILED, EXIT_BAD_CONFIG, EXIT_DIVERGED = 0, 1, 2, 3


class Status(enum.StrEnum):
    """The status of an experiment in state.json."""

    PENDING = "pending"  # written, perhaps queued, never started
    RUNNING = "running"
    REQUEUED = "requeued"  # stopped by SLURM, which will start it again
    DONE = "done"
    FAILED = "failed"  # stopped before its end; `cause` is the reason
    ENDED = "ended"  # closed on purpose by the calling program; it can be resumed
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


def read_options(folder: Path, name: str = SPEC) -> dict[str, Any]:
    """The options in an experiment's spec.yaml, or in its config.yaml; empty if it cannot be read."""
    try:
        data = yaml_io.read(folder / name).data
    except yaml_io.YamlError:
        return {}
    return data if isinstance(data, dict) else {}


def read_state(folder: Path) -> dict[str, Any]:
    """The content of state.json; empty if there is none or it cannot be read."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(folder: Path, state: dict[str, Any], *, durable: bool = True) -> None:
    write_text(folder / STATE, json.dumps(state, indent=1) + "\n", durable=durable)


def status(folder: Path, state: dict[str, Any] | None = None) -> Status:
    """The experiment's status: `done` if that file exists, else state.json's, else pending.

    `state`: the content of state.json, if it was read already.
    """
    if (folder / DONE).exists():
        return Status.DONE
    word = (read_state(folder) if state is None else state).get("status")
    # a state.json with `done` and no such file was written just before a crash: the experiment has to run again
    return Status(word) if word in set(Status) - {Status.DONE} else Status.PENDING


def has_ended(folder: Path) -> bool:
    """Whether there is nothing left to do for the experiment: it is done, or was ended, or has failed by itself."""
    now = status(folder)
    if now == Status.FAILED:
        return not was_stopped(read_state(folder))
    return now in (Status.DONE, Status.ENDED, Status.DIVERGED)


def was_stopped(state: dict[str, Any]) -> bool:
    """Whether the run ended by a signal that let it save its state, by its state.json: it may be started again."""
    return str(state.get("cause")).startswith("stopped by ")


def slurm_job_id() -> str | None:
    """The SLURM job that this process runs in, `123`, or `123_4` for a task of an array; None outside of SLURM."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):  # SLURM_JOB_ID may be that of the whole array
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def stalled_restarts(state: dict[str, Any]) -> int:
    """How many restarts by SLURM in a row, with the one that starts this process, follow an attempt without progress.

    `state`: the state.json of the attempt before. Progress is a further step in checkpoint.pt.
    """
    restarted = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
    grew = state.get("saved_step", 0) > state.get("first_step", 0)
    return state.get("stalled", 0) + 1 if restarted and not grew else 0


def runs_here(folder: Path) -> bool:
    """Whether the experiment runs on this machine, in another process that is alive, by its state.json."""
    state = read_state(folder)
    if status(folder) != Status.RUNNING or state.get("host") != socket.gethostname():
        return False
    try:
        pid = int(state["pid"])
    except (KeyError, TypeError, ValueError):
        return False
    return pid != os.getpid() and processes.lives(pid, state.get("process_start"))
