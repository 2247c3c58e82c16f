"""What a submission is about to do: found out and told before anything is written."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from src import experiment
from src.config import ConfigError
from src.jobs import folders, slurm
from src.jobs.specification import Job, read_job


@dataclass
class Plan:
    """What is about to happen, and the sentences that tell it."""

    folder: Path  # of the job
    names: list[str]  # folders of the experiments to start
    sentences: list[str]
    job: Job | None = None  # to be written first; None: the folder is there
    delete: Path | None = None

    def __str__(self) -> str:
        shown = self.names if len(self.names) <= 4 else [*self.names[:3], "..."]
        return "\n".join([*self.sentences, f"{self.folder}/", *(f"    {name}" for name in shown)])

    def write(self, progress: Callable[[list[str]], Iterable[str]] = iter) -> list[Path]:
        """Makes the job's folder what it has to be; returns the folders of the experiments to start."""
        if self.delete:
            folders.delete_job_folder(self.delete)
        if self.job:
            folders.write_job_folder(self.job, self.folder, progress)
        return [self.folder / name for name in self.names]


def plan_new(job_file: Path, overwrite: bool) -> Plan:
    """All experiments of a job file; with `overwrite` in place of the job's newest folder. Raises ConfigError."""
    if job_file.is_dir():
        raise ConfigError([f"{job_file} is a folder; -r goes on with a job's folder"])
    job = read_job(job_file)
    if missing := _missing_modules(job):
        raise ConfigError([f"{job_file}: {name!r}: there is no such module beside train.py" for name in missing])
    folder, old = folders.new_job_folder(job), folders.find_job_folder(job.output_dir, job.name)
    names = folders.experiment_names(job.experiments)
    sentences = [count(len(names)) + (f" = {job.axes}" if job.axes else "")]
    if folder.exists() and not (folder / folders.JOB).exists():
        raise ConfigError([f"{folder} exists and is not a job's folder; give the job another name"])
    if folder.exists() and not (overwrite and old == folder):
        raise ConfigError([f"{folder} exists; -r goes on with what is not done, -o deletes it and starts over"])
    if not overwrite or old is None:
        return Plan(folder, names, sentences, job)
    experiments = folders.experiment_folders(old)
    if active := _active(experiments):
        told = ", ".join(f"{name} is {why}" for name, why in active.items())
        raise ConfigError([f"{old} cannot be deleted: {told}"])
    sentences.append(f"{old}/ will be deleted, with {count(folders.count_done(experiments), 'finished experiment')}.")
    return Plan(folder, names, sentences, job, delete=old)


def plan_retry(path: Path) -> Plan:
    """What is neither done nor queued nor running, of a job's folder or of a job file's newest folder.

    Raises ConfigError, and SlurmError if squeue does not answer.
    """
    folder = _existing_folder(path)
    experiments = folders.experiment_folders(folder)
    if not experiments:
        raise ConfigError([f"{folder} holds no experiments"])
    not_done = [path for path in experiments if experiment.status(path) != experiment.Status.DONE]
    active = _active(not_done)
    names = [path.name for path in not_done if path.name not in active]
    states = {"done": len(experiments) - len(not_done)}
    for why in active.values():
        states[why] = states.get(why, 0) + 1
    told = ", ".join(f"{n} {state}" for state, n in states.items())
    return Plan(
        folder,
        names,
        [
            f"{count(len(experiments))}: {told}, {len(names)} to start again",
            "They run the code as it was when the job was first submitted.",
        ],
    )


def _missing_modules(job: Job) -> list[str]:
    """The `python/<module>:<callable>` names whose module cannot be found; none is imported."""
    values = {value for options in job.experiments for value in options.values() if isinstance(value, str)}
    own = sorted(value for value in values if value.startswith("python/"))
    return [name for name in own if find_spec(re.split(r"[.:]", name.removeprefix("python/"))[0]) is None]


def count(n: int, what: str = "experiment") -> str:
    """`1 experiment`, `2 experiments`."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def _existing_folder(path: Path) -> Path:
    """The job folder that -r means: the one that is named, or the newest one of a job file."""
    if path.is_dir():
        if not (path / folders.JOB).is_file():
            raise ConfigError([f"{path} is no job folder: it has no {folders.JOB}"])
        return path.absolute()
    job = read_job(path)
    folder = folders.find_job_folder(job.output_dir, job.name)
    if folder is None:
        raise ConfigError([f"{job.output_dir} has no folder of the job {job.name!r}; submit it without -r"])
    if (folder / folders.JOB).read_text(encoding="utf-8") != job.text:
        print(f"{path} has changed since; what is started again is what {folder / folders.JOB} says")
    return folder


def _active(experiments: list[Path]) -> dict[str, str]:
    """The experiments, by name, that must be neither started nor deleted now, and why."""
    queued: set[str] = set()
    if any(slurm.was_submitted(path) for path in experiments):
        if shutil.which("squeue"):
            queued = slurm.queued()
        else:
            print("squeue is not found here: whether experiments still wait in a queue is not known", file=sys.stderr)
    active = {}
    for path in experiments:
        if slurm.is_queued(path, queued):
            active[path.name] = "in the queue"
        elif experiment.runs_here(path):
            active[path.name] = "running here"
    return active
