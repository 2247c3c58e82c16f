"""Requeueing: a run that SLURM has warned of its time limit requeues its own job.

After a preemption or the failure of a node SLURM requeues by itself, and a cancelled job must stay cancelled; both
send TERM or nothing. The warning before the time limit is a signal that the submission asks for (USR2, or USR1):
a job that does not requeue itself after it ends as TIMEOUT.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from src import experiment
from src.experiment import Status

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
MAX_STALLED = 3  # restarts in a row without a further saved step


def job_to_requeue(exit_code: int) -> str | None:
    """The SLURM job to requeue after a run or a worker has ended with this exit code; None if none."""
    warned = exit_code in [128 + number for number in WARNINGS]
    return experiment.slurm_job_id() if warned else None


def is_stalled(folder: Path) -> bool:
    """Whether SLURM has restarted the experiment MAX_STALLED times in a row without progress."""
    return experiment.stalled_restarts(experiment.read_state(folder)) > MAX_STALLED


def note(folder: Path, status: Status, cause: str) -> None:
    """Change an experiment's status, after its run has ended."""
    experiment.write_state(folder, experiment.read_state(folder) | {"status": status, "cause": cause})


def requeue(job_id: str, folders: list[Path]) -> None:
    """Requeue the job; if SLURM refuses, store the refusal in the states of the experiments that wait for it."""
    try:
        result = subprocess.run(["scontrol", "requeue", job_id], capture_output=True, text=True, timeout=60)
        refusal = "" if result.returncode == 0 else (result.stderr or result.stdout).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        refusal = str(error)
    if refusal:
        print(f"job {job_id} could not be requeued: {refusal}", file=sys.stderr)
        for folder in folders:
            if experiment.status(folder) == Status.REQUEUED and experiment.read_state(folder).get("job_id") == job_id:
                note(folder, Status.FAILED, f"the time limit was near, and scontrol requeue failed: {refusal}")
