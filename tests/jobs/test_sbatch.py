"""Submitting one experiment: what sbatch gets, how its answers are read, and what happens when it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from slurm_stub import SlurmStub

from src import experiment
from src.jobs import sbatch, slurm_command, slurm_queue
from src.jobs.sbatch import was_submitted
from src.jobs.slurm_command import SlurmError
from src.jobs.submission import is_queued


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "100% runs" / "25-01-31-grid" / "0_lr=1"
    folder.mkdir(parents=True)
    experiment.write_state(folder, {"status": "pending", "attempt": 0})
    return folder


def submit(folder: Path) -> str:
    return sbatch.submit([folder], sbatch.Launch(Path("/somewhere/submit.sh")))


def test_sbatch_gets_the_name_the_log_the_script_and_the_spec(stub: SlurmStub, folder: Path) -> None:
    assert submit(folder) == "101"
    (call,) = stub.calls
    log = str(folder).replace("100%", "100%%") + "/%j.out"
    assert call[:4] == ["--job-name=grid-0_lr=1", f"--output={log}", f"--error={log}", "--open-mode=append"]
    assert call[4:6] == ["--requeue", "--signal=B:USR2@120"]
    assert call[6].startswith("--comment=grid-0_lr=1 ")
    assert call[7:] == ["/somewhere/submit.sh", f"{folder}/spec.yaml"]
    state = experiment.read_state(folder)
    assert (state["status"], state["attempt"], state["job_id"]) == ("pending", 0, "101")


def test_a_parsable_answer_is_read_too(stub: SlurmStub, folder: Path) -> None:
    stub.will("parsable")
    assert submit(folder) == "101"


def test_two_submissions_of_an_experiment_have_different_comments(stub: SlurmStub, folder: Path) -> None:
    submit(folder)
    submit(folder)
    comments = [word for call in stub.calls for word in call if word.startswith("--comment=")]
    assert len(set(comments)) == 2


def test_a_job_started_from_a_job_inherits_none_of_its_slurm_variables(
    stub: SlurmStub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_CPU_BIND", "SBATCH_CPU_BIND", "SLURM_CONF", "SBATCH_ACCOUNT", "OTHER"):
        monkeypatch.setenv(name, "x")
    submit(folder)
    kept = {name for name in stub.environment if name.startswith(("SLURM_", "SBATCH_", "OTHER"))}
    assert kept == {"SLURM_CONF", "SBATCH_ACCOUNT", "OTHER"}
    assert stub.environment["EXPERIMENT_PYTHON"] == sys.executable


def test_a_failing_sbatch_is_tried_three_times(stub: SlurmStub, folder: Path) -> None:
    stub.will("fail", "fail", "ok")
    assert submit(folder) == "101"
    assert len(stub.calls) == 3


def test_after_three_failures_the_error_of_sbatch_is_reported(stub: SlurmStub, folder: Path) -> None:
    stub.will("fail", "fail", "fail", "ok")
    with pytest.raises(SlurmError, match="failed 3 times: sbatch: error: Batch job submission failed: no"):
        submit(folder)
    assert experiment.read_state(folder)["job_id"] is None


@pytest.mark.parametrize("outcomes", [("lost",), ("fail", "lost"), ("fail", "fail", "lost")])
def test_a_submission_that_seemed_to_fail_and_is_queued_is_not_sent_again(
    stub: SlurmStub, folder: Path, outcomes: tuple[str, ...]
) -> None:
    stub.will(*outcomes)
    assert submit(folder) == "101"
    assert len(stub.queue) == 1
    assert experiment.read_state(folder)["job_id"] == "101"


def test_without_an_answer_of_squeue_nothing_is_sent_again(stub: SlurmStub, folder: Path) -> None:
    stub.will("lost", "ok")
    stub.squeue_is_down()
    with pytest.raises(SlurmError, match="is not known: squeue does not answer: slurm_load_jobs error"):
        submit(folder)
    assert len(stub.calls) == 1


def test_a_job_that_has_started_before_sbatch_returns_keeps_its_state(stub: SlurmStub, folder: Path) -> None:
    sbatch = stub.folder / "sbatch"
    state = folder / "state.json"
    sbatch.write_text(sbatch.read_text() + f"""printf '{{"status": "running", "pid": 7}}' > '{state}'\n""")
    submit(folder)
    assert experiment.read_state(folder) == {"status": "running", "pid": 7}


def test_the_queue_is_asked_for_with_one_call_whatever_the_users_squeue_settings(
    stub: SlurmStub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = stub.folder / "squeue"
    squeue.write_text(squeue.read_text().replace("#!/bin/sh", '#!/bin/sh\n[ -n "$SQUEUE_STATES" ] && exit'))
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")  # would hide what waits
    submit(folder)
    other = folder.parent / "1_lr=2"
    other.mkdir()
    assert is_queued(folder, slurm_queue.queued_names())
    assert not is_queued(other, slurm_queue.queued_names())


def test_an_experiment_whose_job_id_was_never_noted_is_found_in_the_queue(
    stub: SlurmStub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = slurm_command.subprocess.run

    def killed_after_sbatch(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(slurm_command.subprocess, "run", killed_after_sbatch)
        submit(folder)
    assert experiment.read_state(folder)["job_id"] is None
    assert was_submitted(experiment.read_state(folder))
    assert is_queued(folder, slurm_queue.queued_names())


def test_an_squeue_that_does_not_answer_is_an_error_and_no_empty_queue(stub: SlurmStub) -> None:
    stub.squeue_is_down()
    with pytest.raises(SlurmError, match="squeue does not answer"):
        slurm_queue.queued_names()


@pytest.mark.parametrize("script", ["submit_cpu.sh", "submit_2080.sh", "submit_3090plus.sh"])
def test_a_submit_script_starts_the_snapshots_train_py_in_its_own_process(script: str, tmp_path: Path) -> None:
    """SLURM runs a copy of the script with the spec as its argument; so does this, in a folder with spaces."""
    job = tmp_path / "my runs" / "a job"
    (job / "code").mkdir(parents=True)
    (job / "0_lr=1").mkdir()
    (job / "code" / "train.py").write_text("import os, sys; print(os.getpid(), *sys.argv[1:], sep='|')")
    copy = tmp_path / "slurm_script"
    copy.write_bytes((ROOT / script).read_bytes())
    spec = str(job / "0_lr=1" / "spec.yaml")
    environment = {"PATH": "/usr/bin:/bin", "EXPERIMENT_PYTHON": sys.executable}
    with subprocess.Popen(["bash", copy, spec], stdout=subprocess.PIPE, text=True, env=environment) as process:
        output = process.communicate(timeout=60)[0]
    assert output == f"{process.pid}|{spec}\n"


@pytest.mark.parametrize("script", ["submit_cpu.sh", "submit_2080.sh", "submit_3090plus.sh"])
def test_a_submit_script_asks_for_what_slurm_needs_before_its_first_command(script: str) -> None:
    lines = (ROOT / script).read_text().splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if line and not line.startswith("#"))]
    asked = {line.split()[1].split("=")[0] for line in head if line.startswith("#SBATCH ")}
    assert asked >= {"--cpus-per-task", "--mem", "--time", "--requeue"}
    assert ("--gres" in asked) == (script != "submit_cpu.sh")
