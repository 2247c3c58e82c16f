"""submit_multiple.py --array, --pack and --drip: which calls SLURM gets, and what limits do to them."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slurm_stub import SlurmStub

import submit_multiple
from src import experiment
from src.jobs import sbatch, slurm_queue, submission
from src.jobs.sbatch import Launch
from src.jobs.submission import is_queued


def submit(tmp_path: Path, n: int, *options: str) -> int:
    job = tmp_path / "grid.yaml"
    job.write_text(
        f"""
job_details: {{name: grid, output_dir: '{tmp_path / "100% runs"}'}}
parameters:
  dataset: sklearn/iris
  data_splits_map: {{train: train}}
  model: linear
  seed_model: '[i for i in range({n})]'
"""
    )
    return submit_multiple.main([str(job), "-s", str(ROOT / "submit_cpu.sh"), "-y", *options])


def folders(tmp_path: Path) -> list[Path]:
    return sorted(spec.parent for spec in (tmp_path / "100% runs").glob(f"*/*/{experiment.SPEC}"))


def value(call: list[str], option: str) -> str:
    (found,) = [word.partition("=")[2] for word in call if word.startswith(f"--{option}=")]
    return found


def listed(call: list[str], suffix: str) -> list[Path]:
    """The experiments that the list of a call names."""
    (path,) = [Path(word) for word in call if word.endswith(suffix)]
    return [Path(line).parent for line in path.read_text().splitlines()]


def test_an_array_is_one_call_and_each_experiment_knows_its_task(tmp_path: Path, stub: SlurmStub) -> None:
    assert submit(tmp_path, 12, "--array", "5") == 0
    (call,) = stub.calls
    assert value(call, "array") == "0-11%5"
    job_folder = folders(tmp_path)[0].parent
    assert value(call, "output") == str(job_folder).replace("100%", "100%%") + "/slurm/%A_%a.out"
    assert "--job-name=grid" in call and "--signal=B:USR2@120" in call
    assert call[-2] == str(ROOT / "submit_cpu.sh") and Path(call[-1]).parent == job_folder / "slurm"
    assert listed(call, ".array") == folders(tmp_path)
    states = [experiment.read_state(folder) for folder in folders(tmp_path)]
    assert [(state["status"], state["job_id"]) for state in states] == [("pending", f"101_{i}") for i in range(12)]


def test_a_large_job_becomes_arrays_that_slurm_accepts_and_n_holds_for_all_of_them(
    tmp_path: Path, stub: SlurmStub
) -> None:
    stub.limits(array_size=5)
    assert submit(tmp_path, 12, "--array", "3") == 0
    assert [value(call, "array") for call in stub.calls] == ["0-4%3", "0-4%3", "0-1%3"]
    assert list(itertools.chain(*(listed(call, ".array") for call in stub.calls))) == folders(tmp_path)
    # at most three at a time, and not three of each array
    assert [value(call, "dependency") for call in stub.calls[1:]] == ["afterany:101", "afterany:102"]
    assert stub.calls_of("scontrol") == ["show config"]


def test_packs_are_tasks_that_share_a_list(tmp_path: Path, stub: SlurmStub) -> None:
    assert submit(tmp_path, 13, "--pack", "6", "--parallel", "2") == 0
    (call,) = stub.calls
    assert value(call, "array") == "0-2"
    assert call[-2:] == ["--parallel", "2"] and listed(call, ".pack") == folders(tmp_path)
    queued = slurm_queue.queued_names()
    assert all(is_queued(folder, queued) for folder in folders(tmp_path))
    stub.leave_queue("101_0", "101_1")
    assert all(
        is_queued(folder, slurm_queue.queued_names()) for folder in folders(tmp_path)
    )  # the last pack may run them
    stub.leave_queue("101_2")
    assert not any(is_queued(folder, slurm_queue.queued_names()) for folder in folders(tmp_path))


def test_retry_submits_just_the_tasks_that_left_the_queue_undone(tmp_path: Path, stub: SlurmStub) -> None:
    submit(tmp_path, 12, "--array")
    stub.leave_queue("101_3", "101_7", "101_8")
    (folders(tmp_path)[8] / experiment.DONE).touch()
    assert submit(tmp_path, 12, "--array", "-r") == 0
    assert listed(stub.calls[1], ".array") == [folders(tmp_path)[3], folders(tmp_path)[7]]


@pytest.mark.parametrize("killed", ["before the job id was noted", "and SLURM shows the array late"])
def test_an_array_whose_submission_was_killed_is_not_submitted_again(
    tmp_path: Path, stub: SlurmStub, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(tmp_path, 6, "--array")
    for folder in folders(tmp_path):
        experiment.write_state(folder, experiment.read_state(folder) | {"job_id": None})
    stub.leave_queue("101_2")
    queue = "".join(f"{line}\n" for line in stub.queue)
    if killed == "and SLURM shows the array late":
        (stub.folder / "queue").write_text("")
        monkeypatch.setattr(submission.time, "sleep", lambda s: (stub.folder / "queue").write_text(queue))
    assert submit(tmp_path, 6, "--array", "-r") == 0
    assert listed(stub.calls[1], ".array") == [folders(tmp_path)[2]]
    assert len(stub.calls) == 2


def test_a_limit_on_jobs_is_filled_to_the_last_and_what_is_left_is_reported(
    tmp_path: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.limits(jobs=13)
    assert submit(tmp_path, 30, "--array", "4") == 1
    assert len(stub.queue) == 13
    said = capsys.readouterr().err
    assert "QOSMaxSubmitJobPerUserLimit" in said
    assert "Submitted: 13, up to 12_seed_model=12. Not submitted: 17, from 13_seed_model=13 on." in said
    assert "-s " in said and "--array 4" in said and "With --drip" in said
    states = [experiment.read_state(folder) for folder in folders(tmp_path)]
    assert [bool(state.get("job_id")) for state in states] == [True] * 13 + [False] * 17
    assert not any(state.get("comment") for state in states[13:]), "they are in no queue"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(1, 60), array_size=st.integers(1, 70), limit=st.integers(1, 70), pack=st.integers(0, 4))
def test_whatever_the_limits_each_experiment_is_submitted_once_and_none_is_left_that_fits(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    array_size: int,
    limit: int,
    pack: int,
) -> None:
    job = tmp_path_factory.mktemp("job") / "26-01-01-grid"
    experiments = [job / f"{i}_x" for i in range(n)]
    for folder in experiments:
        folder.mkdir(parents=True)
    queued: list[Path] = []

    def submit(batch: list[Path], launch: Launch, after: str | None = None) -> str:
        assert launch.n_tasks(len(batch)) <= array_size
        if launch.n_tasks(len(queued) + len(batch)) > limit:
            raise sbatch.QueueFull("full")
        queued.extend(batch)
        return "1"

    with monkeypatch.context() as patch:
        patch.setattr(sbatch, "submit", submit)
        patch.setattr(slurm_queue, "max_array_size", lambda: array_size)
        outcome = submission.submit_all(experiments, Launch(Path("x.sh"), array=True, pack=pack or None))
    n_fits = min(n, limit * (pack or 1))
    assert queued == experiments[:n_fits] and outcome.left == experiments[n_fits:]


def test_drip_submits_the_rest_as_the_queue_empties(
    tmp_path: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.limits(jobs=10)
    most = 0

    def some_end(seconds: float) -> None:
        nonlocal most
        most = max(most, len(stub.queue))
        stub.leave_queue(*(line.split()[0] for line in stub.queue[:3]))

    monkeypatch.setattr(submission.time, "sleep", some_end)
    assert submit(tmp_path, 40, "--array", "--drip", "1") == 0
    assert most == 10
    submitted = list(itertools.chain(*(listed(call, ".array") for call in accepted(stub))))
    assert submitted == folders(tmp_path)
    assert "Submitted 40 experiments" in capsys.readouterr().out


def accepted(stub: SlurmStub) -> list[list[str]]:
    """The calls whose comment an experiment still has: a later call of the same experiment writes its own."""
    return [call for call in stub.calls if _is_known(call)]


def _is_known(call: list[str]) -> bool:
    (path,) = [Path(word) for word in call if word.endswith(".array")]
    first = Path(path.read_text().splitlines()[0]).parent
    return str(experiment.read_state(first).get("comment")).startswith(value(call, "comment"))


def test_drip_waits_for_a_controller_that_does_not_answer(
    tmp_path: Path, stub: SlurmStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.will("lost")  # and squeue does not answer either: whether it was accepted is not known
    stub.squeue_is_down()
    pauses = []

    def it_comes_back(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            (stub.folder / "squeue_is_down").unlink()

    monkeypatch.setattr(submission.time, "sleep", it_comes_back)
    assert submit(tmp_path, 6, "--array", "--drip", "1") == 0
    assert len(stub.calls) == 1 and len(stub.queue) == 6


def test_ctrl_c_ends_the_dripping_and_retry_submits_the_rest(
    tmp_path: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.limits(jobs=10)

    def press_ctrl_c_when_it_is_full() -> None:
        while len(stub.queue) < 10 or not stub.calls_of("squeue"):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_ctrl_c_when_it_is_full, daemon=True).start()
    assert submit(tmp_path, 12, "--array", "--drip") == 1
    said = capsys.readouterr().err
    assert "Stopped by Ctrl-C" in said and "Not submitted: 2" in said and "--drip 60" in said
    stub.leave_queue("101_0", "101_1")
    for folder in folders(tmp_path)[:2]:
        (folder / experiment.DONE).touch()
    stub.limits(jobs=100)
    assert submit(tmp_path, 12, "--array", "-r") == 0
    assert listed(stub.calls[-1], ".array") == folders(tmp_path)[10:]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parallel", "2"], "--pack K --parallel P"),
        (["--array", "0"], "a whole number, 1 or more"),
        (["--pack", "none"], "a whole number, 1 or more"),
    ],
)
def test_options_that_make_no_sense_are_rejected(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        submit(tmp_path, 2, *options)
    assert said in capsys.readouterr().err
    assert not folders(tmp_path)


def test_a_dry_run_shows_the_call_for_an_array(
    tmp_path: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(tmp_path, 12, "--pack", "5", "-d") == 0
    assert "--array=0-2" in capsys.readouterr().out
    assert not stub.calls and not folders(tmp_path)
