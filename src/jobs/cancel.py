"""Ending what a job has queued or running: SLURM's jobs by scancel, this machine's processes by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from src import experiment
from src.jobs import folders, queue
from src.jobs.states import ACTIVE, Fate, State, read_fates


@dataclass
class Cancellation:
    """What would be ended."""

    folder: Path
    active: list[Fate]
    job_ids: list[str]  # an array as a whole: all its tasks are of one job folder
    pids: list[int]  # of this machine
    problem: str  # why SLURM could not be asked; empty if it could, or need not
    elsewhere: list[Fate]  # run on other machines, without SLURM

    def __str__(self) -> str:
        n = {state: sum(fate.state == state for fate in self.active) for state in ACTIVE}
        told = ", ".join(f"{count} {state}" for state, count in n.items() if count) or "nothing is queued or running"
        jobs = f"\n    {len(self.job_ids)} SLURM job{'s' * (len(self.job_ids) > 1)}: {_some(self.job_ids)}"
        processes = f"\n    process {_some(list(map(str, self.pids)))} of this machine"
        hosts = sorted({str(fate.said.get("host")) for fate in self.elsewhere})
        elsewhere = f"\n    {len(self.elsewhere)} on {_some(hosts)}, out of reach from here: cancel there"
        unknown = f"\n    {self.problem}: what is queued is out of reach from here"
        parts = {jobs: self.job_ids, processes: self.pids, elsewhere: self.elsewhere, unknown: self.problem}
        return f"{self.folder}: {told}" + "".join(text for text, needed in parts.items() if needed)

    def do(self) -> None:
        """Raises SlurmError if scancel fails."""
        queue.cancel(self.job_ids)
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGTERM)


def plan_cancel(folder: Path) -> Cancellation:
    """What of a job's folder is queued or running. Raises SlurmError if it cannot be known."""
    fates = read_fates(folders.experiment_folders(folder))
    if fates.problem and queue.is_installed():
        raise queue.SlurmError(fates.problem)
    active = fates.of(*ACTIVE)
    # Only what was submitted from here has a comment: an allocation in which somebody works has none.
    of_slurm = {fate.job.job_id.partition("_")[0]: fate for fate in active if fate.job and fate.job.comment}
    other = [fate for fate in fates.of(State.RUNNING) if not (fate.job and fate.job.comment)]
    here = [fate for fate in other if experiment.runs_here(fate.folder)]
    pids = sorted({_worker(int(fate.said["pid"])) for fate in here})
    elsewhere = [fate for fate in other if fate not in here]
    return Cancellation(folder, active, sorted(of_slurm, key=int), pids, fates.problem, elsewhere)


def _worker(pid: int) -> int:
    """The process that started this one by a fork, and would start the next experiment; else the process itself."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        parent = int(stat.rpartition(")")[2].split()[1])
        command, of_parent = (Path(f"/proc/{number}/cmdline").read_bytes() for number in (pid, parent))
    except (OSError, ValueError, IndexError):  # no /proc here
        return pid
    return parent if command and command == of_parent else pid


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
