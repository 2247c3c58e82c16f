"""Lists of configs, one path a line, that train.py takes in the place of one config: what a SLURM array runs.

`NAME.array`: each task of the array runs the config in its line. `NAME.pack`: the tasks share the configs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from src import experiment


def read(path: Path) -> list[Path]:
    """The config files that a list names. Raises ValueError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    if not lines:
        raise ValueError(f"{path}: names no config file")
    return [Path(line) for line in lines]


def own_config(path: Path) -> Path:
    """The config of this task of an array. The task's job gets the experiment's name, its log a link in the
    experiment's folder. Raises ValueError."""
    configs = read(path)
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if not task.isdecimal() or int(task) >= len(configs):
        raise ValueError(
            f"{path}: SLURM_ARRAY_TASK_ID is {task or 'not set'}, and must be 0 to {len(configs) - 1}; "
            "only the tasks of a SLURM array run this list"
        )
    config = configs[int(task)]
    if os.environ.get("SLURM_PROCID", "0") == "0":  # of several processes of the task, one
        _link_log(path.parent, config.parent)
        _rename_job(config.parent.name)
    return config


def _link_log(logs: Path, folder: Path) -> None:
    """Link the log that SLURM writes into the experiment's folder."""
    log, link = logs / f"{experiment.slurm_job_id()}.out", folder / f"{experiment.slurm_job_id()}.out"
    if not log.exists() or link.exists():  # the log is elsewhere, or this is a restart
        return
    try:
        link.hardlink_to(log)
    except OSError:  # the file system has no hard links
        link.symlink_to(os.path.relpath(log, folder))


def _rename_job(name: str) -> None:
    """Show the experiment in squeue. It does not wait for an answer: a job without the name runs as well."""
    job_name = os.environ.get("SLURM_JOB_NAME", "")
    if job_name.endswith(f"-{name}"):  # from before a restart
        return
    command = ["scontrol", "update", f"JobId={experiment.slurm_job_id()}", f"JobName={job_name}-{name}"]
    silent = subprocess.DEVNULL
    with contextlib.suppress(OSError):  # no scontrol on this node
        subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent, start_new_session=True)
