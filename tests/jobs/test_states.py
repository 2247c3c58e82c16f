"""What became of an experiment: its folder's word and SLURM's, and who is believed when."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slurm_stub import SlurmStub

from src import experiment
from src.jobs import queue, states
from src.jobs.causes import Cause
from src.jobs.queue import QueuedJob
from src.jobs.states import Fate, State, read_fates


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def write(folder: Path, **said: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / experiment.SPEC).touch()
    experiment.write_state(folder, said, durable=False)
    return folder


def fate(folder: Path) -> Fate:
    (only,) = read_fates([folder]).all
    return only


# a heart that beats while the suite runs, however long that takes
FRESH, OLD = {"heartbeat": ago(-10_000), "host": "node1"}, {"heartbeat": ago(10_000), "host": "node1"}
RUNNING = {"status": "running", "job_id": "7"}
STOPPED = {"status": "failed", "cause": "stopped by SIGTERM", "job_id": "7"}


@pytest.mark.parametrize(
    ("said", "squeue", "expected"),
    [
        ({"status": "pending", "job_id": "7"}, ("PENDING", "Priority"), (State.QUEUED, "Priority")),
        ({"status": "pending", "job_id": "7", "attempt": 2}, ("PENDING", "Priority"), (State.QUEUED, "Priority")),
        ({"status": "pending", "comment": "grid ab"}, ("PENDING", "Priority"), (State.QUEUED, "Priority")),
        ({"status": "pending", "job_id": "7"}, ("RUNNING", "None"), (State.RUNNING, "starting")),
        (RUNNING | FRESH, ("RUNNING", "None"), (State.RUNNING, "")),
        (RUNNING | OLD, ("RUNNING", "None"), (State.RUNNING, "no heartbeat for 2.8 h")),
        (RUNNING | OLD, ("PENDING", "NodeDown"), (State.REQUEUED, "NodeDown")),
        (RUNNING | OLD, ("SUSPENDED", "None"), (State.RUNNING, "suspended")),
        ({"status": "requeued", "job_id": "7"}, ("PENDING", "BeginTime"), (State.REQUEUED, "BeginTime")),
        ({"status": "requeued", "job_id": "7"}, ("RUNNING", "None"), (State.RUNNING, "starting again")),
        (STOPPED, ("PENDING", "BeginTime"), (State.REQUEUED, "BeginTime")),  # preempted
        (STOPPED, ("RUNNING", "None"), (State.RUNNING, "starting again")),
        (STOPPED, ("COMPLETING", "None"), (State.FAILED, "stopped by SIGTERM")),
        ({"status": "failed", "cause": "ValueError: x", "job_id": "7"}, ("COMPLETING", "None"), (State.FAILED, "ValueError: x")),
    ],
)  # fmt: skip
def test_what_is_in_the_queue_waits_or_runs_whatever_state_json_last_said(
    stub: SlurmStub, tmp_path: Path, said: dict[str, Any], squeue: tuple[str, str], expected: tuple[State, str]
) -> None:
    stub.has("7", *squeue, comment="grid ab")
    found = fate(write(tmp_path / "job" / "0", **said))
    assert (found.state, found.text or found.note) == expected
    assert len(stub.calls_of("squeue")) == 1
    assert stub.calls_of("sacct") == []


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
def test_slurm_tells_what_a_run_died_of_that_could_not_say_it_even_with_a_fresh_heartbeat(
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
    found = fate(write(tmp_path / "job" / "0", **RUNNING, **heartbeat))
    assert (found.state, found.cause) == (State.FAILED, cause)
    assert len(stub.calls_of("squeue")) == 1


def test_a_signal_is_explained_by_slurm_and_an_exception_explains_itself(stub: SlurmStub, tmp_path: Path) -> None:
    stub.has("7", "CANCELLED")
    assert fate(write(tmp_path / "job" / "0", **STOPPED)).cause == Cause.CANCELLED
    assert (
        fate(write(tmp_path / "job" / "1", status="failed", cause="KeyError: 3", job_id="7")).cause == Cause.EXCEPTION
    )
    stub.has("8", "OUT_OF_MEMORY")
    assert (
        fate(write(tmp_path / "job" / "2", status="failed", cause="killed by SIGKILL", job_id="8")).cause == Cause.OOM
    )
    assert fate(write(tmp_path / "job" / "3", status="diverged", cause="loss is nan", job_id="8")).cause == Cause.NAN


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
def test_without_accounting_the_jobs_log_tells_it(
    stub: SlurmStub, tmp_path: Path, line: str, cause: Cause, down: bool
) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING, **OLD)
    (folder / "7.out").write_text(f"runs/x: started\nepoch 1\n{line}\n")
    if down:
        stub.squeue_is_down()
    assert (fate(folder).state, fate(folder).cause) == (State.FAILED, cause)
    (folder / "7.out").write_text(f"runs/x: started\n{line}\nruns/x: started\nepoch 1\n")  # of an earlier start
    assert fate(folder).state == (State.RUNNING if down else State.LOST)


def test_nothing_is_called_lost_for_being_absent_from_one_listing(
    stub: SlurmStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING, **OLD)
    listings = [[], [QueuedJob("7", "RUNNING")]]
    monkeypatch.setattr(queue, "jobs", lambda user: listings.pop(0))
    assert fate(folder).state == State.RUNNING
    assert listings == []

    listings[:] = [[], []]
    lost = fate(folder)
    assert (lost.state, lost.cause) == (State.LOST, Cause.LOST)
    assert "no heartbeat for 2.8 h" in lost.text

    listings[:] = [[]]
    assert fate(write(folder, **RUNNING, **FRESH)).state == State.RUNNING  # its heart beats: no second look


def test_a_run_that_ends_between_two_looks_is_done(
    stub: SlurmStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING, **OLD)

    def ends(job_ids: object) -> list[QueuedJob]:
        (folder / experiment.DONE).touch()
        return []

    monkeypatch.setattr(queue, "accounting", ends)
    assert fate(folder).state == State.DONE


def test_tasks_of_an_array_are_told_apart_and_those_of_a_pack_wait_for_their_turn(
    stub: SlurmStub, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    stub.has("7_0", "RUNNING", comment="grid ab")
    stub.has("7_1", "PENDING", "Resources", "grid ab")
    running = write(job / "0", status="running", job_id="7_0", **FRESH)
    waiting = write(job / "1", status="pending", job_id="7_1", comment="grid ab_1")
    unheard = write(job / "2", status="pending", comment="grid ab_1")
    in_pack = write(job / "3", status="pending", job_id="8", comment="grid cd")
    failed = write(job / "4", status="failed", cause="ValueError: x", job_id="8_0", comment="grid cd")
    (job / "slurm").mkdir()
    (job / "slurm" / "cd.pack").touch()
    stub.has("8_0", "RUNNING", comment="grid cd")
    stub.has("8_1", "PENDING", "Resources", "grid cd")
    stub.has("8_2", "NODE_FAIL", comment="grid cd")
    orphan = write(job / "5", status="running", job_id="8_2", **OLD)  # another task of the pack takes it over
    fates = read_fates([running, waiting, unheard, in_pack, orphan, failed]).all
    assert [fate.state for fate in fates] == [
        State.RUNNING, State.QUEUED, State.QUEUED, State.QUEUED, State.REQUEUED, State.FAILED
    ]  # fmt: skip
    assert [fate.text for fate in fates[1:5]] == ["Resources", "Resources", *["its turn in the pack"] * 2]


def test_an_array_that_was_cancelled_while_it_waited_stands_on_one_line_of_the_accounting(
    stub: SlurmStub, tmp_path: Path
) -> None:
    stub.accounts({"7_[1-2,4%2]": "CANCELLED by 0|0:0", "7_0": "COMPLETED|0:0"})
    tasks = [
        write(tmp_path / "job" / str(i), status="pending", job_id=f"7_{i}", comment=f"g ab_{i}") for i in (1, 2, 4)
    ]
    assert {fate.cause for fate in read_fates(tasks).all} == {Cause.CANCELLED}


def test_a_failure_in_an_interactive_allocation_is_no_job_of_ours(stub: SlurmStub, tmp_path: Path) -> None:
    stub.has("7", "RUNNING")  # by salloc: without a comment
    assert fate(write(tmp_path / "job" / "0", status="failed", cause="E: x", job_id="7")).state == State.FAILED


def test_while_slurm_does_not_answer_the_folders_are_told_and_nothing_is_called_lost(
    stub: SlurmStub, tmp_path: Path
) -> None:
    stub.squeue_is_down()
    said = [
        ({"status": "pending", "job_id": "7"}, State.QUEUED),
        ({"status": "requeued", "job_id": "7"}, State.REQUEUED),
        (RUNNING | OLD, State.RUNNING),
        (STOPPED, State.FAILED),
        ({"status": "pending"}, State.NOT_STARTED),
    ]
    folders = [write(tmp_path / "job" / str(i), **values) for i, (values, _) in enumerate(said)]
    fates = read_fates(folders)
    assert [fate.state for fate in fates.all] == [state for _, state in said]
    assert "squeue does not answer: slurm_load_jobs error" in fates.problem
    assert fates.all[2].note == "no heartbeat for 2.8 h"


def test_without_slurm_a_process_of_this_machine_that_is_gone_is_lost_and_silence_elsewhere_is_told(
    stub: SlurmStub, tmp_path: Path
) -> None:
    here = {"status": "running", "host": socket.gethostname(), **{"heartbeat": ago(10_000)}}
    assert fate(write(tmp_path / "job" / "0", **here, pid=os.getppid())).state == State.RUNNING
    gone = fate(write(tmp_path / "job" / "1", **here, pid=2**22 + 1))
    assert (gone.state, gone.cause) == (State.LOST, Cause.LOST)
    elsewhere = fate(write(tmp_path / "job" / "2", status="running", pid=1, **OLD))
    assert (elsewhere.state, elsewhere.note) == (State.RUNNING, "no heartbeat for 2.8 h")
    assert stub.calls_of("squeue") == []  # nothing was ever given to SLURM


def test_a_job_that_is_done_asks_slurm_nothing(stub: SlurmStub, tmp_path: Path) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING)
    (folder / experiment.DONE).touch()
    assert fate(folder).state == State.DONE
    assert stub.calls_of("squeue") == []


anything = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
state_files = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["pending", "running", "requeued", "done", "failed", "diverged", "what", 3]),
        "job_id": st.one_of(st.sampled_from(["7", "7_0", "8"]), anything),
        "comment": st.one_of(st.just("g ab"), anything),
        "cause": st.one_of(st.sampled_from(["stopped by SIGTERM", "killed by SIGKILL", "E: x"]), anything),
        "heartbeat": st.one_of(st.sampled_from([ago(0), ago(10_000)]), anything),
        "pid": anything,
        "host": st.one_of(st.just(socket.gethostname()), anything),
    },
)
queued_jobs = st.builds(
    QueuedJob,
    st.sampled_from(["7", "7_0", "7_1", "8"]),
    st.sampled_from([*queue.ENDED, *queue.WAITING, "RUNNING", "COMPLETING", "CONFIGURING", "NEW_ONE"]),
    st.sampled_from(["None", "Priority", "RaisedSignal:9(Killed)", "RaisedSignal:999"]),
    st.sampled_from(["", "g ab"]),
    st.sampled_from(["", "0:0", "1:0", "0:15"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.lists(state_files, min_size=1, max_size=3),
    st.one_of(st.none(), st.lists(queued_jobs, max_size=4)),
    st.lists(queued_jobs, max_size=2),
)
def test_whatever_the_files_and_slurm_say_each_experiment_has_one_fate(
    tmp_path_factory: pytest.TempPathFactory,
    said: list[dict[str, Any]],
    listed: list[QueuedJob] | None,
    accounted: list[QueuedJob],
) -> None:
    folders = [write(tmp_path_factory.mktemp("job") / "0", **values) for values in said]
    n_calls = 0

    def jobs(user: int | None) -> list[QueuedJob]:
        nonlocal n_calls
        n_calls += 1
        if listed is None:
            raise queue.SlurmError("squeue does not answer")
        return listed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "is_installed", lambda: True)
        patch.setattr(queue, "jobs", jobs)
        patch.setattr(queue, "accounting", lambda job_ids: accounted if list(job_ids) else [])
        patch.setattr(states, "LOOK_AGAIN", 0)
        fates = read_fates(folders)
    assert [fate.folder for fate in fates.all] == folders
    assert n_calls <= 2
    for found in fates.all:
        assert (found.cause is None) == (found.state in (State.DONE, *states.ACTIVE))
        if found.state == State.LOST and listed is None:
            assert found.said.get("host") == socket.gethostname()  # the one thing that is known without SLURM
