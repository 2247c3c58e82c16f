"""What became of each experiment: the report in its folder, reconciled with SLURM's.

The folder knows whether an experiment is done, how far it came and, if its process could still write it, why it
failed. SLURM knows which jobs wait, and why a job ended whose process could not write it. Each is checked against the
other: an experiment is called lost only if the queue was listed twice without it, its heartbeat is old, and neither
SLURM's accounting nor its job's log has an end of the job.
"""

from __future__ import annotations

import enum
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src import experiment
from src.experiment import Status
from src.jobs import folders, slurm_queue
from src.jobs.causes import Cause, classify, is_from_outside, slurm_state_in
from src.jobs.sbatch import task_list, was_submitted
from src.jobs.slurm_command import SlurmError
from src.jobs.slurm_queue import QueuedJob
from src.jobs.text import duration

HEARTBEAT_TIMEOUT = 600.0  # seconds; an evaluation or a download may take as long
FRESH_HEARTBEAT = 10.0  # seconds; with a younger one it runs: the list of the queue may be older
RECHECK_AFTER = 2.0  # seconds between two lists of the queue


class State(enum.StrEnum):
    """In the order of reports."""

    DONE = "done"
    ENDED = "ended"  # closed on purpose by the calling program; not started again
    RUNNING = "running"
    QUEUED = "queued"  # waits for its first start
    REQUEUED = "requeued"  # was stopped, and SLURM will start it again
    NOT_STARTED = "not started"  # never submitted; or waits for its turn in a run on this machine
    FAILED = "failed"
    DIVERGED = "diverged"
    LOST = "lost"  # ended without a report


ACTIVE = (State.RUNNING, State.QUEUED, State.REQUEUED)
FINISHED = (State.DONE, State.ENDED)


@dataclass(frozen=True)
class Outcome:
    """What became of one experiment, so far."""

    folder: Path
    state: State
    reported: dict[str, Any]  # its state.json
    cause: Cause | None = None  # unless it is finished or active
    text: str = ""  # the cause in a line; for an experiment that waits: what it waits for
    note: str = ""  # anything unusual about an experiment that runs
    job: QueuedJob | None = None  # if SLURM's queue has one


@dataclass(frozen=True)
class Outcomes:
    """What became of a job's experiments, in their order."""

    all: list[Outcome]
    problem: str = ""  # why SLURM could not be asked; empty if it could, or was not needed

    def of(self, *states: State) -> list[Outcome]:
        return [outcome for outcome in self.all if outcome.state in states]

    def counts(self) -> str:
        """`3 done, 1 running`."""
        n = Counter(outcome.state for outcome in self.all)
        return ", ".join(f"{n[state]} {state}" for state in State if n[state])


def read_outcomes(experiments: Iterable[Path], *, slurm_must_answer: bool = False) -> Outcomes:
    """What became of the experiments in these folders. Asks SLURM only about submitted ones that are not finished.

    Raises SlurmError if `slurm_must_answer` and SLURM is installed and does not answer.
    """
    experiments = list(experiments)
    reader = _Reader(experiments)
    outcomes = {folder: reader.outcome(folder) for folder in experiments}
    if unclear := [folder for folder, outcome in outcomes.items() if outcome is None]:
        reader.ask_accounting(unclear)
        outcomes |= {folder: reader.outcome(folder) for folder in unclear}
    if unclear := [folder for folder, outcome in outcomes.items() if outcome is None]:
        time.sleep(RECHECK_AFTER)
        reader.ask_queue()
        reader.is_certain = True
        outcomes |= {folder: reader.outcome(folder) for folder in unclear}
    if slurm_must_answer and reader.problem and slurm_queue.is_installed():
        raise SlurmError(reader.problem)
    return Outcomes([outcome for outcome in outcomes.values() if outcome is not None], reader.problem)


def seconds_since(reported: dict[str, Any], key: str = "heartbeat") -> float | None:
    """Seconds since a time in state.json; None if it has none."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(reported[key])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def has_heartbeat(reported: dict[str, Any], within: float = HEARTBEAT_TIMEOUT) -> bool:
    """Whether the last heartbeat in state.json is younger than `within` seconds."""
    silent = seconds_since(reported)
    return silent is not None and silent < within


class _Reader:
    """What SLURM reports, and how it fits the reports in the folders."""

    def __init__(self, experiments: list[Path]) -> None:
        self.jobs: dict[str, QueuedJob] | None = None  # by id and by comment; None: SLURM could not be asked
        self.accounted: dict[str, QueuedJob] = {}
        self.is_certain = False  # the queue was listed twice
        self.asked_accounting = False  # whether it answered or not
        self.problem = ""
        owner = experiments[0].stat().st_uid if experiments else os.getuid()
        self.user = None if owner == os.getuid() else owner
        unfinished = (_Experiment(folder) for folder in experiments if not (folder / experiment.DONE).exists())
        if any(was_submitted(found.reported) and found.status != Status.ENDED for found in unfinished):
            self.ask_queue()

    def ask_queue(self) -> None:
        """One squeue call."""
        if not slurm_queue.is_installed():
            self.problem = "squeue is not found here"
            return
        try:
            self.jobs = slurm_queue.by_name(slurm_queue.jobs(self.user))
        except SlurmError as error:
            self.jobs, self.problem = None, str(error)

    def ask_accounting(self, experiments: list[Path]) -> None:
        """One sacct call."""
        self.asked_accounting = True
        if self.jobs is not None:
            job_ids = (str(experiment.read_state(folder).get("job_id") or "") for folder in experiments)
            self.accounted = slurm_queue.by_name(slurm_queue.accounting(job_ids))

    def outcome(self, folder: Path) -> Outcome | None:
        """None: the queue does not have it, and more has to be asked."""
        found = _Experiment(folder)
        if found.status == Status.DONE:
            return found.outcome(State.DONE)
        if found.status == Status.ENDED:
            return found.outcome(State.ENDED, text=found.reported_cause)
        if not was_submitted(found.reported):
            return found.outside_slurm()
        if self.jobs is None:
            return found.without_slurm()
        job = self.jobs.get(found.job_id) or self.jobs.get(str(found.reported.get("comment")))
        if job is not None and not job.ended:
            return found.in_queue(job)
        other = self.jobs.get(found.job_id.partition("_")[0])  # task of the same array, which will resume it
        if other is not None and not other.ended and not found.failed_itself and found.is_in_pack(other):
            return found.in_queue(other)
        return self._out_of_queue(found, job)

    def _out_of_queue(self, found: _Experiment, job: QueuedJob | None) -> Outcome | None:
        """SLURM answers, and its job neither waits nor runs."""
        if found.failed and not (found.status == Status.FAILED and is_from_outside(found.reported_cause)):
            return found.failure()
        known = job or self.accounted.get(found.job_id)
        if known is not None and known.ended:
            return found.failure(known.state, known.ending)
        if not self.asked_accounting:
            return None
        if in_log := found.slurm_state_in_logs():
            return found.failure(in_log, f"{in_log}, from its log")
        if found.status == Status.FAILED:
            return found.failure()
        if found.status == Status.RUNNING and (experiment.runs_here(found.folder) or has_heartbeat(found.reported)):
            return found.outcome(State.RUNNING, note="not in the queue")
        return found.lost() if self.is_certain else None


class _Experiment:
    """What an experiment's folder reports, and what follows from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reported = experiment.read_state(folder)
        self.status = experiment.status(folder, self.reported)
        self.failed = self.status in (Status.FAILED, Status.DIVERGED)
        self.was_stopped = self.failed and experiment.was_stopped(self.reported)
        self.failed_itself = self.failed and not self.was_stopped
        self.job_id = str(self.reported.get("job_id"))
        # in a line; of an earlier attempt if this one has not ended
        self.reported_cause = (str(self.reported.get("cause") or "").strip().splitlines() or [""])[-1]

    def outcome(self, state: State, cause: Cause | None = None, **more: Any) -> Outcome:
        return Outcome(self.folder, state, self.reported, cause, **more)

    def missing_heartbeat(self, at_least: float = HEARTBEAT_TIMEOUT) -> str:
        silent = seconds_since(self.reported)
        return f"no heartbeat for {duration(silent)}" if silent is not None and silent >= at_least else ""

    def is_in_pack(self, job: QueuedJob) -> bool:
        """Whether the job is a pack, of this experiment and others."""
        return task_list(self.folder.parent, job.comment, in_packs=True).exists()

    def slurm_state_in_logs(self) -> str:
        """SLURM's state of its job as the job's logs have it; empty if they do not."""
        of_task = self.folder.parent / folders.SLURM / f"{self.job_id}.out"  # SLURM's messages on a task of an array
        return slurm_state_in([*self.folder.glob("*.out"), of_task])

    def outside_slurm(self) -> Outcome:
        """It was never submitted to SLURM: if it runs, then as a process of some machine."""
        if self.status == Status.PENDING:
            return self.outcome(State.NOT_STARTED, Cause.PENDING)
        if self.status != Status.RUNNING:
            return self.failure()
        if self.reported.get("host") == socket.gethostname() and not experiment.runs_here(self.folder):
            text = f"its process {self.reported.get('pid')} ended without a report"
            return self.outcome(State.LOST, Cause.LOST, text=text)
        return self.outcome(State.RUNNING, note=self.missing_heartbeat())

    def without_slurm(self) -> Outcome:
        """SLURM does not answer: only the folder reports."""
        in_log = self.slurm_state_in_logs()
        if in_log in ("PREEMPTED", "REQUEUED") or (self.status == Status.REQUEUED and not in_log):
            return self.outcome(State.REQUEUED, text="at its last report")
        if self.failed or in_log:
            return self.failure(in_log, in_log and f"{in_log}, from its log")
        if self.status == Status.PENDING:
            return self.outcome(State.QUEUED, text="at its last report")
        return self.outcome(State.RUNNING, note=self.missing_heartbeat())

    def in_queue(self, job: QueuedJob) -> Outcome:
        """SLURM has its job, waiting or running; a pack may be running other experiments."""
        # without a comment it is the user's own allocation, in which --local runs several
        in_pack = not job.comment or self.is_in_pack(job)
        if (self.failed_itself and (in_pack or not job.waits)) or (self.was_stopped and job.state == "COMPLETING"):
            return self.failure()
        if job.waits and self.status == Status.RUNNING and has_heartbeat(self.reported, FRESH_HEARTBEAT):
            return self.outcome(State.RUNNING, job=job)
        waiting = State.QUEUED if self.status == Status.PENDING else State.REQUEUED
        if job.waits:
            return self.outcome(waiting, text="" if job.reason == "None" else job.reason, job=job)
        if in_pack and (self.status != Status.RUNNING or job.job_id != self.job_id):
            return self.outcome(waiting, text="its turn in the pack", job=job)
        note = {Status.PENDING: "starting", Status.RUNNING: self.missing_heartbeat()}.get(self.status, "starting again")
        return self.outcome(State.RUNNING, note=note if job.state == "RUNNING" else job.state.lower(), job=job)

    def failure(self, slurm_state: str = "", ending: str = "") -> Outcome:
        """`slurm_state`: SLURM's state of its job, `ending` the same for people; empty if SLURM reports nothing."""
        if self.status == Status.DIVERGED:
            return self.outcome(State.DIVERGED, Cause.NAN, text=self.reported_cause)
        text = self.reported_cause if self.status == Status.FAILED else ""
        if not text and slurm_state in ("FAILED", "COMPLETED"):
            killed = re.search(r"SIG(KILL|TERM)", ending)
            cause = Cause.STOPPED if killed else Cause.EXCEPTION if slurm_state == "FAILED" else Cause.LOST
            return self.outcome(State.FAILED, cause, text=f"SLURM: {ending}; it reported no cause, see its .out")
        cause = classify(text, slurm_state)
        if not text:
            text = f"SLURM: {ending}" if ending else "no cause given"
        elif ending and cause not in (Cause.EXCEPTION, Cause.STOPPED) and is_from_outside(text):
            text += f" (SLURM: {ending})"
        return self.outcome(State.FAILED, cause, text=text)

    def lost(self) -> Outcome:
        """SLURM does not have its job, and nothing reports an end."""
        job = f"job {self.reported['job_id']}" if self.reported.get("job_id") else "its job"
        killed = f"{self.missing_heartbeat(0) or 'no heartbeat'}: killed, or its node failed"
        why = {Status.PENDING: "it never started", Status.REQUEUED: "it should start again"}.get(self.status, killed)
        return self.outcome(State.LOST, Cause.LOST, text=f"{job} is not in the queue; {why}")
