"""A job's folder: its name, how it is written whole or not at all, and how it is found again.

<output_dir>/<yy-mm-dd>-<name>/
    job.yaml            the specification
    code/               the code that the experiments run; later edits do not change it
    environment.txt     packages, git commit, uncommitted changes, command line
    slurm/              which experiments an array or a pack has, and the output of its tasks
    007_lr=0.1+bs=64/   one folder for each experiment, with spec.yaml and state.json
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from src import experiment, files, yaml_io
from src.experiment import Status
from src.jobs import snapshot
from src.jobs.specification import Job

JOB = "job.yaml"
CODE = "code"
ENVIRONMENT = "environment.txt"
SLURM = "slurm"

MAX_NAME = 120  # of an experiment's folder; file systems allow 255 bytes, but squeue shows less
MAX_VALUE = 40

Progress = Callable[[list[str]], Iterable[str]]  # wraps the list of experiments, as tqdm does

SHORT = {  # short names of frequent options in folder names; the other options keep their names
    "averaging": "avg",
    "base_lr": "lr",
    "batch_size": "bs",
    "data_splits_map": "splits",
    "dataset": "data",
    "grad_accum_steps": "accum",
    "lr_schedule": "sched",
    "model_head_init": "head",
    "model_pretrained": "pretrained",
    "momentum": "mom",
    "optim_alg": "opt",
    "train_length": "length",
    "warmup_steps": "warmup",
    "weight_decay": "wd",
    "weight_decay_biases": "wdb",
}


def new_job_folder(job: Job) -> Path:
    """The folder of a job that is submitted today."""
    return job.output_dir / f"{datetime.now():%y-%m-%d}-{job.name}"


def find_job_folder(output_dir: Path, name: str) -> Path | None:
    """The newest folder of the job in output_dir, from any day; None if there is none."""
    if not output_dir.is_dir():
        return None
    pattern = rf"\d\d-\d\d-\d\d-{re.escape(name)}"
    found = [path for path in output_dir.iterdir() if re.fullmatch(pattern, path.name) and (path / JOB).is_file()]
    return max(found, default=None, key=lambda path: path.name)


def experiment_folders(job_folder: Path) -> list[Path]:
    """The experiments of a job folder, in their order."""
    found = (spec.parent for spec in job_folder.glob(f"[0-9]*/{experiment.SPEC}"))
    return sorted(found, key=lambda folder: (number(folder), folder.name))


def number(folder: Path) -> int:
    """The number that an experiment's folder begins with."""
    found = re.match(r"\d+", folder.name)
    return int(found[0]) if found else -1


def experiment_names(experiments: list[dict[str, Any]]) -> list[str]:
    """A folder name for each experiment: its number, and the options in which the experiments differ.

    Only [A-Za-z0-9._=+,-], at most MAX_NAME characters; the number makes it unique.
    """
    values: dict[str, set[str]] = {}
    for options in experiments:
        for option, value in options.items():
            values.setdefault(option, set()).add(repr(value))
    n_named = {option: sum(option in options for options in experiments) for option in values}
    varying = [option for option in values if len(values[option]) > 1 or n_named[option] < len(experiments)]
    width = len(str(len(experiments) - 1))
    names = []
    for number, options in enumerate(experiments):
        parts = [f"{SHORT.get(o, o)}={_shell_safe(options[o])}" for o in varying if o in options]
        names.append(f"{number:0{width}}_{'+'.join(parts)}"[:MAX_NAME].rstrip("_"))
    return names


def write_job_folder(job: Job, folder: Path, progress: Progress = iter) -> list[Path]:
    """Writes the folder, whole or not at all, and returns the experiments' folders.

    Raises OSError, for instance FileExistsError.
    """
    if folder.exists():
        raise FileExistsError(_overtaken(folder))
    names = experiment_names(job.experiments)
    building = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        building.mkdir(parents=True)
        (building / JOB).write_text(job.text, encoding="utf-8")
        (building / ENVIRONMENT).write_text(snapshot.describe_environment(), encoding="utf-8")
        snapshot.copy_code(building / CODE, exclude=job.output_dir)
        _write_experiments(building, folder, dict(zip(names, job.experiments, strict=True)), progress)
        _move(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return [folder / name for name in names]


def numbered_from(first: int, names: list[str]) -> list[str]:
    """Names of `experiment_names`, renumbered from `first` on."""
    width = max((len(re.match(r"\d*", name)[0]) for name in names), default=1)  # type: ignore[index]
    rests = [name.partition("_")[1:] for name in names]
    return [f"{first + i:0{width}}{''.join(rest)}"[:MAX_NAME] for i, rest in enumerate(rests)]


def add_experiments(
    folder: Path,
    text: str,
    experiments: dict[str, dict[str, Any]],
    progress: Progress = iter,
) -> None:
    """Adds experiments, by name, to a job's folder, each whole or not at all; existing ones are kept unchanged.

    `text` is the specification that asks for them: it becomes job.yaml, and the earlier one is kept beside it.
    Raises OSError.
    """
    if (earlier := (folder / JOB).read_text(encoding="utf-8")) != text:
        n_earlier = len(list(folder.glob("job-*.yaml")))
        files.write_text(folder / f"job-{n_earlier + 1}.yaml", earlier)
        files.write_text(folder / JOB, text)
    building = folder / f".{os.getpid()}.tmp"
    try:
        building.mkdir()
        _write_experiments(building, folder, experiments, progress)
        for name in experiments:
            _move(building / name, folder / name)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _move(built: Path, target: Path) -> None:
    try:
        built.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(_overtaken(target)) from None
        raise


def _overtaken(folder: Path) -> str:
    return f"{folder} was written by another submission in the meantime; submit again: what that one has is not started twice"


def copy_finished(source: Path, target: Path) -> None:
    """Makes a pending experiment's folder a copy of a finished one, whose path is `reused_from` in its state.json.

    It keeps its own spec.yaml; config.yaml has what was run, where, and with which code. Weights are hard links:
    they take no space, and remain when the other folder is deleted. Raises OSError.
    """
    for path in sorted(source.iterdir()):
        if path.name in (experiment.SPEC, experiment.STATE, experiment.DONE) or path.name.startswith("."):
            continue
        if path.suffix == ".pt":  # never written in place: see files.replacing
            (target / path.name).unlink(missing_ok=True)
            _link(path, target / path.name)
        elif path.is_file():
            shutil.copy2(path, target / path.name)
    state = experiment.read_state(source) | {"status": Status.DONE, "reused_from": str(source)}
    experiment.write_state(target, {**state, "job_id": None, "comment": None, "pid": None})
    files.write_text(target / experiment.DONE, "")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _write_experiments(
    building: Path, folder: Path, experiments: dict[str, dict[str, Any]], progress: Progress
) -> None:
    """Writes a folder for each experiment to `building`, which will be renamed to be in `folder`."""
    state = json.dumps({"status": Status.PENDING, "attempt": 0}, indent=1) + "\n"
    for name in progress(list(experiments)):
        (building / name).mkdir()
        spec = yaml_io.dump({**experiments[name], "output_dir": str(folder / name)})
        # no atomic writes: no other process reads these files before the folder is renamed
        (building / name / experiment.SPEC).write_text(spec, encoding="utf-8")
        (building / name / experiment.STATE).write_text(state, encoding="utf-8")


def delete_job_folder(folder: Path) -> None:
    """Deletes a job's folder, and no other. It is renamed first, so that no half of it is left under its name."""
    if not (folder / JOB).is_file():
        raise FileNotFoundError(f"{folder} is not a job folder: it has no {JOB}")
    doomed = folder.with_name(f".{folder.name}.{os.getpid()}.deleted")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _shell_safe(value: Any) -> str:
    """A value as a short word without characters that a shell interprets: `tiny/lenet` -> `tiny-lenet`."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, float):
        text = repr(value).replace("e+", "e")  # '+' separates the options
    elif isinstance(value, dict):
        text = ",".join(f"{key}-{_shell_safe(inner)}" for key, inner in value.items())
    elif isinstance(value, list):
        text = ",".join(_shell_safe(inner) for inner in value)
    else:
        text = str(value)
    return re.sub(r"[^A-Za-z0-9._,-]+", "-", text)[:MAX_VALUE]
