"""Disks that are full, folders that cannot be written, checkpoints that are damaged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import run_command, stats_without_clock

from src import yaml_io
from src.config import Config
from src.experiment import Status, read_state, status
from src.training.checkpoint import FORMAT, CheckpointError
from train import experiment_generator

Make = Callable[..., Config]


def run(config: Config) -> None:
    for _ in experiment_generator(config):
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def spec(folder: Path, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    values = {
        "dataset": "sklearn/iris", "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"}, "model": "linear",
        "train_length": 3, "seed_model": 0, "seed_training": 0, "checkpoint_every_seconds": 0, "output_dir": str(folder),
    }  # fmt: skip
    (folder / "spec.yaml").write_text(yaml_io.dump(values | options))
    return folder / "spec.yaml"


def test_a_full_disk_is_one_sentence_and_the_good_state_stays(small_disk: Path, tmp_path: Path) -> None:
    # a checkpoint of 1.3 MB (weights and momentum): one fits, a second one beside it does not
    options = {"dataset": "sklearn/digits", "model_output_dim": 2500, "train_length": 3}
    run_command("train.py", spec(tmp_path / "whole", **options))
    path = spec(small_disk / "run", **options)
    filler = small_disk / "filler"
    done = run_command("train.py", path)  # the first checkpoint fits; the second, beside it, does not
    assert done.returncode == 1
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert not (path.parent / "done").exists()
    good = (path.parent / "checkpoint.pt").read_bytes()
    stats = stats_without_clock(path.parent)
    filler.write_bytes(b"")  # still full: nothing more is lost by trying again
    assert run_command("train.py", path).returncode == 1
    assert (path.parent / "checkpoint.pt").read_bytes() == good and stats_without_clock(path.parent).startswith(stats)
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert run_command("train.py", path).returncode == 0
    assert stats_without_clock(path.parent) == stats_without_clock(tmp_path / "whole")


@pytest.mark.skipif(os.geteuid() != 0, reason="making a folder read-only for root needs a mount")
def test_a_folder_that_cannot_be_written_is_one_sentence(small_disk: Path) -> None:
    path = spec(small_disk / "run", train_length=1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = run_command("train.py", path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"output_dir {path.parent} cannot be written: Read-only file system" in done.stderr


def test_a_checkpoint_cut_anywhere_is_refused_and_all_else_stays(small: Make) -> None:
    config = small(dataset="sklearn/digits", model="tiny/lenet", train_length=2, averaging="ema_0.9")
    for _ in experiment_generator(config):
        break
    folder = Path(str(config.output_dir))
    path, whole = folder / "checkpoint.pt", (folder / "checkpoint.pt").read_bytes()
    stats = (folder / "stats.csv").read_bytes()
    assert len(whole) > 500_000
    from src.training.checkpoint import _read

    for length in range(0, len(whole), 1024):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt .*resume=never"):
            _read(path, torch.device("cpu"))
    for length in (0, 1024, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            run(config)
        assert path.read_bytes() == whole[:length] and (folder / "stats.csv").read_bytes() == stats
        assert status(folder) == Status.FAILED and "checkpoint.pt is damaged" in read_state(folder)["cause"]
    path.write_bytes(whole)
    run(config)
    assert status(folder) == Status.DONE


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model": {}}, "was not written by this version"),
        ({"format": FORMAT - 1, "parts": {}}, "was not written by this version"),
        ([1, 2, 3], "was not written by this version"),
        (Path(), "is damaged and cannot be read"),  # a pickle of an object: never loaded
    ],
)
def test_a_foreign_checkpoint_is_refused_and_resume_never_starts_over(
    small: Make, content: object, sentence: str
) -> None:
    config = small()
    folder = Path(str(config.output_dir))
    folder.mkdir()
    torch.save(content, folder / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=sentence):
        run(config)
    run(small(resume="never"))
    assert status(folder) == Status.DONE


def test_what_a_killed_process_left_half_written_is_cleared_away(small: Make) -> None:
    config = small()
    folder = Path(str(config.output_dir))
    folder.mkdir()
    (folder / ".checkpoint.pt.12345.tmp").write_bytes(b"half")
    run(config)
    assert not list(folder.glob(".*.tmp"))
