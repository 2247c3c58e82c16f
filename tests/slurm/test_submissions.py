"""Submitting while SLURM is restarted, hangs or refuses: no experiment is lost, and none is queued twice.

All but the big grid go to the partition `closed`, where jobs wait and none starts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import ROOT
from slurm.cluster import Cluster
from slurm.jobs import Job

from src import experiment
from src.experiment import Status

MakeJob = Callable[..., Job]


def queued_names(cluster: Cluster) -> list[str]:
    return sorted(cluster.command("squeue", "--noheader", "--partition=closed", "--format=%j").splitlines())


def job_names(experiments: list[Path]) -> list[str]:
    return [f"test-{folder.name}" for folder in experiments]


def submit_in_background(job: Job) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "submit_multiple.py", job.file, "-s", job.script, "-y"],
        cwd=ROOT,
        env=job.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_program(path: Path, text: str) -> Path:
    """Returns the folder that it is in, for PATH."""
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path.parent


def test_a_restart_of_the_controller_loses_and_doubles_nothing(cluster: Cluster, make_job: MakeJob) -> None:
    job = make_job("closed", seed_model=list(range(20)))
    submission = submit_in_background(job)
    cluster.wait_until(lambda: len(queued_names(cluster)) >= 3, "the submission has begun")
    cluster.restart_controller(pause=2)
    _, errors = submission.communicate(timeout=120)
    assert submission.returncode == 0, errors
    assert len(job.experiments) == 20
    assert queued_names(cluster) == job_names(job.experiments)


def test_a_job_that_a_hanging_controller_accepts_late_is_not_sent_again(cluster: Cluster, make_job: MakeJob) -> None:
    job = make_job("closed", seed_model=[0, 1])
    with cluster.hanging_controller():
        submission = submit_in_background(job)
        cluster.wait_until(lambda: "squeue" in cluster.programs(), "sbatch has given up, and the queue is asked for")
    _, errors = submission.communicate(timeout=120)
    assert submission.returncode == 0, errors
    assert queued_names(cluster) == job_names(job.experiments)


def test_an_sbatch_that_fails_after_its_job_was_accepted_is_not_called_again(
    cluster: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    real = shutil.which("sbatch")
    said = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    path = write_program(tmp_path / "bin" / "sbatch", f'{real} "$@" > /dev/null; echo "{said}" >&2; exit 1')
    job = make_job("closed", seed_model=[0, 1, 2])
    submitted = job.submit(path=path)
    assert submitted.returncode == 0, submitted.stderr
    assert queued_names(cluster) == job_names(job.experiments)
    assert {experiment.read_state(folder)["job_id"] for folder in job.experiments} <= set(cluster.jobs())


def test_a_partition_that_does_not_exist_is_told_and_nothing_is_submitted(cluster: Cluster, make_job: MakeJob) -> None:
    job = make_job("nowhere", seed_model=[0, 1])
    submitted = job.submit()
    assert submitted.returncode == 1
    assert "Invalid partition name specified" in submitted.stderr
    assert "Submitted: 0. Not submitted: 2, from 0_seed_model=0 on." in submitted.stderr
    assert "Traceback" not in submitted.stderr
    assert [experiment.status(folder) for folder in job.experiments] == [Status.PENDING] * 2


def test_what_a_limit_on_the_number_of_jobs_leaves_is_submitted_by_a_retry(cluster: Cluster, make_job: MakeJob) -> None:
    job = make_job("closed", seed_model=[0, 1, 2, 3, 4])
    job.env["SBATCH_QOS"] = "three"
    submitted = job.submit()
    assert submitted.returncode == 1
    assert "QOSMaxSubmitJobPerUserLimit" in submitted.stderr
    assert "Submitted: 3, up to 2_seed_model=2. Not submitted: 2, from 3_seed_model=3 on." in submitted.stderr
    del job.env["SBATCH_QOS"]
    again = job.submit("-r")
    assert again.returncode == 0, again.stderr
    assert queued_names(cluster) == job_names(job.experiments)


@pytest.mark.parametrize("accounting", [True, False])
def test_a_retry_submits_what_is_not_in_the_queue(
    cluster: Cluster, make_job: MakeJob, tmp_path: Path, accounting: bool
) -> None:
    job = make_job("closed", seed_model=[0, 1, 2, 3, 4, 5])
    job.submit()
    cluster.command("scancel", *(experiment.read_state(folder)["job_id"] for folder in job.experiments[::2]))
    cluster.wait_until(lambda: len(queued_names(cluster)) == 3, "half of the job has left the queue")
    sacct = write_program(tmp_path / "bin" / "sacct", "echo Slurm accounting storage is disabled >&2; exit 1")
    again = job.submit("-r", path=None if accounting else sacct)
    assert again.returncode == 0, again.stderr
    assert "6 experiments: 3 queued, 3 failed; 3 to start again" in again.stdout
    assert queued_names(cluster) == job_names(job.experiments)
    assert "Nothing to do." in job.submit("-r").stdout


def test_a_grid_of_108_experiments_is_computed(cluster: Cluster, big_grid: Job) -> None:
    big_grid.wait_until(Status.DONE, seconds=600)
    assert len(big_grid.experiments) == 108
    job_ids = {str(experiment.read_state(folder)["job_id"]): folder for folder in big_grid.experiments}
    assert len(job_ids) == 108
    for job_id, folder in job_ids.items():
        assert [log.name for log in folder.glob("*.out")] == [f"{job_id}.out"]

    def accounted() -> dict[str, str]:
        rows = cluster.command("sacct", "-nPX", "--partition=background", "--format=jobid,state,jobname").splitlines()
        return dict(row.split("|COMPLETED|") for row in rows if "|COMPLETED|" in row)

    cluster.wait_until(lambda: len(accounted()) == 108, "sacct says that all are done")
    assert accounted() == {job_id: f"test-{folder.name}" for job_id, folder in job_ids.items()}
