"""What train.py does under SLURM, with a stub in the place of scontrol; tests/slurm has the real one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from helpers import run_command, start_command, wait_until

from src import yaml_io
from src.experiment import read_state, write_state


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    options = {
        "dataset": "sklearn/iris", "data_splits_map": {"train": "train"}, "model": "linear", "train_length": 100_000,
        "seed_model": 0, "seed_training": 0, "output_dir": str(folder),
    }  # fmt: skip
    (folder / "spec.yaml").write_text(yaml_io.dump(options))
    return folder / "spec.yaml"


def environment(tmp_path: Path, exit_code: int, **variables: str) -> dict[str, str]:
    """That of job 77, with a scontrol that notes what it was asked and what state.json said then."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ngrep status {tmp_path}/run/state.json >> {tmp_path}/asked\n'
        f"[ {exit_code} = 0 ] || echo 'Requested operation is presently disabled' >&2\nexit {exit_code}\n"
    )
    scontrol.chmod(0o755)
    return os.environ | {"PATH": f"{scontrol.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"} | variables


def stop_after_first_epoch(arguments: list[str | Path], number: int, folder: Path, env: dict[str, str]) -> int:
    process = start_command("train.py", *arguments, env=env)
    wait_until((folder / "stats.csv").exists, process)
    process.send_signal(number)
    return process.wait(timeout=120)


@pytest.mark.parametrize("worker", [False, True])
def test_a_warning_before_the_time_limit_puts_the_job_back_into_the_queue(
    tmp_path: Path, spec: Path, worker: bool
) -> None:
    arguments: list[str | Path] = [spec, "--parallel", "1"] if worker else [spec]
    env = environment(tmp_path, exit_code=0)
    assert stop_after_first_epoch(arguments, signal.SIGUSR2, spec.parent, env) == 128 + signal.SIGUSR2
    # it was asked for once, when the state was on disk already: SLURM may end the process at once
    assert (tmp_path / "asked").read_text().split("\n")[:2] == ["requeue 77", ' "status": "requeued",']
    assert (tmp_path / "asked").read_text().count("requeue 77") == 1
    state = read_state(spec.parent)
    assert (state["status"], state["cause"], state["job_id"]) == ("requeued", "stopped by SIGUSR2", "77")
    assert state["saved_step"] > 0 and (spec.parent / "checkpoint.pt").exists()


def test_a_refused_requeue_is_told_in_the_state(tmp_path: Path, spec: Path) -> None:
    stop_after_first_epoch([spec], signal.SIGUSR2, spec.parent, environment(tmp_path, exit_code=1))
    state = read_state(spec.parent)
    assert state["status"] == "failed" and "presently disabled" in state["cause"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_preemption_and_cancelling_are_left_to_slurm(tmp_path: Path, spec: Path, number: signal.Signals) -> None:
    assert stop_after_first_epoch([spec], number, spec.parent, environment(tmp_path, exit_code=0)) == 128 + number
    assert not (tmp_path / "asked").exists()
    assert read_state(spec.parent)["cause"] == f"stopped by {number.name}" and (spec.parent / "checkpoint.pt").exists()


@pytest.mark.parametrize(("stalled", "goes_on"), [(2, True), (3, False)])
def test_restarts_that_bring_no_progress_come_to_an_end(
    tmp_path: Path, spec: Path, stalled: int, goes_on: bool
) -> None:
    before = {"status": "requeued", "attempt": 5, "first_step": 0, "saved_step": 0, "stalled": stalled}
    write_state(spec.parent, before)
    env = environment(tmp_path, exit_code=0, SLURM_RESTART_COUNT="5")
    done = run_command("train.py", spec, "train_length=1", env=env)
    assert (done.returncode == 0) == goes_on
    if not goes_on:
        assert done.returncode == 1 and "3 restarts in a row without a step of progress" in done.stderr
        assert "without a step of progress" in read_state(spec.parent)["cause"] and not (tmp_path / "asked").exists()


def test_progress_between_restarts_starts_the_count_anew(tmp_path: Path, spec: Path) -> None:
    write_state(spec.parent, {"status": "requeued", "attempt": 5, "first_step": 10, "saved_step": 11, "stalled": 3})
    env = environment(tmp_path, exit_code=0, SLURM_RESTART_COUNT="5")
    assert run_command("train.py", spec, "train_length=1", env=env).returncode == 0
    assert read_state(spec.parent)["stalled"] == 0


def test_a_restart_by_hand_is_never_refused(tmp_path: Path, spec: Path) -> None:
    write_state(spec.parent, {"status": "failed", "attempt": 9, "first_step": 0, "saved_step": 0, "stalled": 9})
    assert run_command("train.py", spec, "train_length=1").returncode == 0
