"""Runs that are stopped at each of their steps, one after another, and resumed: the same bytes in the end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, stats_without_clock

from src.config import Config
from src.training import step as step_module
from train import experiment_generator

Make = Callable[..., Config]

DIGITS = {"dataset": "sklearn/digits", "data_splits_map": {"train": "train[:10%]", "test": "train[90%:]"}}
KINDS: dict[str, dict[str, Any]] = {
    "workers and augmentation": {
        "dataset": "python/toys:NoisyDigits", "data_splits_map": {"train": "train", "test": "test"},
        "num_workers": 2, "batch_size": 200, "train_length": 2,
    },
    "accumulation, average, epochs across passes": {
        "grad_accum_steps": 3, "averaging": "poly_8", "steps_per_epoch": 5, "optim_alg": "adamw", "base_lr": 0.01,
        "lr_schedule": "cosine", "warmup_steps": 4, "train_length": 17, "train_length_unit": "step",
    },
    "early stopping": {
        "early_stopping_patience": 1, "save_best_checkpoint": True, "base_lr": 2.0, "batch_size": 40, "train_length": 9,
    },
    "dropout, batch norm recomputed": DIGITS | {
        "model": "python/toys:normed_dropout_net", "averaging": "ema_0.5", "averaging_buffers": "recompute",
        "steps_per_epoch": 3, "train_length": 1,
    },
}  # fmt: skip


def run(config: Config) -> None:
    for _ in experiment_generator(config):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_after_every_single_step_ends_with_the_same_bytes(
    small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "faults"))
    run(small(output_dir=str(tmp_path / "whole"), **KINDS[kind]))
    expected = stats_without_clock(tmp_path / "whole")

    stopped_in_every_step(monkeypatch)
    config = small(output_dir=str(tmp_path / "parts"), **KINDS[kind])
    n_stops = 0
    while not (tmp_path / "parts" / "done").exists():
        try:
            run(config)
        except KeyboardInterrupt:
            n_stops += 1
    n_steps = int(expected.splitlines()[-1].split(",")[1])
    assert n_stops == n_steps, "each attempt makes one step, and no step is made twice"
    assert stats_without_clock(tmp_path / "parts") == expected


def stopped_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop signal comes in the middle of each training step."""
    whole_norm = step_module.torch.nn.utils.get_total_norm

    def norm_and_signal(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGUSR2)
        return whole_norm(*arguments)

    monkeypatch.setattr(step_module.torch.nn.utils, "get_total_norm", norm_and_signal)
