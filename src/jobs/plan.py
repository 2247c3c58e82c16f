"""What a submission is about to do: found out and told before anything is written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from src import experiment
from src.config import ConfigError
from src.jobs import folders, queue, snapshot
from src.jobs.causes import Cause
from src.jobs.identity import exactly, identity
from src.jobs.specification import Job, read_job
from src.jobs.states import ACTIVE, SILENT, Fate, Fates, State, age, read_fates


@dataclass
class Plan:
    """What is about to happen, and the sentences that tell it."""

    folder: Path  # of the job
    names: list[str]  # folders of the experiments to start
    sentences: list[str]
    job: Job | None = None  # to be written first; None: the folder is there
    delete: Path | None = None
    add: dict[str, dict[str, Any]] = field(default_factory=dict)  # to the folder that is there: name -> options
    reuse: dict[str, Path] = field(default_factory=dict)  # name -> the finished folder that is copied

    def __str__(self) -> str:
        shown = self.names if len(self.names) <= 4 else [*self.names[:3], "..."]
        return "\n".join([*self.sentences, f"{self.folder}/", *(f"    {name}" for name in shown)])

    def write(self, progress: Callable[[list[str]], Iterable[str]] = iter) -> list[Path]:
        """Makes the job's folder what it has to be; returns the folders of the experiments to start."""
        if self.delete:
            folders.delete_job_folder(self.delete)
        if self.job and self.add:
            folders.add_experiments(self.folder, self.job.text, self.add, progress)
        elif self.job:
            folders.write_job_folder(self.job, self.folder, progress)
        for name, source in self.reuse.items():
            folders.copy_finished(source, self.folder / name)
        return [self.folder / name for name in self.names]


def plan_new(job_file: Path, overwrite: bool, reuse: bool = False) -> Plan:
    """What a job file asks for and its newest folder does not have; with `overwrite` all of it, in place of that folder.

    With `reuse`, experiments that another job of output_dir has finished are copied and not run.
    Raises ConfigError, and SlurmError if squeue does not answer.
    """
    if job_file.is_dir():
        raise ConfigError([f"{job_file} is a folder; -r goes on with a job's folder"])
    job = read_job(job_file)
    if missing := _missing_modules(job):
        raise ConfigError([f"{job_file}: {name!r}: there is no such module beside train.py" for name in missing])
    folder, old = folders.new_job_folder(job), folders.find_job_folder(job.output_dir, job.name)
    if folder.exists() and not (folder / folders.JOB).exists():
        raise ConfigError([f"{folder} exists and is not a job's folder; give the job another name"])
    names = folders.experiment_names(job.experiments)
    sentences = [count(len(names)) + (f" = {job.axes}" if job.axes else ""), *job.notes]
    if old and overwrite:
        sentences.append(_deletion(old))
        plan = Plan(folder, names, sentences, job, delete=old)
    elif old:
        plan = _growth(job, names, old, sentences)
    else:
        plan = Plan(folder, names, sentences, job)
    if reuse:
        options = plan.add if old and not overwrite else dict(zip(names, job.experiments, strict=True))
        _reuse(plan, job.output_dir, options)
    return plan


def plan_retry(path: Path, only: Collection[Cause] = ()) -> Plan:
    """What is neither done nor queued nor running, of a job's folder or of a job file's newest folder.

    `only`: of that, what ended for one of these causes. Raises ConfigError, and SlurmError if squeue does not answer.
    """
    folder = existing_folder(path)
    experiments = folders.experiment_folders(folder)
    if not experiments:
        raise ConfigError([f"{folder} holds no experiments"])
    fates = _fates(experiments)
    names = [f.folder.name for f in fates.all if _may_start(f, fates) and (not only or f.cause in only)]
    left = "".join(f", {len(names)} of them {' or '.join(only)}" if only else "")
    return Plan(
        folder,
        names,
        [
            f"{count(len(experiments))}: {fates.counts()}{left}; {len(names)} to start again",
            "They run the code as it was when the job was first submitted.",
        ],
    )


def existing_folder(path: Path) -> Path:
    """The job folder that is meant: the one that is named, or the newest one of a job file."""
    if path.is_dir():
        if not (path / folders.JOB).is_file():
            raise ConfigError([f"{path} is no job folder: it has no {folders.JOB}"])
        return path.absolute()
    job = read_job(path)
    folder = folders.find_job_folder(job.output_dir, job.name)
    if folder is None:
        raise ConfigError([f"{job.output_dir} has no folder of the job {job.name!r}; submit it without -r"])
    if (folder / folders.JOB).read_text(encoding="utf-8") != job.text:
        print(f"{path} has changed since; what is started again is what {folder} has. Without -r the new is added.")
    return folder


def count(n: int, what: str = "experiment") -> str:
    """`1 experiment`, `2 experiments`."""
    return f"{n} {what}{'' if n == 1 else 's'}"


# --- a job whose folder is there ----------------------------------------------------------------------------


def _growth(job: Job, names: list[str], folder: Path, sentences: list[str]) -> Plan:
    """What the folder lacks of the job: new experiments, and those that never started."""
    existing = folders.experiment_folders(folder)
    there, gone = _match(job.experiments, existing)
    fates = _fates([path for path in there if path is not None])
    lacking = [(name, options) for name, options, path in zip(names, job.experiments, there, strict=True) if not path]
    first = max(map(folders.number, existing), default=-1) + 1
    numbered = folders.numbered_from(first, [name for name, _ in lacking])
    add = dict(zip(numbered, (options for _, options in lacking), strict=True))
    called = {path.name.partition("_")[2] for path in gone}
    changed = sum(name.partition("_")[2] in called for name, _ in lacking)
    parts = [f"{len(add) - changed} new"] * (len(add) > changed) + [f"{changed} changed"] * (changed > 0)
    sentences.append(f"{folder.name} is there: {', '.join([*parts, *filter(None, [fates.counts()])])}")
    if changed:
        sentences.append("What has changed gets folders of its own, beside those of the earlier config, which stay.")
    if len(gone) > changed:
        sentences.append(f"{count(len(gone) - changed)} of the folder left the job file, and will be left alone.")
    if fates.of(State.FAILED, State.DIVERGED, State.LOST):
        sentences.append("What failed is left alone; -r starts it again.")
    start = [fate.folder.name for fate in fates.of(State.NOT_STARTED)]
    if start or add:
        n = snapshot.n_changed(folder / folders.CODE)
        since = f", and {count(n, 'file')} of it changed since; -o or another name takes the new code" if n else ""
        sentences.append(f"They run the code as it was when the job was first submitted{since}.")
    return Plan(folder, [*start, *add], sentences, job if add else None, add=add)


def _match(experiments: list[dict[str, Any]], existing: list[Path]) -> tuple[list[Path | None], list[Path]]:
    """For each experiment its folder among the existing ones, or None; and the folders that are left over.

    Folders with exactly the same options come first, then those with the same identity: two experiments of
    one job may differ in options that change no number.
    """
    found: list[Path | None] = [None] * len(experiments)
    left = {path: folders.options_of(path) for path in existing}
    for key in (exactly, identity):
        by_key: dict[str, list[Path]] = {}
        for path, options in left.items():
            try:
                by_key.setdefault(key(options), []).append(path)
            except ValueError:  # a spec.yaml that was edited, and cannot be run
                continue
        for i, options in enumerate(experiments):
            if found[i] is None and (paths := by_key.get(key(options))):
                found[i] = paths.pop(0)
        taken = set(found)
        left = {path: options for path, options in left.items() if path not in taken}
    return found, list(left)


def _reuse(plan: Plan, output_dir: Path, options: dict[str, dict[str, Any]]) -> None:
    """Takes out of the plan's start what another job has finished already, to be copied."""
    wanted = {identity(options[name]): name for name in plan.names if name in options}
    others = [path.parent for path in output_dir.glob(f"[0-9]*/{folders.JOB}")] if output_dir.is_dir() else []
    for other in sorted(others, reverse=True):  # the newest first
        if other in (plan.folder, plan.delete):
            continue
        for path in folders.experiment_folders(other):
            if wanted and (path / experiment.DONE).exists():
                try:
                    name = wanted.pop(identity(folders.options_of(path)), None)
                except ValueError:
                    continue
                if name:
                    plan.reuse[name] = path
    plan.names = [name for name in plan.names if name not in plan.reuse]
    jobs = sorted({str(path.parent) for path in plan.reuse.values()})
    where = f" of {', '.join(jobs[:3])}{' and others' if len(jobs) > 3 else ''}" if jobs else " in other jobs"
    plan.sentences.append(
        f"{count(len(plan.reuse), 'finished experiment')}{where} reused by copy; {len(plan.names)} to run"
    )


def _deletion(old: Path) -> str:
    experiments = folders.experiment_folders(old)
    fates = _fates(experiments)
    if active := [fate for fate in fates.all if not _may_start(fate, fates) and fate.state != State.DONE]:
        told = ", ".join(f"{fate.folder.name} is {fate.state}" for fate in active[:3])
        more = f" and {len(active) - 3} more" if len(active) > 3 else ""
        raise ConfigError([f"{old} cannot be deleted: {told}{more}; --cancel {old} ends them"])
    return f"{old}/ will be deleted, with {count(len(fates.of(State.DONE)), 'finished experiment')}."


def _fates(experiments: list[Path]) -> Fates:
    """What became of them. Raises SlurmError if SLURM should know and does not answer."""
    fates = read_fates(experiments)
    if fates.problem and queue.is_installed():
        raise queue.SlurmError(fates.problem)
    if fates.problem:
        print(f"{fates.problem}: whether experiments still wait in a queue is not known", file=sys.stderr)
    return fates


def _may_start(fate: Fate, fates: Fates) -> bool:
    """Whether it is neither done nor in a queue nor running, as far as that can be known here."""
    if fates.problem and fate.state in ACTIVE:  # there is no queue here: only a heartbeat tells of life
        silent = age(fate.said)
        return fate.state != State.RUNNING or silent is None or silent >= SILENT
    return fate.state != State.DONE and fate.state not in ACTIVE


def _missing_modules(job: Job) -> list[str]:
    """The `python/<module>:<callable>` names whose module cannot be found; none is imported."""
    values = {value for options in job.experiments for value in options.values() if isinstance(value, str)}
    own = sorted(value for value in values if value.startswith("python/"))
    return [name for name in own if find_spec(re.split(r"[.:]", name.removeprefix("python/"))[0]) is None]
