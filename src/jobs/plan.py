"""What a submission will do: planned, checked and shown before anything is written."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from src import experiment
from src.config import ConfigError
from src.jobs import folders, snapshot
from src.jobs.causes import Cause
from src.jobs.identity import exactly, identity
from src.jobs.specification import Job, read_job
from src.jobs.states import ACTIVE, FINISHED, Outcome, Outcomes, State, has_heartbeat, read_outcomes
from src.jobs.text import count, listed

_SAME_CODE = "They run the code as it was when the job was first submitted"


@dataclass
class Plan:
    """What will happen, and the sentences that describe it."""

    folder: Path  # of the job
    names: list[str]  # folders of the experiments to start
    sentences: list[str]
    job: Job | None = None  # to be written first; None: the folder is kept unchanged
    delete: Path | None = None
    add: dict[str, dict[str, Any]] = field(default_factory=dict)  # to the existing folder: name -> options
    reuse: dict[str, Path] = field(default_factory=dict)  # name -> the finished folder that is copied

    def __str__(self) -> str:
        shown = self.names if len(self.names) <= 4 else [*self.names[:3], "..."]
        return "\n".join([*self.sentences, f"{self.folder}/", *(f"    {name}" for name in shown)])

    def write(self, progress: folders.Progress = iter) -> list[Path]:
        """Writes, extends or replaces the job's folder; returns the folders of the experiments to start."""
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
    """The experiments of a job file that its newest folder lacks; with `overwrite` all, and that folder is replaced.

    With `reuse`, experiments that another job of output_dir has finished are copied and not run.
    Raises ConfigError, and SlurmError if squeue does not answer.
    """
    if job_file.is_dir():
        raise ConfigError([f"{job_file} is a folder; -r resumes a job's folder"])
    job = read_job(job_file)
    if missing := _missing_modules(job):
        raise ConfigError([f"{job_file}: {name!r}: there is no such module beside train.py" for name in missing])
    _check_writable(job.output_dir)
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
    """The experiments of a job's folder, or of a job file's newest one, that are neither finished nor active.

    `only`: of these, the ones with one of these causes. Raises ConfigError, and SlurmError if squeue does not answer.
    """
    folder = existing_folder(path)
    experiments = folders.experiment_folders(folder)
    if not experiments:
        raise ConfigError([f"{folder} has no experiments"])
    outcomes = _read_outcomes(experiments)
    names = [
        outcome.folder.name
        for outcome in outcomes.all
        if outcome.state not in FINISHED and not _is_active(outcome, outcomes) and (not only or outcome.cause in only)
    ]
    selected = f", {len(names)} of them {' or '.join(only)}" if only else ""
    sentences = [f"{count(len(experiments))}: {outcomes.counts()}{selected}; {len(names)} to start again"]
    if ended := outcomes.of(State.ENDED):
        sentences.append(f"{count(len(ended))} ended by the calling program: not started again.")
    if n_deleted := _n_deleted(folder, experiments):
        sentences.append(
            f"{count(n_deleted)} of {folders.JOB} without a folder, which was deleted: not started again; "
            f"submitting {folder / folders.JOB} without -r writes and starts them."
        )
    if names:
        _check_code(folder)
    return Plan(folder, names, [*sentences, f"{_SAME_CODE}."])


def existing_folder(path: Path) -> Path:
    """The given job folder, or the newest one of the given job file."""
    if path.is_dir():
        if not (path / folders.JOB).is_file():
            raise ConfigError([f"{path} is not a job's folder: it has no {folders.JOB}"])
        return path.absolute()
    job = read_job(path)
    folder = folders.find_job_folder(job.output_dir, job.name)
    if folder is None:
        raise ConfigError([f"{job.output_dir} has no folder of the job {job.name!r}; submit it without -r"])
    if (folder / folders.JOB).read_text(encoding="utf-8") != job.text:
        print(f"{path} has changed since; -r starts again what {folder} has. Without -r new experiments are added.")
    return folder


# --- a job whose folder exists ------------------------------------------------------------------------------


def _growth(job: Job, names: list[str], folder: Path, sentences: list[str]) -> Plan:
    """The experiments of the job that the folder lacks, and those that never started."""
    existing = folders.experiment_folders(folder)
    matches, unmatched = _match(job.experiments, existing)
    outcomes = _read_outcomes([path for path in matches if path is not None])
    lacking = [(name, options) for name, options, path in zip(names, job.experiments, matches, strict=True) if not path]
    first = max(map(folders.number, existing), default=-1) + 1
    numbered = folders.numbered_from(first, [name for name, _ in lacking])
    add = dict(zip(numbered, (options for _, options in lacking), strict=True))
    unmatched_names = {path.name.partition("_")[2] for path in unmatched}
    changed = sum(name.partition("_")[2] in unmatched_names for name, _ in lacking)
    parts = [f"{len(add) - changed} new"] * (len(add) > changed) + [f"{changed} changed"] * (changed > 0)
    sentences.append(f"{folder.name} exists: {', '.join([*parts, *filter(None, [outcomes.counts()])])}")
    if changed:
        sentences.append("Changed experiments get new folders; the folders with the earlier config are kept.")
    if len(unmatched) > changed:
        n = count(len(unmatched) - changed)
        sentences.append(f"The job file no longer contains {n} of the folder; their files are kept.")
    if outcomes.of(State.FAILED, State.DIVERGED, State.LOST):
        sentences.append("Failed experiments are not started; -r starts them again.")
    start = [outcome.folder.name for outcome in outcomes.of(State.NOT_STARTED)]
    if start or add:
        _check_code(folder)
        n_changed = snapshot.n_changed(folder / folders.CODE)
        since = f"; {count(n_changed, 'file')} changed since, and -o or another job name takes the new code"
        sentences.append(f"{_SAME_CODE}{since if n_changed else ''}.")
    return Plan(folder, [*start, *add], sentences, job if add else None, add=add)


def _match(experiments: list[dict[str, Any]], existing: list[Path]) -> tuple[list[Path | None], list[Path]]:
    """For each experiment its folder among the existing ones, or None; and the folders without an experiment.

    Folders with exactly the same options come first, then those with the same identity: two experiments of
    one job may differ in options that change no number.
    """
    found: list[Path | None] = [None] * len(experiments)
    left = {path: experiment.read_options(path) for path in existing}
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
    """Moves experiments that another job has finished from the plan's `names` to its `reuse`."""
    needed = {identity(options[name]): name for name in plan.names if name in options}
    others = [path.parent for path in output_dir.glob(f"[0-9]*/{folders.JOB}")] if output_dir.is_dir() else []
    for other in sorted(others, reverse=True):  # the newest first
        if other in (plan.folder, plan.delete):
            continue
        for path in folders.experiment_folders(other):
            if needed and (path / experiment.DONE).exists():
                try:
                    name = needed.pop(identity(experiment.read_options(path)), None)
                except ValueError:
                    continue
                if name:
                    plan.reuse[name] = path
    plan.names = [name for name in plan.names if name not in plan.reuse]
    jobs = sorted({str(path.parent) for path in plan.reuse.values()})
    source = f"of {listed(jobs, 3)}" if jobs else "in other jobs"
    plan.sentences.append(
        f"{count(len(plan.reuse), 'finished experiment')} {source} reused by copy; {len(plan.names)} to run"
    )


def _deletion(old: Path) -> str:
    outcomes = _read_outcomes(folders.experiment_folders(old))
    if active := [f"{found.folder.name} is {found.state}" for found in outcomes.all if _is_active(found, outcomes)]:
        raise ConfigError([f"{old} cannot be deleted: {listed(active, 3)}; --cancel {old} ends them"])
    return f"{old}/ will be deleted, with {count(len(outcomes.of(State.DONE)), 'finished experiment')}."


def _read_outcomes(experiments: list[Path]) -> Outcomes:
    """What became of them. Raises SlurmError if SLURM is installed and does not answer."""
    outcomes = read_outcomes(experiments, slurm_must_answer=True)
    if outcomes.problem:
        print(f"{outcomes.problem}: whether experiments wait in a queue is not known", file=sys.stderr)
    return outcomes


def _is_active(outcome: Outcome, outcomes: Outcomes) -> bool:
    """Whether it is queued or running, as far as that can be known here."""
    if outcomes.problem and outcome.state in ACTIVE:  # there is no queue here: only a heartbeat shows that it runs
        return outcome.state == State.RUNNING and has_heartbeat(outcome.reported)
    return outcome.state in ACTIVE


def _n_deleted(folder: Path, existing: list[Path]) -> int:
    """How many experiments of the folder's job.yaml have no folder."""
    try:
        matches, _ = _match(read_job(folder / folders.JOB).experiments, existing)
    except ConfigError:  # that of another version: its experiments are those that are there
        return 0
    return matches.count(None)


def _check_code(folder: Path) -> None:
    if not (folder / folders.CODE / "train.py").is_file():
        raise ConfigError(
            [
                f"{folder / folders.CODE} has no train.py, which the experiments run; bring the code back, or start over with -o"
            ]
        )


def _check_writable(output_dir: Path) -> None:
    """A folder that is not there yet is made in the nearest one that is."""
    nearest = next(path for path in (output_dir, *output_dir.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        problem = "is no folder" if not nearest.is_dir() else "cannot be written"
        raise ConfigError([f"output_dir {output_dir}: {nearest} {problem}; name another one in job_details"])


def _missing_modules(job: Job) -> list[str]:
    """The `python/<module>:<callable>` names whose module cannot be found; none is imported."""
    options = (value for point in job.experiments for value in point.values())
    texts = (text for value in options for text in (value if isinstance(value, list) else [value]))
    names = sorted({text for text in texts if isinstance(text, str) and text.startswith("python/")})
    return [name for name in names if find_spec(re.split(r"[.:]", name.removeprefix("python/"))[0]) is None]
