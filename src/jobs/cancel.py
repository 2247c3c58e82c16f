"""Ending a job's queued and running experiments: SLURM's jobs by scancel, this machine's processes by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from src import experiment, processes
from src.jobs import folders
from src.jobs.slurm_command import SlurmError, reason, run
from src.jobs.states import ACTIVE, Outcome, Outcomes, State, read_outcomes
from src.jobs.text import count, listed

MAX_NAMES = 5  # of jobs, processes or machines in a message
MAX_JOB_IDS = 500  # for one scancel


@dataclass
class Cancellation:
    """What would be ended."""

    folder: Path
    active: list[Outcome]
    job_ids: list[str]  # an array is cancelled as a whole: all its tasks belong to one job folder
    pids: list[int]  # on this machine
    problem: str  # why SLURM could not be asked; empty if it could, or was not needed
    elsewhere: list[Outcome]  # run on other machines, without SLURM

    def __str__(self) -> str:
        lines = [f"{self.folder}: {Outcomes(self.active).counts() or 'nothing is queued or running'}"]
        if self.job_ids:
            lines.append(f"{count(len(self.job_ids), 'SLURM job')}: {listed(self.job_ids, MAX_NAMES)}")
        if self.pids:
            lines.append(f"process {listed([str(pid) for pid in self.pids], MAX_NAMES)} on this machine")
        if self.elsewhere:
            hosts = sorted({str(outcome.reported.get("host")) for outcome in self.elsewhere})
            lines.append(f"{len(self.elsewhere)} on {listed(hosts, MAX_NAMES)}, out of reach from here: cancel there")
        if self.problem:
            lines.append(f"{self.problem}: what is queued is out of reach from here")
        return "\n    ".join(lines)

    def do(self) -> None:
        """Raises SlurmError if scancel fails."""
        _scancel(self.job_ids)
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGTERM)


def plan_cancel(folder: Path) -> Cancellation:
    """What is queued or running of a job's folder. Raises SlurmError if that cannot be known."""
    outcomes = read_outcomes(folders.experiment_folders(folder), slurm_must_answer=True)
    active = outcomes.of(*ACTIVE)
    # Only jobs that submit_multiple.py submitted have a comment: the user's own allocations have none.
    submitted = {outcome.job.job_id.partition("_")[0] for outcome in active if outcome.job and outcome.job.comment}
    other = [outcome for outcome in outcomes.of(State.RUNNING) if not (outcome.job and outcome.job.comment)]
    here = [outcome for outcome in other if experiment.runs_here(outcome.folder)]
    pids = sorted({_worker(int(outcome.reported["pid"])) for outcome in here})
    elsewhere = [outcome for outcome in other if outcome not in here]
    return Cancellation(folder, active, sorted(submitted, key=int), pids, outcomes.problem, elsewhere)


def _scancel(job_ids: list[str]) -> None:
    """Ends the jobs and array tasks, those that wait too. Raises SlurmError."""
    for start in range(0, len(job_ids), MAX_JOB_IDS):
        result = run(["scancel", *job_ids[start : start + MAX_JOB_IDS]])
        # no error: one of several jobs may have ended in the meantime
        if result.returncode != 0 and "Invalid job id" not in result.stderr and "already" not in result.stderr:
            raise SlurmError(f"scancel failed: {reason(result)}")


def _worker(pid: int) -> int:
    """The process that started this one by a fork, and would start the next experiment; else the process itself."""
    parent = processes.parent(pid)
    try:
        command, of_parent = (Path(f"/proc/{number}/cmdline").read_bytes() for number in (pid, parent))
    except OSError:  # no /proc here
        return pid
    return parent if parent and command and command == of_parent else pid
