"""What interrupts a run on a cluster, and how it goes on: with the same numbers as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import run_command, stats_without_clock
from slurm.cluster import Cluster
from slurm.jobs import DEFAULTS, Job

from src.experiment import Status

LONG = {"model": "python/toys:Patient", "train_length": 40, "momentum": 0.9}  # a minute; without the patience, a second

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The stats.csv, without the clock's columns, of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    options = DEFAULTS | LONG | {"model_kwargs": {"hurry": str(folder)}, "output_dir": str(folder / "run")}
    (folder / "run.yaml").write_text(json.dumps(options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        done = run_command("train.py", folder / "run.yaml")
    assert done.returncode == 0, done.stderr
    return stats_without_clock(folder / "run")


@pytest.fixture
def make_long_job(make_job: MakeJob, tmp_path: Path) -> MakeJob:
    def make(partition: str = "main", **parameters: object) -> Job:
        return make_job(partition, **LONG, model_kwargs={"hurry": str(tmp_path / "hurry")}, **parameters)

    return make


def hurry(job: Job) -> None:
    """The run was interrupted; what is left of it may be quick."""
    (job.file.parent / "hurry").touch()


def test_near_its_time_limit_a_run_saves_itself_and_goes_on_in_a_new_start_of_its_job(
    cluster: Cluster, make_long_job: MakeJob, undisturbed: str
) -> None:
    job = make_long_job()
    job_id = job.start()
    cluster.command("scontrol", "update", f"jobid={job_id}", "EndTime=now+60")
    job.wait_until(Status.REQUEUED)  # SLURM looks every 30 s who is to be warned
    assert job.state["cause"] == "stopped by SIGUSR2"
    hurry(job)
    job.wait_until(Status.DONE)
    assert (job.state["job_id"], job.state["attempt"]) == (job_id, 2)
    assert stats_without_clock(job.folder) == undisturbed
    assert job.log.count("started") == 2, "the log of the first start was not kept"


def test_a_warning_by_usr1_reaches_a_run_through_exec_srun_too(
    cluster: Cluster, make_long_job: MakeJob, tmp_path: Path, undisturbed: str
) -> None:
    job = make_long_job()
    text = job.script.read_text()
    job.script = tmp_path / "submit_srun.sh"
    job.script.write_text(text.replace("\nexec ", "\nexec srun "))
    job_id = job.start()
    cluster.command("scancel", "--batch", "--signal=USR1", job_id)  # what --signal=B:USR1@... sends
    cluster.wait_until(lambda: cluster.jobs()[job_id] == "PENDING", "the job is back in the queue")
    assert (job.state["status"], job.state["cause"]) == (Status.REQUEUED, "stopped by SIGUSR1")
    hurry(job)
    job.wait_until(Status.DONE)
    assert stats_without_clock(job.folder) == undisturbed


def test_a_preempted_run_goes_on_when_its_rival_is_done(
    cluster: Cluster, make_long_job: MakeJob, undisturbed: str
) -> None:
    job = make_long_job("killable")
    job_id = job.start()
    rival = ["--partition=main", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
    cluster.command("sbatch", *rival)
    cluster.wait_until(lambda: cluster.jobs()[job_id] == "PENDING", "the job is preempted")
    assert job.state["cause"] == "stopped by SIGTERM"
    assert "Nothing to do." in job.submit("-r").stdout  # it is in the queue
    hurry(job)
    job.wait_until(Status.DONE)
    assert (job.state["job_id"], job.state["attempt"]) == (job_id, 2)
    assert stats_without_clock(job.folder) == undisturbed


def test_a_cancelled_run_stays_cancelled_until_the_user_starts_it_again(
    cluster: Cluster, make_long_job: MakeJob, undisturbed: str
) -> None:
    job = make_long_job()
    job_id = job.start()
    cluster.command("scancel", job_id)
    cluster.wait_until(lambda: job_id not in cluster.jobs(), "the job has left the queue")
    assert (job.state["status"], job.state["cause"]) == (Status.FAILED, "stopped by SIGTERM")
    cluster.wait_until(
        lambda: "CANCELLED" in cluster.command("sacct", "-nXj", job_id, "-o", "state"), "it is cancelled"
    )
    hurry(job)
    again = job.submit("-r")
    assert again.returncode == 0, again.stderr
    job.wait_until(Status.DONE)
    assert job.state["job_id"] != job_id
    assert stats_without_clock(job.folder) == undisturbed


def test_a_run_whose_node_dies_goes_on_elsewhere(cluster: Cluster, make_long_job: MakeJob, undisturbed: str) -> None:
    job = make_long_job(checkpoint_every_seconds=0)
    job_id = job.start()
    node = cluster.command("squeue", "--noheader", f"--jobs={job_id}", "--format=%N")
    cluster.kill_node(node)
    assert job.state["status"] == Status.RUNNING  # nobody was left to say anything else
    hurry(job)
    job.wait_until(Status.DONE)
    cluster.start_node(node)
    assert (job.state["job_id"], job.state["attempt"]) == (job_id, 2)
    assert stats_without_clock(job.folder) == undisturbed


def test_a_run_that_is_started_again_and_again_and_comes_no_further_ends_as_failed(
    cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job(model="python/toys:doomed")
    job.submit()
    job_id = str(job.state["job_id"])
    job.wait_until(Status.FAILED)
    assert "3 restarts in a row without a step of progress" in job.state["cause"]
    cluster.wait_until(lambda: job_id not in cluster.jobs(), "the job has left the queue")
    assert job.state["attempt"] == 4  # the fifth start ends before it is one
