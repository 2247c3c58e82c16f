"""python report.py, as a command."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers import run_command
from results_helpers import make_experiment, make_job

from src import experiment


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """12 finished experiments, and one or more of each other state."""
    job = make_job(tmp_path / "25-01-31-digits")
    options = {"model": "linear", "base_lr": 1.0, "batch_size": 32}
    memory = "Traceback (most recent call last):\nRuntimeError: CUDA out of memory"
    for number in (12, 13):
        make_experiment(job / f"{number}_x", options, status="failed", epochs=1, cause=memory)
    make_experiment(job / "14_x", options, status="diverged", epochs=1, cause="train/loss is nan at step 7")
    make_experiment(job / "15_x", options, status="running", epochs=2)
    make_experiment(job / "16_x", options, status="pending")
    return job


def test_it_counts_the_states_and_groups_the_failures_by_cause(job: Path) -> None:
    done = run_command("report.py", job)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == f"{job}: 17 experiments: 12 done, 1 running, 1 not started, 2 failed, 1 diverged"
    causes = [line.split() for line in rest if re.match(r" +\d+ x (oom|nan)", line)]
    assert [words[:4] for words in causes] == [["2", "x", "oom", "RuntimeError:"], ["1", "x", "nan", "train/loss"]]
    assert "12_x" in done.stdout and "Traceback" not in done.stdout


def test_the_table_has_the_best_first_says_what_varies_and_fits_a_terminal(job: Path) -> None:
    lines = run_command("report.py", job).stdout.splitlines()
    top = next(place for place, line in enumerate(lines) if line.startswith("#"))
    head, *rows = (line.split() for line in lines[top : top + 18])
    assert head[:7] == ["#", "model", "batch_size", "base_lr", "status", "epochs", "test/last/accuracy"]
    finals = [float(row[6]) for row in rows[:-1]]
    assert finals == sorted(finals, reverse=True) and len(finals) == 16
    assert rows[-1] == ["16", "linear", "32", "1", "not", "started", "0", "-", "-"]
    assert all(len(line) <= 100 for line in lines[top:] if "learning_curves" not in line)


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", {"base_lr": [0.1, 0.2], "batch_size": list(range(1, 26))})
    printed = run_command("report.py", job).stdout
    assert sum("  done  " in line for line in printed.splitlines()) == 30
    assert "... and 20 more" in printed


def test_losses_are_best_when_small_where_there_is_no_accuracy(tmp_path: Path) -> None:
    for number, loss in enumerate((0.5, 0.1, 0.3)):
        folder = make_experiment(tmp_path / "job" / str(number), {"base_lr": loss}, loss=loss)
        lines = [line.split(",") for line in (folder / experiment.STATS).read_text().splitlines()]
        keep = [place for place, name in enumerate(lines[0]) if "accuracy" not in name]
        (folder / experiment.STATS).write_text("".join(",".join(line[i] for i in keep) + "\n" for line in lines))
    rows = [
        line.split()[0] for line in run_command("report.py", tmp_path / "job").stdout.splitlines() if "  done  " in line
    ]
    assert rows == ["1", "2", "0"]


def test_the_curves_are_drawn_into_the_job_folder_and_nothing_else_is_changed(job: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in job.rglob("*") if path.is_file()}
    printed = run_command("report.py", job).stdout
    picture = job / "learning_curves.png"
    assert printed.rstrip().endswith(f"Learning curves: {picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    after = {path: path.stat().st_mtime_ns for path in job.rglob("*") if path.is_file() and path != picture}
    assert after == before


def test_a_job_that_has_not_started_is_told_without_curves(tmp_path: Path) -> None:
    make_experiment(tmp_path / "job" / "0_x", {}, status="pending")
    done = run_command("report.py", tmp_path / "job")
    assert done.returncode == 0
    assert "1 experiment: 1 not started" in done.stdout
    assert "there are no curves to draw" in done.stdout
    assert not (tmp_path / "job" / "learning_curves.png").exists()


def test_a_folder_that_is_no_job_is_one_sentence_and_the_other_jobs_are_reported(job: Path, tmp_path: Path) -> None:
    done = run_command("report.py", tmp_path / "nothing", job)
    assert done.returncode == 2
    assert done.stderr == f"report.py: {tmp_path / 'nothing'} is not a folder; {tmp_path} has {job.name}\n"
    assert "17 experiments" in done.stdout


def test_a_picture_that_cannot_be_written_is_told(job: Path) -> None:
    (job / "learning_curves.png").mkdir()  # as good as a folder that may not be written, and root meets it too
    done = run_command("report.py", job)
    assert done.returncode == 0
    assert f"The learning curves cannot be written to {job / 'learning_curves.png'}" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_damaged_experiment_is_a_warning_and_a_row(job: Path) -> None:
    (job / "00_experiment" / experiment.STATS).write_bytes(b"\xff\xfe\x00")
    (job / "12_x" / experiment.STATE).write_text(json.dumps({"status": "failed", "cause": None}))
    done = run_command("report.py", job)
    assert done.returncode == 0
    assert f"warning: {job / '00_experiment'}: stats.csv" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert re.search("1 x lost +no cause given", done.stdout)


def test_what_the_failures_of_a_cause_have_in_common_is_told(tmp_path: Path) -> None:
    for number, (lr, batch_size) in enumerate((lr, bs) for lr in (0.1, 0.2, 0.3) for bs in (32, 64, 512)):
        options = {"base_lr": lr, "batch_size": batch_size, "model": "linear"}
        too_large = batch_size == 512
        make_experiment(
            tmp_path / "job" / f"{number}_lr={lr}+bs={batch_size}",
            options,
            status="failed" if too_large else "done",
            cause=f"OutOfMemoryError: tried to allocate {number}.5 GiB" if too_large else None,
        )
    said = run_command("report.py", tmp_path / "job").stdout
    assert said.count(" x oom ") == 1  # the numbers in their texts do not part them
    assert "all 3 have batch_size 512, and none of the 6 that are done\n" in said
    assert "have base_lr" not in said and "have model" not in said


def test_what_runs_is_told_with_its_place_its_loss_and_when_it_will_end(tmp_path: Path) -> None:
    def ago(minutes: int) -> str:
        return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")

    folder = make_experiment(tmp_path / "job" / "0_x", {}, status="running")
    progress = {"epoch": 3, "step": 600, "first_step": 100, "total_steps": 1100, "figures": {"train/loss": 0.25}}
    where = {"host": "node7", "started": ago(60), "heartbeat": ago(0)}
    experiment.write_state(folder, {"status": "running", **where, **progress})
    lines = run_command("report.py", tmp_path / "job").stdout.splitlines()
    assert lines[3].split() == ["#", "where", "for", "epoch", "steps", "loss", "ends", "in"]
    assert lines[4].split() == ["0", "node7", "60", "min", "3", "600", "of", "1100", "0.25", "60", "min"]


def test_watching_ends_when_nothing_is_left_to_wait_for(job: Path) -> None:
    (job / "15_x" / experiment.DONE).touch()
    done = run_command("report.py", job, "--watch", "1")
    assert done.returncode == 0
    assert done.stdout.count("17 experiments: 13 done, 1 not started, 2 failed, 1 diverged") == 1
    assert not (job / "learning_curves.png").exists()
