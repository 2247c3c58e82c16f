"""Which process runs an experiment, when several workers on several machines share a list of them.

A claim is a file in the experiment's folder, `.claim-1`, that only one process can create. It names its
holder, which touches it every BEAT seconds. If the holder is dead the next one creates `.claim-2`, and so on:
the claim with the highest number is the one that counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
from pathlib import Path

from src import experiment, processes

BEAT = 30.0  # seconds between two touches of a claim
DEAD_AFTER = 600.0  # seconds without one, after which a holder on another machine counts as dead


class Claim:
    """The right to run the experiment in `folder`, until `release`."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.number = number
        self._beat = time.monotonic()

    def is_kept(self) -> bool:
        """To be called often. False if another process considered us dead, and runs the experiment now."""
        if time.monotonic() - self._beat < BEAT:
            return True
        self._beat = time.monotonic()
        with contextlib.suppress(OSError):  # the folder was deleted, or its disk is away: no reason to end
            os.utime(_path(self.folder, self.number))
        return not _path(self.folder, self.number + 1).exists()

    def release(self) -> None:
        for number in range(1, self.number + 1):  # those of the dead before us too; ours last, as it counts
            _path(self.folder, number).unlink(missing_ok=True)


def take(folder: Path) -> Claim | None:
    """The claim of the experiment in `folder`; None if a process that lives holds it.

    Raises OSError. The caller checks afterwards whether the experiment still has to be run: an earlier
    holder may just have ended it.
    """
    number = _highest(folder)
    dead = _read(folder, number)
    if number and not (dead is not None and _is_dead(folder, number, dead)):
        return None
    try:
        handle = os.open(_path(folder, number + 1), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:  # another process won
        return None
    try:
        os.write(handle, json.dumps(_ourselves()).encode())
    finally:
        os.close(handle)
    claim = Claim(folder, number + 1)
    if number and _read(folder, number) != dead:  # it was released and taken anew, while we slept
        _path(folder, number + 1).unlink(missing_ok=True)
        return None
    return claim


def _path(folder: Path, number: int) -> Path:
    return folder / f".claim-{number}"


def _highest(folder: Path) -> int:
    """The number of the claim that counts; 0 if there is none."""
    numbers = [path.name.removeprefix(".claim-") for path in folder.glob(".claim-*")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _ourselves() -> dict[str, object]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": processes.process_start(os.getpid()),
        "job_id": experiment.slurm_job_id(),
        "restart": int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        "since": time.time_ns(),
    }


def _read(folder: Path, number: int) -> dict[str, object] | None:
    """The holder; empty if it has not written itself down yet; None without a claim."""
    try:
        text = _path(folder, number).read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        holder = json.loads(text)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_dead(folder: Path, number: int, holder: dict[str, object]) -> bool:
    we = _ourselves()
    if we["job_id"] is not None and holder.get("job_id") == we["job_id"] and holder.get("restart") != we["restart"]:
        return True  # an earlier start of our own SLURM job; SLURM runs a job once at a time
    if holder.get("host") == we["host"]:
        # the worker may be dead and what it has started not yet
        return not _lives(holder) and not experiment.runs_here(folder)
    try:
        return _file_clock(folder) - _path(folder, number).stat().st_mtime > DEAD_AFTER
    except FileNotFoundError:  # released this moment
        return False


def _lives(holder: dict[str, object]) -> bool:
    """Whether the holder, on this machine, is still the process that it was."""
    pid, started = holder.get("pid"), holder.get("process_start")
    return isinstance(pid, int) and processes.lives(pid, started if isinstance(started, int) else None)


def _file_clock(folder: Path) -> float:
    """The time as the file system has it: the machines' clocks may differ by more than a beat."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
