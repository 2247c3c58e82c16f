"""Whether a process of this machine is alive, and is still the one it was."""

from __future__ import annotations

import os
from pathlib import Path


def lives(pid: int, started: int | None) -> bool:
    """Whether the process of this machine with that number lives, and is the one that had started then (None: any)."""
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except PermissionError:
        pass  # alive, and another user's
    except (OSError, OverflowError):
        return False
    now = process_start(pid)
    return started is None or now is None or started == now  # another one: the number was given to a new process


def process_start(pid: int) -> int | None:
    """When a process of this machine started, in clock ticks since the machine did; None where /proc does not exist."""
    return _stat(pid, 19)


def parent(pid: int) -> int | None:
    """The process that started a process of this machine; None where /proc does not exist."""
    return _stat(pid, 1)


def _stat(pid: int, field: int) -> int | None:
    """A field of /proc/<pid>/stat, counted from the one behind the program's name, which may hold anything."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[field])
    except (OSError, ValueError, IndexError):
        return None
