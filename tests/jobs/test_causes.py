"""Why an experiment failed: by its own report, SLURM's accounting or its job's log."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_stub import SlurmStub
from state_helpers import FRESH, OLD, RUNNING, STOPPED, outcome, write

from src.jobs.causes import Cause
from src.jobs.states import State


@pytest.mark.parametrize("listed_by", ["squeue", "sacct"])
@pytest.mark.parametrize(
    ("slurm_says", "exit_code", "cause"),
    [
        ("OUT_OF_MEMORY", "0:125", Cause.OOM),
        ("TIMEOUT", "0:0", Cause.TIMEOUT),
        ("NODE_FAIL", "0:0", Cause.NODE),
        ("CANCELLED", "0:0", Cause.CANCELLED),
        ("FAILED", "0:9", Cause.STOPPED),
        ("FAILED", "0:11", Cause.EXCEPTION),
        ("FAILED", "127:0", Cause.EXCEPTION),
        ("COMPLETED", "0:0", Cause.LOST),
    ],
)
def test_slurm_reports_why_a_run_ended_that_could_not_report_it_even_with_a_fresh_heartbeat(
    stub: SlurmStub, tmp_path: Path, listed_by: str, slurm_says: str, exit_code: str, cause: Cause
) -> None:
    if listed_by == "squeue":
        number = exit_code.partition(":")[2]
        stub.has("7", slurm_says, f"RaisedSignal:{number}(x)" if number not in ("0", "125") else "NonZeroExitCode")
        heartbeat = FRESH
    else:
        by = " by 1000" if slurm_says == "CANCELLED" else ""
        stub.accounts({"7": f"{slurm_says}{by}|{exit_code}"})
        heartbeat = OLD
    found = outcome(write(tmp_path / "job" / "0", **RUNNING, **heartbeat))
    assert (found.state, found.cause) == (State.FAILED, cause)
    assert len(stub.calls_of("squeue")) == 1


def test_a_signal_is_explained_by_slurm_and_an_exception_explains_itself(stub: SlurmStub, tmp_path: Path) -> None:
    stub.has("7", "CANCELLED")
    assert outcome(write(tmp_path / "job" / "0", **STOPPED)).cause == Cause.CANCELLED
    assert (
        outcome(write(tmp_path / "job" / "1", status="failed", cause="KeyError: 3", job_id="7")).cause
        == Cause.EXCEPTION
    )
    stub.has("8", "OUT_OF_MEMORY")
    assert (
        outcome(write(tmp_path / "job" / "2", status="failed", cause="killed by SIGKILL", job_id="8")).cause
        == Cause.OOM
    )
    assert outcome(write(tmp_path / "job" / "3", status="diverged", cause="loss is nan", job_id="8")).cause == Cause.NAN


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2025-01-31T12:00:00 DUE TO TIME LIMIT ***", Cause.TIMEOUT),
        ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2025-01-31T12:00:00 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***", Cause.NODE),
        ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2025-01-31T12:00:00 ***", Cause.CANCELLED),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the step tasks have been OOM Killed.", Cause.OOM),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch.", Cause.OOM),
    ],
)  # fmt: skip
@pytest.mark.parametrize("down", [False, True])
def test_without_accounting_the_jobs_log_has_the_cause(
    stub: SlurmStub, tmp_path: Path, line: str, cause: Cause, down: bool
) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING, **OLD)
    (folder / "7.out").write_text(f"runs/x: started\nepoch 1\n{line}\n")
    if down:
        stub.squeue_is_down()
    assert (outcome(folder).state, outcome(folder).cause) == (State.FAILED, cause)
    (folder / "7.out").write_text(f"runs/x: started\n{line}\nruns/x: started\nepoch 1\n")  # of an earlier start
    assert outcome(folder).state == (State.RUNNING if down else State.LOST)


@pytest.mark.parametrize("down", [False, True])
def test_a_failure_that_neither_the_experiment_nor_slurm_explains_has_no_cause(
    stub: SlurmStub, tmp_path: Path, down: bool
) -> None:
    if down:
        stub.squeue_is_down()
    found = outcome(write(tmp_path / "job" / "0", status="failed", job_id="7"))
    assert (found.state, found.cause, found.text) == (State.FAILED, Cause.LOST, "no cause given")
