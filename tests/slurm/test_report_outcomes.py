"""A job with one experiment of every outcome: what report.py says of each, and what -r --only starts again."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers import run_command
from slurm.cluster import Cluster
from slurm.jobs import DEFAULTS, Job

from src import experiment
from src.experiment import Status

PATIENT = {"model": "python/toys:Patient"}  # runs for minutes
OUTCOMES: dict[str, dict[str, Any]] = {  # in the order of the experiments' numbers
    "done": {},
    "exception": {"model": "python/toys:broken"},
    "oom": {"model": "python/toys:huge"},
    "nan": {"base_lr": 1e30},
    "timeout": {"model": "python/toys:deaf"},
    "node": PATIENT,
    "running": PATIENT,
    "requeued": PATIENT,
    "cancelled": PATIENT,
    "queued": {},
}


@pytest.fixture(scope="module")
def job(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """All outcomes have been met."""
    folder = tmp_path_factory.mktemp("outcomes")
    patience = {"model_kwargs": {"hurry": str(folder / "never")}, "train_length": 400}
    outcomes = [
        {"model": "linear", "train_length": 1, "seed_model": i} | options | (patience if options is PATIENT else {})
        for i, options in enumerate(OUTCOMES.values())
    ]
    job = Job(cluster, folder, "closed")  # a partition that starts nothing
    specification = json.loads(job.file.read_text())
    shared = {key: value for key, value in DEFAULTS.items() if key not in outcomes[0]}
    job.file.write_text(json.dumps(specification | {"parameters": {"LIST_outcomes": outcomes, **shared}}))
    submitted = job.submit("--sbatch=--cpus-per-task=1 --mem=1G")
    assert submitted.returncode == 0, submitted.stderr
    of = dict(zip(OUTCOMES, job.experiments, strict=True))
    ids = {outcome: str(experiment.read_state(folder)["job_id"]) for outcome, folder in of.items()}

    def start(*names: str, node: str = "n1") -> None:
        for name in names:
            cluster.command("scontrol", "update", f"jobid={ids[name]}", "partition=main", f"ReqNodeList={node}")

    def wait(name: str, what: Status | str) -> None:
        there = (lambda: experiment.status(of[name]) == what) if isinstance(what, Status) else (of[name] / what).exists
        cluster.wait_until(there, f"{name}: {what}; {experiment.read_state(of[name])}")

    start("timeout")
    wait("timeout", Status.RUNNING)
    cluster.command("scontrol", "update", f"jobid={ids['timeout']}", "EndTime=now+5")  # looked at every 30 s
    start("node", node="n2")
    wait("node", experiment.STATS)
    cluster.command("scontrol", "update", f"jobid={ids['node']}", "requeue=0")
    cluster.kill_node("n2")
    start("running", "requeued", "cancelled")
    wait("requeued", experiment.STATS)
    cluster.command("scontrol", "requeuehold", ids["requeued"])
    wait("cancelled", experiment.STATS)
    cluster.command("scancel", ids["cancelled"])
    start("done", "exception", "oom", "nan")
    wait("done", Status.DONE)
    for name in ("exception", "oom"):
        wait(name, Status.FAILED)
    wait("nan", Status.DIVERGED)
    wait("running", experiment.STATS)
    left = {ids[name] for name in ("running", "requeued", "queued")}
    cluster.wait_until(lambda: set(cluster.jobs()) & set(ids.values()) == left, "the others have left the queue")
    cluster.start_node("n2")
    return job


def report(job: Job, path: Path | None = None) -> str:
    env = job.env | ({"PATH": f"{path}:{job.env['PATH']}"} if path else {})
    (job_folder,) = job.output_dir.iterdir()
    done = run_command("report.py", job_folder, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def places(said: str) -> dict[str, str]:
    """Outcome that was made -> part or cause of the report in which the experiment stands."""
    part, where = "", {}
    for line in said.partition("\n#  ")[0].splitlines():
        if heading := re.match(r"(Running|Queued|Requeued|Failed)", line):
            part = place = heading[1].lower()
        elif part == "failed" and (cause := re.match(r" +\d+ x (\w+) ", line)):
            place = cause[1]
        for number in re.findall(r"^  +(\d)  " if part == "running" else r"[ ,](\d)_model=", line):
            where[int(number)] = place
    assert len(where) + ("1 done" in said.splitlines()[0]) == len(OUTCOMES), said
    return {name: where.get(i, "done") for i, name in enumerate(OUTCOMES)}


def without_accounting(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sacct").write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2; exit 1\n")
    (tmp_path / "bin" / "sacct").chmod(0o755)
    return tmp_path / "bin"


def test_each_fate_is_in_its_place_with_sacct_and_without(job: Job, tmp_path: Path) -> None:
    assert places(report(job)) == {name: name for name in OUTCOMES}
    assert places(report(job, without_accounting(tmp_path))) == {name: name for name in OUTCOMES}


def test_while_the_controller_is_down_the_report_says_so_and_what_the_folders_know(job: Job, cluster: Cluster) -> None:
    with cluster.stopped_controller():
        said = report(job)
    assert "This is what the folders know; squeue does not answer" in said
    # nobody is left on a dead node to write into the folder, and its heartbeat is young
    assert places(said) == {name: name for name in OUTCOMES} | {"node": "running"}


@pytest.mark.parametrize("cause", ["exception", "oom", "nan", "timeout", "node", "cancelled"])
def test_retry_by_cause_starts_exactly_those(job: Job, cause: str) -> None:
    planned = job.submit("-r", "--only", cause, "-d").stdout
    started = [line.strip() for line in planned.splitlines() if re.match(r" {4}\d_", line)]
    assert started == [job.experiments[list(OUTCOMES).index(cause)].name]


def test_a_retry_may_ask_for_more_memory_and_a_cancel_ends_what_it_queued(job: Job, cluster: Cluster) -> None:
    again = job.submit("-r", "--only", "oom", "--mem", "2G")
    assert again.returncode == 0, again.stderr
    job_id = experiment.read_state(job.experiments[2])["job_id"]
    assert "MinMemoryNode=2G" in cluster.command("scontrol", "show", "job", str(job_id))
    cancelled = cancel(job)
    assert "1 running, 2 queued, 1 requeued" in cancelled.stdout
    cluster.wait_until(
        lambda: not cluster.command("squeue", "-h", "-p", "main,closed"), "the queue is empty after --cancel"
    )
    assert cancel(job).stdout.endswith("Nothing to cancel.\n")


def cancel(job: Job) -> subprocess.CompletedProcess[str]:
    (job_folder,) = job.output_dir.iterdir()
    return run_command("submit_multiple.py", "--cancel", job_folder, "-y", env=job.env)
