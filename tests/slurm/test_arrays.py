"""Job arrays on a real SLURM: few calls, a name, folder and log for each experiment, and limits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from helpers import ROOT
from slurm.cluster import Cluster
from slurm.jobs import Job

from src import experiment
from src.experiment import Status

MakeJob = Callable[..., Job]
LONG = {"model": "python/toys:Patient", "train_length": 40}  # a minute; without the patience, a second

# An experiment that takes no time: it notes in its folder that it ran, and is done.
_TOUCH = """#!/bin/bash
#SBATCH --cpus-per-task=1 --mem=100M --time=5 --output=/dev/null
cd "$(dirname "$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$1")")" && echo "$SLURM_ARRAY_JOB_ID" >> ran && exec touch done
"""


def counting(folder: Path) -> Path:
    """A folder for PATH, whose SLURM commands note in `calls` that they were called."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scontrol", "sacct", "sinfo", "scancel"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} >> {folder}/calls\nexec {shutil.which(name)} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def test_a_thousand_experiments_are_submitted_with_a_few_calls(
    cluster: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job("closed", seed_model=list(range(1000)))
    commands = counting(tmp_path / "bin")
    submitted = job.submit("--array", "50", path=commands)
    assert submitted.returncode == 0, submitted.stderr
    assert len((commands / "calls").read_text().split()) <= 5
    queued = cluster.command("squeue", "--noheader", "--array", "--partition=closed", "--format=%i").split()
    job_ids = [experiment.read_state(folder)["job_id"] for folder in job.experiments]
    assert len(set(job_ids)) == 1000 and set(job_ids) == set(queued)
    again = job.submit("-r", "--array")
    assert "Nothing to do." in again.stdout, again.stdout + again.stderr


def test_each_task_has_its_name_folder_and_log_and_is_requeued_alone(
    cluster: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(**LONG, model_kwargs={"hurry": str(tmp_path / "hurry")}, seed_model=[0, 1, 2])
    submitted = job.submit("--array")
    assert submitted.returncode == 0, submitted.stderr
    job.wait_until(experiment.STATS, seconds=120)
    names = dict(
        line.split() for line in cluster.command("squeue", "-h", "--partition=main", "-o", "%i %j").splitlines()
    )
    assert names == {experiment.read_state(folder)["job_id"]: f"test-{folder.name}" for folder in job.experiments}
    second = experiment.read_state(job.experiments[1])["job_id"]
    cluster.command("scancel", "--batch", "--signal=USR2", second)  # what SLURM sends before the time limit
    cluster.wait_until(lambda: cluster.jobs()[second] == "PENDING", "the task is back in the queue")
    assert [cluster.jobs()[job_id] for job_id in names if job_id != second] == ["RUNNING"] * 2
    (tmp_path / "hurry").touch()
    job.wait_until(Status.DONE, seconds=120)
    states = [experiment.read_state(folder) for folder in job.experiments]
    assert [state["attempt"] for state in states] == [1, 2, 1]
    for folder, state in zip(job.experiments, states, strict=True):
        (log,) = folder.glob("*.out")
        assert log.name == f"{state['job_id']}.out"
        assert log.read_text().count(f"{folder}: started") == state["attempt"]


def test_more_experiments_than_the_limits_allow_are_fed_in_until_all_have_run_once(
    cluster: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    """1,500 experiments, arrays of at most 1,001, and at most 200 jobs and tasks of a user in the queue."""
    job = make_job(seed_model=list(range(1500)))
    job.script = tmp_path / "touch.sh"
    job.script.write_text(_TOUCH)
    job.env["SBATCH_QOS"] = "twohundred"

    def n_done() -> int:
        return sum((folder / experiment.DONE).exists() for folder in job.experiments)

    command = [sys.executable, "submit_multiple.py", job.file, "-s", job.script, "-y", "--array", "--drip", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=job.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        cluster.wait_until(lambda: n_done() > 400, "a part of it is done", seconds=200)
        process.kill()
    again = job.submit("-r", "--array", "--drip", "1")
    assert again.returncode == 0, again.stderr
    cluster.wait_until(lambda: n_done() == 1500, "all are done", seconds=200)
    assert [len((folder / "ran").read_text().split()) for folder in job.experiments] == [1] * 1500
