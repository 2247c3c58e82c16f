"""Why an experiment did not come to its end: one word for each kind of cause, whoever tells of it.

Three may tell: the experiment itself (state.json), SLURM's state of its job, and what SLURM wrote at the
end of the job's log. The word is what report.py groups by and what `-r --only WORD` takes.
"""

from __future__ import annotations

import enum
import re


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
    Cause.LOST: "it left neither a reason nor a trace in SLURM",
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


def classify(text: str, ended: str = "") -> Cause:
    """The cause of a failure.

    `text`: what the experiment said of itself, empty if it could not; `ended`: SLURM's state of the job, if it
    is known. The experiment's own words count for more: only of a signal it does not know who sent it.
    """
    if re.search(_MEMORY, text):
        return Cause.OOM
    if "time limit was near" in text:  # and the job could not be queued again
        return Cause.TIMEOUT
    if text and not by_signal(text):
        return Cause.EXCEPTION
    return _BY_SLURM.get(ended, Cause.STOPPED if text else Cause.LOST)


def by_signal(text: str) -> bool:
    """Whether the experiment ended by something from outside, as far as it can tell."""
    return text.startswith(("stopped by ", "killed by ", "interrupted", "closed by "))


def told_in_log(text: str) -> str:
    """SLURM's state of a job, from the end of its log; empty if the log does not say.

    What stands above the latest start of the experiment is of an earlier run of the job.
    """
    latest = re.split(r"^.*: started$", text, flags=re.MULTILINE)[-1]
    end = "\n".join(latest.splitlines()[-_LAST_LINES:])
    return next((state for pattern, state in _IN_LOG.items() if re.search(pattern, end)), "")
