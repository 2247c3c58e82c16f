"""What became of an experiment: its folder's report and SLURM's, and which of them counts when."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slurm_stub import SlurmStub
from state_helpers import FRESH, OLD, RUNNING, STOPPED, ago, outcome, write

from src import experiment
from src.jobs import slurm_queue, states
from src.jobs.causes import Cause
from src.jobs.slurm_command import SlurmError
from src.jobs.slurm_queue import QueuedJob
from src.jobs.states import State, read_outcomes


@pytest.mark.parametrize(
    ("reported", "squeue", "expected"),
    [
        ({"status": "pending", "job_id": "7"}, ("PENDING", "Priority"), (State.QUEUED, "Priority")),
        ({"status": "pending", "job_id": "7", "attempt": 2}, ("PENDING", "Priority"), (State.QUEUED, "Priority")),
        ({"status": "pending", "comment": "grid ab"}, ("PENDING", "Priority"), (State.QUEUED, "Priority")),
        ({"status": "pending", "job_id": "7"}, ("RUNNING", "None"), (State.RUNNING, "starting")),
        (RUNNING | FRESH, ("RUNNING", "None"), (State.RUNNING, "")),
        (RUNNING | OLD, ("RUNNING", "None"), (State.RUNNING, "no heartbeat for 2.3 days")),
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
def test_what_is_in_the_queue_waits_or_runs_whatever_state_json_last_reported(
    stub: SlurmStub, tmp_path: Path, reported: dict[str, Any], squeue: tuple[str, str], expected: tuple[State, str]
) -> None:
    stub.has("7", *squeue, comment="grid ab")
    found = outcome(write(tmp_path / "job" / "0", **reported))
    assert (found.state, found.text or found.note) == expected
    assert len(stub.calls_of("squeue")) == 1
    assert stub.calls_of("sacct") == []


def test_nothing_is_called_lost_for_being_absent_from_one_listing(
    stub: SlurmStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING, **OLD)
    listings = [[], [QueuedJob("7", "RUNNING")]]
    monkeypatch.setattr(slurm_queue, "jobs", lambda user: listings.pop(0))
    assert outcome(folder).state == State.RUNNING
    assert listings == []

    listings[:] = [[], []]
    lost = outcome(folder)
    assert (lost.state, lost.cause) == (State.LOST, Cause.LOST)
    assert "no heartbeat for 2.3 days" in lost.text

    listings[:] = [[]]
    assert outcome(write(folder, **RUNNING, **FRESH)).state == State.RUNNING  # its heart beats: no second look


def test_a_run_that_ends_between_two_looks_is_done(
    stub: SlurmStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING, **OLD)

    def ends(job_ids: object) -> list[QueuedJob]:
        (folder / experiment.DONE).touch()
        return []

    monkeypatch.setattr(slurm_queue, "accounting", ends)
    assert outcome(folder).state == State.DONE


def test_tasks_of_an_array_are_distinct_and_those_of_a_pack_wait_for_their_turn(
    stub: SlurmStub, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    stub.has("7_0", "RUNNING", comment="grid ab")
    stub.has("7_1", "PENDING", "Resources", "grid ab")
    running = write(job / "0", status="running", job_id="7_0", **FRESH)
    waiting = write(job / "1", status="pending", job_id="7_1", comment="grid ab_1")
    unacknowledged = write(job / "2", status="pending", comment="grid ab_1")
    in_pack = write(job / "3", status="pending", job_id="8", comment="grid cd")
    failed = write(job / "4", status="failed", cause="ValueError: x", job_id="8_0", comment="grid cd")
    (job / "slurm").mkdir()
    (job / "slurm" / "cd.pack").touch()
    stub.has("8_0", "RUNNING", comment="grid cd")
    stub.has("8_1", "PENDING", "Resources", "grid cd")
    stub.has("8_2", "NODE_FAIL", comment="grid cd")
    orphan = write(job / "5", status="running", job_id="8_2", **OLD)  # another task of the pack takes it over
    outcomes = read_outcomes([running, waiting, unacknowledged, in_pack, orphan, failed]).all
    assert [outcome.state for outcome in outcomes] == [
        State.RUNNING, State.QUEUED, State.QUEUED, State.QUEUED, State.REQUEUED, State.FAILED
    ]  # fmt: skip
    assert [outcome.text for outcome in outcomes[1:5]] == ["Resources", "Resources", *["its turn in the pack"] * 2]


def test_an_array_that_was_cancelled_while_it_waited_is_one_row_of_the_accounting(
    stub: SlurmStub, tmp_path: Path
) -> None:
    stub.accounts({"7_[1-2,4%2]": "CANCELLED by 0|0:0", "7_0": "COMPLETED|0:0"})
    tasks = [
        write(tmp_path / "job" / str(i), status="pending", job_id=f"7_{i}", comment=f"g ab_{i}") for i in (1, 2, 4)
    ]
    assert {outcome.cause for outcome in read_outcomes(tasks).all} == {Cause.CANCELLED}


def test_a_failure_in_an_interactive_allocation_is_no_job_of_ours(stub: SlurmStub, tmp_path: Path) -> None:
    stub.has("7", "RUNNING")  # by salloc: without a comment
    assert outcome(write(tmp_path / "job" / "0", status="failed", cause="E: x", job_id="7")).state == State.FAILED


def test_while_slurm_does_not_answer_the_folders_are_reported_and_nothing_is_called_lost(
    stub: SlurmStub, tmp_path: Path
) -> None:
    stub.squeue_is_down()
    reported = [
        ({"status": "pending", "job_id": "7"}, State.QUEUED),
        ({"status": "requeued", "job_id": "7"}, State.REQUEUED),
        (RUNNING | OLD, State.RUNNING),
        (STOPPED, State.FAILED),
        ({"status": "pending"}, State.NOT_STARTED),
    ]
    folders = [write(tmp_path / "job" / str(i), **values) for i, (values, _) in enumerate(reported)]
    outcomes = read_outcomes(folders)
    assert [outcome.state for outcome in outcomes.all] == [state for _, state in reported]
    assert "squeue does not answer: slurm_load_jobs error" in outcomes.problem
    assert outcomes.all[2].note == "no heartbeat for 2.3 days"


def test_without_slurm_a_process_of_this_machine_that_is_gone_is_lost_and_silence_elsewhere_is_reported(
    stub: SlurmStub, tmp_path: Path
) -> None:
    here = {"status": "running", "host": socket.gethostname(), **{"heartbeat": ago(200_000)}}
    assert outcome(write(tmp_path / "job" / "0", **here, pid=os.getppid())).state == State.RUNNING
    gone = outcome(write(tmp_path / "job" / "1", **here, pid=2**22 + 1))
    assert (gone.state, gone.cause) == (State.LOST, Cause.LOST)
    elsewhere = outcome(write(tmp_path / "job" / "2", status="running", pid=1, **OLD))
    assert (elsewhere.state, elsewhere.note) == (State.RUNNING, "no heartbeat for 2.3 days")
    assert stub.calls_of("squeue") == []  # nothing was ever given to SLURM


@pytest.mark.parametrize("slurm", [None, "RUNNING", "PENDING", "CANCELLED"])
def test_a_run_that_its_caller_closed_has_ended_whatever_slurm_reports(
    stub: SlurmStub, tmp_path: Path, slurm: str | None
) -> None:
    if slurm:
        stub.has("7_0", slurm, comment="grid ab")
    else:
        stub.squeue_is_down()
    folder = write(tmp_path / "job" / "0", status="ended", cause="closed by the calling program", job_id="7_0")
    (tmp_path / "job" / "slurm").mkdir()
    (tmp_path / "job" / "slurm" / "ab.pack").touch()  # no task of the pack will run it
    found = outcome(folder)
    assert (found.state, found.cause, found.text) == (State.ENDED, None, "closed by the calling program")
    assert stub.calls_of("squeue") == []


def test_a_job_that_is_done_asks_slurm_nothing(stub: SlurmStub, tmp_path: Path) -> None:
    folder = write(tmp_path / "job" / "0", **RUNNING)
    (folder / experiment.DONE).touch()
    assert outcome(folder).state == State.DONE
    assert stub.calls_of("squeue") == []


anything = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
state_files = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["pending", "running", "requeued", "done", "failed", "ended", "diverged", "what", 3]),
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
    st.sampled_from([*slurm_queue.ENDED, *slurm_queue.WAITING, "RUNNING", "COMPLETING", "CONFIGURING", "NEW_ONE"]),
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
def test_whatever_the_files_and_slurm_say_each_experiment_has_one_outcome(
    tmp_path_factory: pytest.TempPathFactory,
    reported: list[dict[str, Any]],
    listed: list[QueuedJob] | None,
    accounted: list[QueuedJob],
) -> None:
    folders = [write(tmp_path_factory.mktemp("job") / "0", **values) for values in reported]
    n_calls = 0

    def jobs(user: int | None) -> list[QueuedJob]:
        nonlocal n_calls
        n_calls += 1
        if listed is None:
            raise SlurmError("squeue does not answer")
        return listed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm_queue, "is_installed", lambda: True)
        patch.setattr(slurm_queue, "jobs", jobs)
        patch.setattr(slurm_queue, "accounting", lambda job_ids: accounted if list(job_ids) else [])
        patch.setattr(states, "RECHECK_AFTER", 0)
        outcomes = read_outcomes(folders)
    assert [outcome.folder for outcome in outcomes.all] == folders
    assert n_calls <= 2
    for found in outcomes.all:
        assert (found.cause is None) == (found.state in (*states.FINISHED, *states.ACTIVE))
        if found.state == State.LOST and listed is None:
            assert found.reported.get("host") == socket.gethostname()  # the one thing that is known without SLURM
