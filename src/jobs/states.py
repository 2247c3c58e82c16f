"""What became of each experiment: what its folder says, reconciled with what SLURM says.

The folder knows whether an experiment is done, how far it came and what it died of, if it could still say so.
SLURM knows what waits, and of what a job died that could not say it. Neither is believed alone where the
other can be asked: an experiment is called lost only if the queue was looked at twice without finding it,
its heartbeat is old, and neither SLURM's accounting nor its job's log tell of an end.
"""

from __future__ import annotations

import enum
import os
import re
import signal
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
from src.jobs import queue, slurm
from src.jobs.causes import Cause, by_signal, classify, told_in_log
from src.jobs.queue import QueuedJob

SILENT = 600.0  # seconds without a heartbeat that are remarkable; an evaluation or a download may last as long
JUST_NOW = 10.0  # seconds; what has a heartbeat as young as that runs, whatever a listing says that may be older
LOOK_AGAIN = 2.0  # seconds between two looks into the queue


class State(enum.StrEnum):
    """In the order in which they are told."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"  # waits for its first start
    REQUEUED = "requeued"  # was stopped, and SLURM will start it again
    NOT_STARTED = "not started"  # never submitted; or waits for its turn in a run on this machine
    FAILED = "failed"
    DIVERGED = "diverged"
    LOST = "lost"  # ended without a word


ACTIVE = (State.RUNNING, State.QUEUED, State.REQUEUED)


@dataclass(frozen=True)
class Fate:
    """What became of one experiment."""

    folder: Path
    state: State
    said: dict[str, Any]  # its state.json
    cause: Cause | None = None  # of what is neither done nor active
    text: str = ""  # the cause in a line; of what waits: what it waits for
    note: str = ""  # what is remarkable about one that runs
    job: QueuedJob | None = None  # in SLURM's queue now


@dataclass(frozen=True)
class Fates:
    """What became of a job's experiments, in their order."""

    all: list[Fate]
    problem: str = ""  # why SLURM could not be asked; empty if it could, or need not

    def of(self, *states: State) -> list[Fate]:
        return [fate for fate in self.all if fate.state in states]

    def counts(self) -> str:
        """`3 done, 1 running`, for people."""
        n = Counter(fate.state for fate in self.all)
        return ", ".join(f"{n[state]} {state}" for state in State if n[state])


def read_fates(folders: Iterable[Path]) -> Fates:
    """What became of the experiments in these folders. Asks SLURM only if some were given to it and are not done."""
    folders = list(folders)
    reader = _Reader(folders)
    fates = {folder: reader.fate(folder) for folder in folders}
    if doubtful := [folder for folder, fate in fates.items() if fate is None]:
        reader.ask_accounting(doubtful)
        fates |= {folder: reader.fate(folder) for folder in doubtful}
    if doubtful := [folder for folder, fate in fates.items() if fate is None]:
        time.sleep(LOOK_AGAIN)
        reader.ask_queue()
        reader.is_certain = True
        fates |= {folder: reader.fate(folder) for folder in doubtful}
    return Fates([fate for fate in fates.values() if fate is not None], reader.problem)


def was_submitted(said: dict[str, Any]) -> bool:
    """Whether a state.json tells of an experiment that was given to SLURM."""
    return bool(said.get("job_id") or said.get("comment"))


def age(said: dict[str, Any], key: str = "heartbeat") -> float | None:
    """Seconds since a time in state.json; None if it has none."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(said[key])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


class _Reader:
    """What is known of SLURM, and how it fits what the folders say."""

    def __init__(self, folders: list[Path]) -> None:
        said = [experiment.read_state(folder) for folder in folders if not (folder / experiment.DONE).exists()]
        submitted = [state for state in said if was_submitted(state)]
        self.jobs: dict[str, QueuedJob] | None = None  # by id and by comment; None: SLURM could not be asked
        self.ended: dict[str, QueuedJob] = {}
        self.is_certain = False  # the queue was looked at twice
        self.has_accounting = False  # the accounting was asked, whether it answered or not
        self.problem = ""
        owner = folders[0].stat().st_uid if folders else os.getuid()
        self.user = None if owner == os.getuid() else owner
        if submitted:
            self.ask_queue()

    def ask_queue(self) -> None:
        """One squeue call."""
        if not queue.is_installed():
            self.problem = "squeue is not found here"
            return
        try:
            jobs = queue.jobs(self.user)
        except queue.SlurmError as error:
            self.jobs, self.problem = None, str(error)
            return
        self.jobs = _by_name(jobs)

    def ask_accounting(self, folders: list[Path]) -> None:
        """One sacct call."""
        self.has_accounting = True
        if self.jobs is not None:
            said = (experiment.read_state(folder) for folder in folders)
            self.ended = _by_name(queue.accounting(str(state.get("job_id") or "") for state in said))

    def fate(self, folder: Path) -> Fate | None:
        """None: the queue does not have it, and more has to be asked."""
        said = experiment.read_state(folder)
        status = experiment.status(folder, said)
        if status == Status.DONE:
            return Fate(folder, State.DONE, said)
        if not was_submitted(said):
            return _outside_slurm(folder, status, said)
        if self.jobs is None:
            return _unknown_to_slurm(folder, status, said)
        job_id = str(said.get("job_id"))
        job = self.jobs.get(job_id) or self.jobs.get(str(said.get("comment")))
        if job is not None and not job.ended:
            return _in_queue(folder, status, said, job)
        other = self.jobs.get(job_id.partition("_")[0])  # task of the same array
        ended_itself = status in (Status.FAILED, Status.DIVERGED) and not experiment.was_stopped(said)
        if other is not None and not other.ended and _is_pack(folder, other) and not ended_itself:
            return _in_queue(folder, status, said, other)  # which goes on with it
        return self._out_of_queue(folder, status, said, job)

    def _out_of_queue(self, folder: Path, status: Status, said: dict[str, Any], job: QueuedJob | None) -> Fate | None:
        """SLURM answers, and its job neither waits nor runs."""
        if status == Status.DIVERGED or (status == Status.FAILED and not by_signal(str(said.get("cause") or ""))):
            return _failed(folder, status, said, "")
        known = job or self.ended.get(str(said.get("job_id")))
        if known is not None and known.ended:
            return _failed(folder, status, said, known.state, _words(known))
        if not self.has_accounting:
            return None
        if ended := _told_in_log(folder, said):
            return _failed(folder, status, said, ended, f"{ended}, says its log")
        if status == Status.FAILED:
            return _failed(folder, status, said, "")
        silent = age(said)
        if status == Status.RUNNING and (experiment.runs_here(folder) or (silent is not None and silent < SILENT)):
            return Fate(folder, State.RUNNING, said, note="not in the queue")
        if not self.is_certain:
            return None
        job_id = said.get("job_id") or "of it"
        text = {
            Status.PENDING: f"job {job_id} is not in the queue, and it never started",
            Status.REQUEUED: f"job {job_id} was to start again, and is not in the queue",
        }.get(status, f"job {job_id} is not in the queue; {_silence(said, 0)}: killed, or its node failed")
        return Fate(folder, State.LOST, said, Cause.LOST, text)


def _by_name(jobs: list[QueuedJob]) -> dict[str, QueuedJob]:
    """The jobs by all names that state.json may know them by. Of several tasks that share a name, as those of a
    pack do, one that runs stands for all, then one that waits."""
    by_liveliness = sorted(jobs, key=lambda job: (not job.ended) + (not job.ended and not job.waits))
    return {name: job for job in by_liveliness for name in job.names} | {job.job_id: job for job in jobs}


def _in_queue(folder: Path, status: Status, said: dict[str, Any], job: QueuedJob) -> Fate:
    """SLURM has its job, waiting or running; of a pack, the others may be what it runs."""
    in_pack = not job.comment or _is_pack(folder, job)  # no comment: an allocation in which somebody works by --local
    failed = status in (Status.FAILED, Status.DIVERGED)
    stopped = failed and experiment.was_stopped(said)
    known: dict[str, Any] = {"folder": folder, "said": said, "job": job}
    if failed and not stopped and (in_pack or not job.waits):
        return _failed(folder, status, said, "")
    if stopped and job.state == "COMPLETING":
        return _failed(folder, status, said, "")
    if job.waits and status == Status.RUNNING and (silent := age(said)) is not None and silent < JUST_NOW:
        return Fate(state=State.RUNNING, **known)
    if job.waits:
        state = State.QUEUED if status == Status.PENDING else State.REQUEUED
        return Fate(state=state, text="" if job.reason == "None" else job.reason, **known)
    if in_pack and (status != Status.RUNNING or job.job_id != said.get("job_id")):
        state = State.QUEUED if status == Status.PENDING else State.REQUEUED
        return Fate(state=state, text="its turn in the pack", **known)
    note = {Status.PENDING: "starting", Status.RUNNING: _silence(said)}.get(status, "starting again")
    if job.state != "RUNNING":
        note = job.state.lower()
    return Fate(state=State.RUNNING, note=note, **known)


def _is_pack(folder: Path, job: QueuedJob) -> bool:
    return (folder.parent / slurm.FOLDER / f"{job.comment.rpartition(' ')[2]}.pack").exists()


def _outside_slurm(folder: Path, status: Status, said: dict[str, Any]) -> Fate:
    """It was never given to SLURM: what runs, runs on some machine as a process."""
    if status == Status.PENDING:
        return Fate(folder, State.NOT_STARTED, said, Cause.PENDING)
    if status != Status.RUNNING:
        return _failed(folder, status, said, "")
    if said.get("host") == socket.gethostname() and not experiment.runs_here(folder):
        return Fate(folder, State.LOST, said, Cause.LOST, f"its process, {said.get('pid')}, ended without a word")
    return Fate(folder, State.RUNNING, said, note=_silence(said))


def _unknown_to_slurm(folder: Path, status: Status, said: dict[str, Any]) -> Fate:
    """SLURM does not answer: what the folder knows."""
    ended = _told_in_log(folder, said)
    if ended in ("PREEMPTED", "REQUEUED") or (status == Status.REQUEUED and not ended):
        return Fate(folder, State.REQUEUED, said, text="when last heard of")
    if status in (Status.FAILED, Status.DIVERGED) or ended:
        return _failed(folder, status, said, ended, f"{ended}, says its log")
    if status == Status.PENDING:
        return Fate(folder, State.QUEUED, said, text="when last heard of")
    return Fate(folder, State.RUNNING, said, note=_silence(said))


def _failed(folder: Path, status: Status, said: dict[str, Any], ended: str, words: str = "") -> Fate:
    """`ended`: SLURM's state of its job, `words` the same for people; empty if the experiment says it all."""
    text = (str(said.get("cause") or "").strip().splitlines() or [""])[-1]
    if status == Status.DIVERGED:
        return Fate(folder, State.DIVERGED, said, Cause.NAN, text)
    if status != Status.FAILED:  # it could not say anything
        text = ""
    if not text and ended in ("FAILED", "COMPLETED"):
        killed = re.search(r"SIG(KILL|TERM)", words)
        cause = Cause.STOPPED if killed else Cause.EXCEPTION if ended == "FAILED" else Cause.LOST
        return Fate(folder, State.FAILED, said, cause, f"SLURM: {words}, before it said why; see its .out")
    cause = classify(text, ended)
    if not text:
        text = f"SLURM: {words}" if words else "no cause given"
    elif words and cause not in (Cause.EXCEPTION, Cause.STOPPED) and by_signal(text):
        text += f" (SLURM: {words})"
    return Fate(folder, State.FAILED, said, cause, text)


def _words(job: QueuedJob) -> str:
    """How a job ended, with the signal or the exit code where SLURM tells it."""
    found = re.search(r"RaisedSignal:(\d+)|^0:(\d+)$", f"{job.reason}{job.exit_code}")
    number = int(found[1] or found[2]) if found else 0
    if job.state == "FAILED" and 0 < number < signal.NSIG:
        return f"FAILED by {signal.Signals(number).name}"
    code = job.exit_code.partition(":")[0]
    return f"{job.state} with exit code {code}" if job.state == "FAILED" and code.strip("0") else job.state


def _told_in_log(folder: Path, said: dict[str, Any]) -> str:
    """SLURM's state of its job as the job's log tells it; empty if it does not."""
    of_task = folder.parent / slurm.FOLDER / f"{said.get('job_id')}.out"  # SLURM's own words on a task of an array
    logs = sorted(
        [*folder.glob("*.out"), *([of_task] if of_task.exists() else [])], key=lambda log: log.stat().st_mtime
    )
    return next(filter(None, (told_in_log(_end(log)) for log in logs[:-3:-1])), "")  # the newest first


def _end(log: Path, n_bytes: int = 8192) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - n_bytes))
        return file.read().decode(errors="replace")


def _silence(said: dict[str, Any], at_least: float = SILENT) -> str:
    silent = age(said)
    return f"no heartbeat for {duration(silent)}" if silent is not None and silent >= at_least else ""
