"""Asking SLURM: what waits and runs (squeue), how jobs ended (sacct), how large an array may be (scontrol).

The id of an array task is `123_4` everywhere here; the experiments of a pack share one job id.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from src.jobs.slurm_command import SlurmError, reason, run

MAX_ARRAY_SIZE = 1001  # SLURM's default

# What squeue and sacct call a job that has ended. All other states belong to jobs that wait or run.
ENDED = frozenset(
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"]
    + ["NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"]
)
WAITING = frozenset(["PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"])


@dataclass(frozen=True)
class QueuedJob:
    """A job, or a task of an array, as SLURM reports it."""

    job_id: str
    state: str  # PENDING, RUNNING, TIMEOUT, ...
    reason: str = ""  # why it waits, or how it ended
    comment: str = ""
    exit_code: str = ""  # from sacct: code:signal

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def names(self) -> set[str]:
        """The names that state.json may have for it: id and comment; for an array task also the array's id, and `<comment>_<task>`."""
        array, _, task = self.job_id.partition("_")
        return {self.job_id, array, self.comment, f"{self.comment}_{task}" if self.comment and task else ""} - {""}

    @property
    def ending(self) -> str:
        """How it ended, with the signal or the exit code where SLURM reports one."""
        found = re.search(r"RaisedSignal:(\d+)|^0:(\d+)$", f"{self.reason}{self.exit_code}")
        number = int(found[1] or found[2]) if found else 0
        if self.state == "FAILED" and 0 < number < signal.NSIG:
            return f"FAILED by {signal.Signals(number).name}"
        code = self.exit_code.partition(":")[0]
        return f"{self.state} with exit code {code}" if self.state == "FAILED" and code.strip("0") else self.state


def is_installed() -> bool:
    return shutil.which("squeue") is not None


def jobs(user: int | None = None) -> list[QueuedJob]:
    """The jobs of a user (an id; None: the current user) that wait, run, or ended within the last minutes.

    One squeue call. Raises SlurmError if it does not answer.
    """
    whose = "--me" if user is None else f"--user={user}"
    result = run(["squeue", whose, "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%k"])
    if result.returncode != 0:
        raise SlurmError(f"squeue does not answer: {reason(result)}")
    rows = (line.strip().split("|", 3) for line in result.stdout.splitlines() if line.count("|") >= 3)
    return [
        QueuedJob(job_id, state, why, "" if comment == "(null)" else comment) for job_id, state, why, comment in rows
    ]


def queued_names() -> set[str]:
    """The names (ids and comments, of arrays and of their tasks) of the current user's jobs that wait or run. Raises SlurmError."""
    return {name for job in jobs() if not job.ended for name in job.names}


def find_job(comment: str) -> str | None:
    """The id of the job or array with that comment, if it waits, runs or has just ended. Raises SlurmError."""
    return next((job.job_id.partition("_")[0] for job in jobs() if job.comment == comment), None)


def by_name(jobs: list[QueuedJob]) -> dict[str, QueuedJob]:
    """The jobs by each of their names. Of several tasks with one name, like those of a pack, it is one that runs,
    else one that waits."""
    ended_first = sorted(jobs, key=lambda job: (not job.ended) + (not job.ended and not job.waits))
    return {name: job for job in ended_first for name in job.names} | {job.job_id: job for job in jobs}


def accounting(job_ids: Iterable[str]) -> list[QueuedJob]:
    """The state of the latest runs of these jobs in SLURM's accounting; empty where there is none.

    One sacct call. The accounting lags by seconds, and it may know less than squeue.
    """
    asked = sorted({job_id.partition("_")[0] for job_id in job_ids} - {""})
    if not asked or not shutil.which("sacct"):
        return []
    options = ["--allocations", "--noheader", "--parsable2", "--format=JobID,State,ExitCode"]
    result = run(["sacct", *options, f"--jobs={','.join(asked)}"])
    rows = [line.split("|") for line in result.stdout.splitlines()] if result.returncode == 0 else []
    return [
        QueuedJob(task, state.split()[0].rstrip("+"), exit_code=exit_code)  # `CANCELLED by 1000`
        for job_id, state, exit_code in rows
        for task in _tasks(job_id)
    ]


def max_array_size() -> int:
    """How many tasks an array may have on this cluster; SLURM's default if the cluster does not say."""
    result = run(["scontrol", "show", "config"])
    limits = re.findall(r"\bMaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", result.stdout)
    return min((int(a or b) for a, b in limits), default=MAX_ARRAY_SIZE)


def _tasks(job_id: str) -> list[str]:
    """The job ids in a row of sacct, which has the tasks of an array that never started in one: `123_[4,7-9%2]`."""
    array, _, tasks = job_id.partition("_[")
    if not tasks:
        return [job_id]
    ends = [part.partition("-") for part in tasks.partition("]")[0].partition("%")[0].split(",")]
    return [f"{array}_{i}" for first, _, last in ends for i in range(int(first), int(last or first) + 1)]
