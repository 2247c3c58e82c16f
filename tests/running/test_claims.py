"""Who runs an experiment: claims of workers that share a list, on one machine or several."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from src import experiment, processes
from src.running import claims

N_WORKERS = 8


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / str(i) for i in range(1000)]
    for folder in made:
        folder.mkdir()
    return made


def run_what_is_claimed(seed: int, folders: list[Path], barrier: Barrier, fate: str) -> None:
    """A worker: goes through the experiments in an order of its own, runs what it can claim."""
    random.Random(seed).shuffle(folders)
    n_run = 0
    for folder in folders:
        claim = claims.take(folder)
        if claim is None:
            continue
        if (folder / "done").exists():
            claim.release()
            continue
        if fate == "dies" and n_run == 50:
            os.kill(os.getpid(), signal.SIGKILL)  # it holds a claim, and has run nothing for it
        with (folder / "ran").open("a") as ran:
            ran.write(f"{seed}\n")
        n_run += 1
        if fate != "keeps":
            (folder / "done").touch()
            claim.release()
    barrier.wait()  # what a worker has claimed is its own for as long as it lives


def race(folders: list[Path], fates: list[str]) -> Counter[int]:
    """How many experiments were run how often."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(sum(fate != "dies" for fate in fates))
    workers = [
        context.Process(target=run_what_is_claimed, args=(seed, folders, barrier, fate))
        for seed, fate in enumerate(fates)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL if fate == "dies" else 0 for fate in fates]
    return Counter(len((folder / "ran").read_text().split()) if (folder / "ran").exists() else 0 for folder in folders)


def test_of_a_thousand_experiments_that_eight_processes_race_for_each_is_run_once(folders: list[Path]) -> None:
    assert race(folders, ["keeps"] * N_WORKERS) == {1: 1000}


def test_what_dead_processes_held_is_taken_over_once(folders: list[Path]) -> None:
    assert race(folders, ["dies"] * 3 + ["releases"] * (N_WORKERS - 3)) == {1: 1000}


def held_by(folder: Path, **changes: Any) -> None:
    """A claim of somebody else: by default of a process of this machine that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    holder = {"host": claims.socket.gethostname(), "pid": process.pid, "process_start": 1, "job_id": "7", "restart": 0}
    (folder / ".claim-1").write_text(json.dumps(holder | changes))


def silent_for(folder: Path, seconds: float) -> None:
    claim = folder / ".claim-1"
    os.utime(claim, (claim.stat().st_mtime - seconds,) * 2)


def test_a_claim_is_held_until_it_is_released(tmp_path: Path) -> None:
    claim = claims.take(tmp_path)
    assert claim is not None and claim.is_kept()
    assert claims.take(tmp_path) is None
    claim.release()
    assert claims.take(tmp_path) is not None


def test_a_recycled_process_id_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    held_by(tmp_path, pid=os.getpid())
    assert claims.take(tmp_path) is not None


def test_the_claim_of_a_dead_worker_waits_for_what_it_has_started(tmp_path: Path) -> None:
    held_by(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as orphan:
        started = processes.process_start(orphan.pid)
        running = {
            "status": "running",
            "host": claims.socket.gethostname(),
            "pid": orphan.pid,
            "process_start": started,
        }
        experiment.write_state(tmp_path, running)
        assert claims.take(tmp_path) is None
    assert claims.take(tmp_path) is not None


@pytest.mark.parametrize(
    ("seconds", "free"), [(0, False), (claims.DEAD_AFTER - 60, False), (claims.DEAD_AFTER + 60, True)]
)
def test_on_another_machine_a_holder_is_dead_when_it_was_silent_for_long(
    tmp_path: Path, seconds: float, free: bool
) -> None:
    held_by(tmp_path, host="elsewhere")
    silent_for(tmp_path, seconds)
    assert (claims.take(tmp_path) is not None) == free


@pytest.mark.parametrize(("job_id", "free"), [("7", True), ("8", False)])
def test_a_restart_of_a_slurm_job_has_what_its_earlier_start_held(
    tmp_path: Path, job_id: str, free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_by(tmp_path, host="elsewhere")
    monkeypatch.setenv("SLURM_JOB_ID", job_id)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert (claims.take(tmp_path) is not None) == free


def test_a_holder_shows_that_it_lives_and_notices_when_it_was_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claims.take(tmp_path)
    assert claim is not None
    silent_for(tmp_path, 300)
    monkeypatch.setattr(claims, "BEAT", 0)
    assert claim.is_kept()
    assert abs((tmp_path / ".claim-1").stat().st_mtime - claims._file_clock(tmp_path)) < 60
    held_by(tmp_path, host="elsewhere")  # as another machine sees us
    silent_for(tmp_path, 2 * claims.DEAD_AFTER)
    assert claims.take(tmp_path) is not None
    assert not claim.is_kept()
    claim.release()
    assert claims.take(tmp_path) is None  # releasing what was lost frees nothing
