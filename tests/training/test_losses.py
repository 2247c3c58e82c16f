"""Losses: one value a sample, by name or of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import stats_without_clock

from src.config import Config
from src.training.losses import build_loss
from train import experiment_generator

Make = Callable[..., Config]

OUTPUTS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
TARGETS = torch.tensor([0, 1])

OWN = """
import torch
import torch.nn.functional as F

def plain(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")

class Focal(torch.nn.Module):
    def forward(self, outputs, targets):
        losses = F.cross_entropy(outputs, targets, reduction="none")
        return (1 - torch.exp(-losses)) ** 2 * losses

def mean(outputs, targets):
    return F.cross_entropy(outputs, targets)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


def run(config: Config) -> Path:
    for _ in experiment_generator(config):
        pass
    return Path(str(config.output_dir))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_log_is_torchs_cross_entropy_a_sample(smoothing: float) -> None:
    expected = F.cross_entropy(OUTPUTS, TARGETS, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(build_loss("log", 3, smoothing)(OUTPUTS, TARGETS), expected)


def test_mse_on_classes_is_the_distance_to_the_one_hot_vector() -> None:
    expected = torch.tensor([(1.0 + 1.0 + 0.25) / 3, (0.0 + 1.0 + 9.0) / 3])
    torch.testing.assert_close(build_loss("mse", 3)(OUTPUTS, TARGETS), expected)


def test_mse_in_regression_is_the_squared_error() -> None:
    losses = build_loss("square", None)(torch.tensor([[2.0], [0.5]]), torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(losses, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("name", ["log", "mse"])
def test_weights_of_classes_are_those_of_the_first_outputs(name: str) -> None:
    one_hot = F.one_hot(TARGETS, 2).float()  # weights of 2 classes, for a model with 3 outputs
    loss_fn = build_loss(name, 2)
    torch.testing.assert_close(loss_fn(OUTPUTS, one_hot), loss_fn(OUTPUTS, TARGETS))


def test_a_loss_of_ones_own_that_is_cross_entropy_gives_the_same_bytes(small: Make, own: None, tmp_path: Path) -> None:
    run(small(output_dir=str(tmp_path / "log")))
    run(small(output_dir=str(tmp_path / "own"), loss="python/own_losses:plain"))
    assert stats_without_clock(tmp_path / "log") == stats_without_clock(tmp_path / "own")


def test_a_loss_may_be_a_class(small: Make, own: None) -> None:
    for stats, _ in experiment_generator(small(loss="python/own_losses:Focal", train_length=10)):
        last = stats
    assert last["train/loss"].iloc[-1] < last["train/loss"].iloc[0]
    assert last["test/last/accuracy"].iloc[-1] > 0.7


def test_a_loss_without_a_value_a_sample_is_rejected_with_the_way_out(small: Make, own: None) -> None:
    with pytest.raises(ValueError, match=r"shape \[\] for 16 samples.*reduction='none'"):
        run(small(loss="python/own_losses:mean"))


def test_a_misspelt_loss_is_found_before_anything_runs(small: Make) -> None:
    with pytest.raises(ValueError, match="unknown loss 'lgo'; did you mean 'log'"):
        small(loss="lgo")
