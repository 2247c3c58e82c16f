"""Why an experiment failed: one word for each kind of cause, from all who report it.

These are the experiment itself (state.json), SLURM's state of its job, and SLURM's messages at the end of
the job's log. report.py groups by the word, and `-r --only WORD` takes it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from pathlib import Path


class Cause(enum.StrEnum):
    OOM = "oom"
    TIMEOUT = "timeout"
    NODE = "node"
    NAN = "nan"
    EXCEPTION = "exception"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    LOST = "lost"
    PENDING = "pending"


MEANING = {
    Cause.OOM: "out of memory, of the machine or of the GPU",
    Cause.TIMEOUT: "the time limit ended it",
    Cause.NODE: "its node failed",
    Cause.NAN: "the loss became too large or not finite",
    Cause.EXCEPTION: "a Python exception, or a config that cannot be run",
    Cause.CANCELLED: "cancelled, by scancel",
    Cause.STOPPED: "stopped or killed by a signal: Ctrl-C, kill",
    Cause.LOST: "neither the experiment nor SLURM reports why it ended",
    Cause.PENDING: "never submitted, or never started",
}

_BY_SLURM = {
    "OUT_OF_MEMORY": Cause.OOM,
    "TIMEOUT": Cause.TIMEOUT,
    "DEADLINE": Cause.TIMEOUT,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
    "CANCELLED": Cause.CANCELLED,
    "PREEMPTED": Cause.STOPPED,
}

# What SLURM's stepd writes into a job's log when it ends the job.
_IN_LOG = {
    r"oom.kill|exceeded (job |step )?memory limit|out-of-memory handler": "OUT_OF_MEMORY",
    r"\*\*\* .*DUE TO TIME LIMIT": "TIMEOUT",
    r"\*\*\* .*DUE TO NODE FAILURE": "NODE_FAIL",
    r"\*\*\* .*DUE TO PREEMPTION": "PREEMPTED",
    r"\*\*\* .*DUE TO JOB REQUEUE": "REQUEUED",
    r"\*\*\* .*CANCELLED AT": "CANCELLED",
}
_MEMORY = r"out of memory|OutOfMemory|MemoryError|(can't|[Cc]annot) allocate memory|ALLOC_FAILED"
_LAST_LINES = 8
_LAST_BYTES = 8192


def classify(text: str, slurm_state: str = "") -> Cause:
    """The cause of a failure.

    `text`: the cause that the experiment reported, or empty; `slurm_state`: the state of its job, if it is known.
    The experiment's report counts for more, except for a signal: the experiment does not know who sent it.
    """
    if re.search(_MEMORY, text):
        return Cause.OOM
    if "time limit was near" in text:  # and the job could not be requeued
        return Cause.TIMEOUT
    if text and not is_from_outside(text):
        return Cause.EXCEPTION
    return _BY_SLURM.get(slurm_state, Cause.STOPPED if text else Cause.LOST)


def is_from_outside(text: str) -> bool:
    """Whether the cause that an experiment reported came from outside: a signal, or the calling program."""
    return text.startswith(("stopped by ", "killed by ", "interrupted", "closed by "))


def slurm_state_in(logs: Iterable[Path]) -> str:
    """SLURM's state of a job, from the newest two of its logs; empty if they do not have it."""
    by_age = sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)
    return next(filter(None, (_slurm_state(_end(log)) for log in by_age[:-3:-1])), "")


def _slurm_state(text: str) -> str:
    """SLURM's state of a job, from the end of a log. Lines above the latest start belong to an earlier run of the job."""
    latest = re.split(r"^.*: started$", text, flags=re.MULTILINE)[-1]
    end = "\n".join(latest.splitlines()[-_LAST_LINES:])
    return next((state for pattern, state in _IN_LOG.items() if re.search(pattern, end)), "")


def _end(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_BYTES))
        return file.read().decode(errors="replace")
