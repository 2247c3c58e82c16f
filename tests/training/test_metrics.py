"""Metrics: figures over samples, whatever the batches, by name or of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import run_in_parts, stats_without_clock
from hypothesis import given
from hypothesis import strategies as st

from src import yaml_io
from src.config import Config
from src.results import larger_is_better, metrics, read_experiments
from src.training.metrics import build_metrics
from train import experiment_generator

Make = Callable[..., Config]

OWN = """
import torch
from src.training.metrics import MeanMetric

def confidence(outputs, targets):
    return outputs.softmax(1).amax(1)

class Distance(MeanMetric):
    name = "distance"
    higher_is_better = False

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes

    def values(self, outputs, targets):
        return (outputs.argmax(1) - targets).abs() / self.num_classes

class Nothing:
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metrics.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


def last(config: Config) -> pd.Series:
    for stats, _ in experiment_generator(config):
        row = stats.iloc[-1]
    return row


@given(st.integers(1, 40), st.integers(3, 8), st.data())
def test_figures_are_over_the_samples_however_they_are_cut_into_batches(n: int, k: int, data: st.DataObject) -> None:
    outputs, targets = torch.randn(n, k), torch.randint(k, (n,))
    losses = torch.rand(n)
    cuts = sorted(data.draw(st.sets(st.integers(1, n))) | {n})
    in_parts = build_metrics(["accuracy", "top3"], k)
    for start, stop in zip([0, *cuts], cuts, strict=False):
        in_parts.update(losses[start:stop], outputs[start:stop], targets[start:stop])
    figures = in_parts.compute()
    assert figures["loss"] == pytest.approx(losses.double().mean().item())
    assert figures["accuracy"] == (outputs.argmax(1) == targets).double().mean().item()
    ranks = (outputs > outputs.gather(1, targets[:, None])).sum(1)
    assert figures["top3"] == (ranks < 3).double().mean().item()


def test_of_mixed_samples_the_weights_of_the_predicted_classes_count() -> None:
    outputs = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    weights = torch.tensor([[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]])
    mixed = build_metrics(["accuracy", "top2"], 3)
    mixed.update(torch.zeros(2), outputs, weights)
    assert mixed.compute() == {"loss": 0.0, "accuracy": 0.375, "top2": 0.75}


def test_metrics_by_name_have_columns_a_direction_and_a_place_in_results(
    small: Make, own: None, tmp_path: Path
) -> None:
    config = small(metrics=["top2", "python/own_metrics:confidence", "python/own_metrics:Distance"], train_length=2)
    row = last(config)
    for split in ("train", "test/last"):
        assert 0 <= row[f"{split}/top2"] <= 1 and 1 / 3 < row[f"{split}/confidence"] < 1
        assert f"{split}/distance" in row and f"{split}/accuracy" not in row
    modes = {"loss": "min", "top2": "max", "confidence": "max", "distance": "min"}
    folder = Path(str(config.output_dir))
    assert yaml_io.read(folder / "config.yaml").data["metric_modes"] == modes
    assert "test/last/distance" in (folder / "training.log").read_text()
    big_df = read_experiments(folder)
    assert metrics(big_df)[0] == "test/last/top2" and metrics(big_df)[-1] == "train/loss"
    assert larger_is_better(big_df, "test/last/confidence") and not larger_is_better(big_df, "test/last/distance")


def test_the_best_epoch_may_be_that_of_ones_own_metric(small: Make, own: None) -> None:
    config = small(
        metrics=["python/own_metrics:Distance"],
        save_best_checkpoint=True,
        best_checkpoint_metric="distance",
    )
    row = last(config)
    kept = torch.load(Path(str(config.output_dir)) / "best_checkpoint.pt", weights_only=True)
    assert kept["stats"]["test/last/distance"] <= row["test/last/distance"]


def test_a_best_epoch_by_a_metric_that_ones_own_class_does_not_have_is_rejected_at_the_start(
    small: Make, own: None
) -> None:
    config = small(metrics=["python/own_metrics:Distance"], save_best_checkpoint=True)
    with pytest.raises(ValueError, match=r"test/\.\*/accuracy.* matches no metric.* test/last/distance"):
        last(config)
    assert not (Path(str(config.output_dir)) / "stats.csv").exists()


def test_metrics_go_on_counting_when_a_run_is_resumed(small: Make, own: None, tmp_path: Path) -> None:
    options = {"metrics": ["accuracy", "python/own_metrics:Distance"], "steps_per_epoch": 3}
    last(small(output_dir=str(tmp_path / "whole"), **options))
    run_in_parts(small(output_dir=str(tmp_path / "parts"), **options))
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "parts")


def test_an_empty_list_measures_the_loss_alone(small: Make) -> None:
    row = last(small(metrics=[], train_length=1))
    assert "test/last/loss" in row and "test/last/accuracy" not in row


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metrics": ["top5"]}, "top5 needs 5 classes or more, and the data have 3"),
        ({"metrics": ["accuracy"], "dataset": "sklearn/diabetes", "loss": "mse"}, "accuracy needs classes"),
        ({"metrics": ["python/own_metrics:Nothing"]}, "has no update, compute, reset, state_dict, load_state_dict"),
        ({"metrics": ["python/own_metrics:missing"]}, "'missing' does not exist"),
    ],
)
def test_metrics_that_do_not_fit_are_rejected_at_the_start(
    small: Make, own: None, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        last(small(**changes))


@pytest.mark.parametrize(("names", "sentence"), [
    (["acuracy"], "did you mean 'accuracy'"), (["top"], "takes names like top5"), (["top/5"], "takes names like top5"),
    (["top0"], "unknown metrics 'top0'"), (["accuracy", "accuracy"], "named twice"),
])  # fmt: skip
def test_a_misspelt_metric_is_found_before_anything_runs(small: Make, names: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        small(metrics=names)
