"""Disks that are full, folders that cannot be written, checkpoints that are damaged."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import run_command, start_command, stats_without_clock, wait_until

from src import yaml_io
from src.config import Config
from src.experiment import Status, read_state, status
from src.training.checkpoint import FORMAT, CheckpointError, _read
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
    assert status(path.parent) == Status.FAILED and "checkpoint.pt" in read_state(path.parent)["cause"]
    good = (path.parent / "checkpoint.pt").read_bytes()
    stats = stats_without_clock(path.parent)
    filler.write_bytes(b"")  # still full: nothing more is lost by trying again
    assert run_command("train.py", path).returncode == 1
    assert (path.parent / "checkpoint.pt").read_bytes() == good and stats_without_clock(path.parent).startswith(stats)
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert run_command("train.py", path).returncode == 0
    assert stats_without_clock(path.parent) == stats_without_clock(tmp_path / "whole")


def test_a_disk_without_room_for_a_line_of_the_log_is_one_sentence_too(small_disk: Path) -> None:
    path = spec(small_disk / "run", train_length=1, steps_per_epoch=2000, log_interval=1)
    process = start_command("train.py", path)
    wait_until((path.parent / "config.yaml").exists, process)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and errors.count("\n") == 1 and "No space left on device" in errors
    (small_disk / "filler").unlink()
    assert run_command("train.py", path).returncode == 0


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


def test_a_checkpoint_with_other_bytes_in_its_middle_is_refused_or_reads_the_same(small: Make) -> None:
    config = small()
    for _ in experiment_generator(config):
        break
    path = Path(str(config.output_dir)) / "checkpoint.pt"
    whole, same = path.read_bytes(), repr(_read(path, torch.device("cpu")))
    chance, refused = random.Random(0), 0
    end = zipfile.ZipFile(path).start_dir  # of the contents; the table that follows has no checksum
    damages = [(chance.randrange(end), bytes([chance.randrange(256)])) for _ in range(200)]
    damages += [(start, bytes(512)) for start in range(0, len(whole), 512)]  # a sector that was never written
    for start, others in damages:
        path.write_bytes(whole[:start] + others + whole[start + len(others) :])
        try:
            assert repr(_read(path, torch.device("cpu"))) == same  # padding, or the very byte
        except CheckpointError:
            refused += 1
    assert refused > len(damages) / 2


def test_a_checkpoint_of_ones_own_model_that_is_another_now_says_so(
    small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from torch import nn\ndef build(num_classes, input_shape):\n    return nn.{}\n"
    module = tmp_path / "changing_model.py"
    module.write_text(code.format("Linear(input_shape[0], num_classes)"))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = small(model="python/changing_model:build")
    for _ in experiment_generator(config):
        break
    module.write_text(code.format("Sequential(nn.Linear(input_shape[0], 7), nn.Linear(7, num_classes))"))
    monkeypatch.delitem(sys.modules, "changing_model")
    importlib.invalidate_caches()
    with pytest.raises(CheckpointError, match=r"checkpoint.pt does not fit the model of today's code.*resume=never"):
        run(config)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model": {}}, "was not written by this version"),
        ({"format": FORMAT - 1, "parts": {}}, "was not written by this version"),
        ({"format": FORMAT}, "was not written by this version"),
        ([1, 2, 3], "was not written by this version"),
        (Path(), "was not written by train.py"),  # a pickle of an object: never loaded
    ],
)
def test_a_foreign_checkpoint_is_refused_and_resume_never_starts_over(
    small: Make, content: object, sentence: str
) -> None:
    config = small()
    folder = Path(str(config.output_dir))
    folder.mkdir()
    (folder / "spec.yaml").write_text("{}\n")
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
