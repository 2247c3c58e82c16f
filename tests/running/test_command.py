"""The command line of train.py, in this process: what it prints, and what it leaves in the folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import ROOT

from src import config as configs
from src import yaml_io
from src.config import Config
from src.experiment import read_state
from src.running.command import run_one
from train import experiment_generator

Make = Callable[..., Config]

SILENT = "def build(num_classes, input_shape):\n    raise {error}\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [("RuntimeError()", "failed: RuntimeError; see {}/training.log"), ("KeyboardInterrupt()", "interrupted; ")],
)
def test_an_exception_without_a_text_is_named(
    small: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: str,
    sentence: str,
) -> None:
    (tmp_path / "silent_model.py").write_text(SILENT.format(error=error))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "silent_model", raising=False)
    (tmp_path / "run").mkdir()
    spec = tmp_path / "run" / "spec.yaml"
    spec.write_text("dataset: sklearn/iris\ndata_splits_map: {train: train}\nmodel: python/silent_model:build\n")
    assert run_one(spec, [], experiment_generator) != 0
    assert sentence.format(tmp_path / "run") in capsys.readouterr().err
    assert read_state(tmp_path / "run")["cause"] in ("RuntimeError", "interrupted")


def test_spec_yaml_is_the_request_that_was_accepted_last(small: Make, tmp_path: Path) -> None:
    spec = tmp_path / "run" / "spec.yaml"
    with pytest.raises(ValueError):  # it ends before it has saved anything
        next(experiment_generator(small(model_output_dim=2)))
    for _ in experiment_generator(small(base_lr=0.3, train_length=1)):
        pass
    assert configs.load(spec) == small(base_lr=0.3, train_length=1)
    before = spec.read_bytes()
    with pytest.raises(ValueError, match="another config"):
        (tmp_path / "run" / "done").unlink()
        next(experiment_generator(small(base_lr=0.4, train_length=1)))
    assert spec.read_bytes() == before


def test_starting_over_leaves_no_weights_of_the_earlier_run(small: Make, tmp_path: Path) -> None:
    for _ in experiment_generator(small(save_freq=1, save_best_checkpoint=True)):
        pass
    for _ in experiment_generator(small(resume="never", train_length=1)):
        pass
    assert [path.name for path in (tmp_path / "run").glob("*.pt")] == ["checkpoint.pt"]
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["config"]["train_length"] == 1
    assert "resume" not in yaml_io.read(tmp_path / "run" / "spec.yaml").data


@pytest.mark.parametrize("nohup", [False, True])
def test_a_closed_terminal_stops_a_run_like_term_unless_nohup_protects_it(tmp_path: Path, nohup: bool) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "train.py", ROOT / "configs" / "digits_lenet.yaml", f"output_dir={folder}"]
    command += ["train_length=100000", "checkpoint_every_seconds=1000"]
    process = subprocess.Popen(
        (["nohup"] if nohup else []) + list(map(str, command)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        while not (folder / "stats.csv").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        if nohup:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
    stopped_by = signal.SIGTERM if nohup else signal.SIGHUP
    assert process.returncode == 128 + stopped_by and (folder / "checkpoint.pt").exists()
    assert read_state(folder)["cause"] == f"stopped by {stopped_by.name}"
