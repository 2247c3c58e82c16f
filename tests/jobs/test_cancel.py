"""--cancel: which of SLURM's jobs and of this machine's processes it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from helpers import run_command, start_command, wait_until
from job_helpers import newest, submit, write_job
from slurm_stub import SlurmStub

import submit_multiple
from src import experiment
from src.jobs import folders


def test_cancel_ends_what_slurm_has_of_the_job_and_nothing_else(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(write_job(tmp_path, "other"))
    submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3]))
    stub.has("102", "RUNNING")
    stub.leave_queue("103")
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert submit_multiple.main(["--cancel", str(newest(tmp_path))]) == 1
    assert "1 running, 1 queued\n    2 SLURM jobs: 102, 104" in capsys.readouterr().out
    assert stub.calls_of("scancel") == []
    assert submit_multiple.main(["--cancel", str(newest(tmp_path)), "-y"]) == 0
    assert stub.calls_of("scancel") == ["102 104"]


def test_cancel_stops_a_local_run_and_starts_none_of_what_waits_in_it(tmp_path: Path) -> None:
    job = write_job(tmp_path, train_length=100_000, base_lr=[0.1, 0.2, 0.3])
    with start_command("submit_multiple.py", job, "--local", "1", "-y", start_new_session=True) as process:
        try:
            wait_until(lambda: bool(list(tmp_path.glob("runs/[0-9]*/*/stats.csv"))), process)
            done = run_command("submit_multiple.py", "--cancel", newest(tmp_path), "-y")
            assert done.returncode == 0, done.stderr
            assert "1 running\n    process " in done.stdout
            assert process.wait(timeout=120) == 128 + signal.SIGTERM
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    said = [experiment.read_state(path) for path in folders.experiment_folders(newest(tmp_path))]
    assert [state["status"] for state in said] == ["failed", "pending", "pending"]
    assert said[0]["cause"] == "stopped by SIGTERM" and said[0]["saved_step"] > 0
