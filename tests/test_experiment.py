"""An experiment's folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from src import experiment, files, processes
from src.code_version import code_version
from src.experiment import Status


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "stats.csv"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    files.write_text(path, "new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["stats.csv"]


@pytest.mark.parametrize(
    ("state", "done", "expected"),
    [
        (None, False, Status.PENDING),
        ('{"status": "running"}', False, Status.RUNNING),
        ('{"status": "running"}', True, Status.DONE),
        ('{"status": "done"}', False, Status.PENDING),
        ('{"status": "who knows"}', False, Status.PENDING),
        ('{"status": "runn', False, Status.PENDING),
        ("[]", False, Status.PENDING),
    ],
)
def test_done_is_what_has_the_file_and_the_rest_is_what_state_json_says(
    tmp_path: Path, state: str | None, done: bool, expected: Status
) -> None:
    if state is not None:
        (tmp_path / "state.json").write_text(state)
    if done:
        (tmp_path / "done").touch()
    assert experiment.status(tmp_path) == expected


def test_a_new_run_never_takes_a_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [experiment.new_run_folder("a") for _ in range(3)]
    assert len(set(folders)) == 3 and all(folder.is_dir() for folder in folders)


def test_a_snapshot_knows_the_commit_it_was_taken_from(tmp_path: Path) -> None:
    assert code_version(tmp_path) is None
    (tmp_path / "GIT_COMMIT").write_text("abc123-dirty\n")
    assert code_version(tmp_path) == "abc123-dirty"


def test_an_experiment_runs_here_if_its_process_is_alive_on_this_machine(tmp_path: Path) -> None:
    def runs(status: Status = Status.RUNNING, host: str = socket.gethostname(), pid: object = os.getppid()) -> bool:
        experiment.write_state(tmp_path, {"status": status, "host": host, "pid": pid})
        return experiment.runs_here(tmp_path)

    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert runs()
    assert not runs(pid=os.getpid())  # the process that asks does not stand in its own way
    assert not runs(pid=ended.pid)
    assert not runs(host="elsewhere")
    assert not runs(status=Status.FAILED)
    assert not runs(pid=None)
    assert not runs(pid="what")


def test_a_new_process_with_an_old_ones_number_does_not_count_as_the_experiment(tmp_path: Path) -> None:
    running = {"status": Status.RUNNING, "host": socket.gethostname(), "pid": os.getppid()}
    start = processes.process_start(os.getppid())
    assert start is not None
    experiment.write_state(tmp_path, running | {"process_start": start})
    assert experiment.runs_here(tmp_path)
    experiment.write_state(tmp_path, running | {"process_start": start - 1})
    assert not experiment.runs_here(tmp_path)
