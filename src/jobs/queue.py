"""Asking SLURM: what waits and runs (squeue), what has ended and how (sacct), and ending it (scancel).

An array task is `123_4` everywhere here; several experiments of one pack share one job id.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

TIMEOUT = 120  # seconds; a controller that hangs answers sbatch after 10 s, a bad SLURM_CONF after 60 s
AT_ONCE = 500  # job ids that one scancel gets

# A job that is submitted from inside another would inherit its SLURM_* variables, CPU binding included.
# What people set in their shell's start file says where they may compute, and stays.
_KEPT = ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS")
_SCRUBBED = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")  # SQUEUE_STATES would hide jobs from us

# What squeue and sacct call a job that has ended. All other states are of jobs that wait or run.
ENDED = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
WAITING = frozenset(["PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"])


class SlurmError(RuntimeError):
    """SLURM refused or did not answer; the message says what it said."""


@dataclass(frozen=True)
class QueuedJob:
    """A job, or a task of an array, as SLURM sees it."""

    job_id: str
    state: str  # PENDING, RUNNING, TIMEOUT, ...
    reason: str = ""  # why it waits, or how it ended
    comment: str = ""
    exit_code: str = ""  # of sacct: code:signal

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def names(self) -> set[str]:
        """What state.json may know it by: its id and comment; of an array task also the array's, and `<comment>_<task>`."""
        array, _, task = self.job_id.partition("_")
        return {self.job_id, array, self.comment, f"{self.comment}_{task}" if self.comment and task else ""} - {""}


def is_installed() -> bool:
    return shutil.which("squeue") is not None


def jobs(user: int | None = None) -> list[QueuedJob]:
    """The jobs of a user (an id; None: one's own) that wait, run, or have ended within the last minutes.

    One squeue call. Raises SlurmError if it does not answer.
    """
    whose = "--me" if user is None else f"--user={user}"
    result = run(["squeue", whose, "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%k"])
    if result.returncode != 0:
        raise SlurmError(f"squeue does not answer: {said(result)}")
    rows = (line.strip().split("|", 3) for line in result.stdout.splitlines() if line.count("|") >= 3)
    return [
        QueuedJob(job_id, state, reason, "" if comment == "(null)" else comment)
        for job_id, state, reason, comment in rows
    ]


def accounting(job_ids: Iterable[str]) -> list[QueuedJob]:
    """How the latest runs of these jobs stand, from SLURM's accounting; empty where there is none.

    One sacct call. Its knowledge lags by seconds, and it may know less than squeue.
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


def _tasks(job_id: str) -> list[str]:
    """The tasks of an array that never started stand on one line: `123_[4,7-9%2]`."""
    array, _, listed = job_id.partition("_[")
    if not listed:
        return [job_id]
    ends = [part.partition("-") for part in listed.partition("]")[0].partition("%")[0].split(",")]
    return [f"{array}_{i}" for first, _, last in ends for i in range(int(first), int(last or first) + 1)]


def cancel(job_ids: list[str]) -> None:
    """Ends the jobs and array tasks, those that wait too. Raises SlurmError."""
    for start in range(0, len(job_ids), AT_ONCE):
        result = run(["scancel", *job_ids[start : start + AT_ONCE]])
        # of several jobs one may have ended by itself meanwhile; that is as good
        if result.returncode != 0 and "Invalid job id" not in result.stderr and "already" not in result.stderr:
            raise SlurmError(f"scancel failed: {said(result)}")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """A SLURM command's answer, whatever it is; 124 for none in time, 127 if it cannot be started."""
    environment = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SCRUBBED)}
    environment["EXPERIMENT_PYTHON"] = sys.executable  # what the submit scripts start
    try:
        # A session of its own: Ctrl-C must not reach an sbatch whose job may be accepted already.
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {TIMEOUT} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} cannot be started: {error.strerror}")


def said(result: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed had to say, in one line."""
    lines = (result.stderr + result.stdout).strip().splitlines()
    return " ".join(line.strip() for line in lines) or f"exit code {result.returncode}"
