"""An experiment's folder: the names of its files, its state.json, and writing that is never seen half done.

This is the one room that train.py and submit_multiple.py share; it knows neither grids nor torch.
"""

from __future__ import annotations

import enum
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src import yaml_io

SPEC = "spec.yaml"  # what was asked for: the input of train.py
CONFIG = "config.yaml"  # what was run
STATS = "stats.csv"
LOG = "training.log"
STATE = "state.json"
CHECKPOINT = "checkpoint.pt"
BEST_CHECKPOINT = "best_checkpoint.pt"
GIT_COMMIT = "GIT_COMMIT"  # in a snapshot of the code: the commit that it was taken from
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


def code_version() -> str | None:
    """The git commit of the code that runs, with '-dirty' if files differ from it; None outside of git.

    A job's snapshot has left git; what it was taken from stands in its GIT_COMMIT.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / GIT_COMMIT).exists():
        return (root / GIT_COMMIT).read_text(encoding="utf-8").strip() or None
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):  # no git program, or a repository without a commit
        return None
    return commit.strip() + ("-dirty" if changes.strip() else "")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a path beside `path` to write to; renames it over `path` when the block ends well.

    `durable` waits until the bytes are on the disk first, so that a power cut cannot leave an empty file.
    A block that raises leaves `path` as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        temporary.replace(path)
        if durable:
            _flush_folder(path.parent)
    except OSError as error:  # "no space left" does not say for which file
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Wait until a renaming in the folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_litter(folder: Path) -> None:
    """Delete what processes that were killed while writing have left in the folder."""
    for temporary in folder.glob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a text file whole or not at all."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
    return pid != os.getpid() and lives(pid, state.get("process_start"))


def lives(pid: int, started: int | None) -> bool:
    """Whether the process of this machine with that number lives, and is the one that had started then (None: any)."""
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except PermissionError:
        pass  # alive, and somebody else's
    except (OSError, OverflowError):
        return False
    now = process_start(pid)
    return started is None or now is None or started == now  # another one: the number was given to a new process


def process_start(pid: int) -> int | None:
    """When a process of this machine started, in clock ticks since the machine did; None where that is not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])  # behind the program's name, which may hold anything
    except (OSError, ValueError, IndexError):
        return None
