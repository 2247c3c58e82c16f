"""How long a run is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.config import Config
from src.training.length import run_length
from train import experiment_generator


@pytest.mark.parametrize(
    ("options", "per_epoch", "total", "n_epochs"),
    [
        ({"train_length": 3}, 13, 39, 3),  # 100 samples in batches of 8: the last one is half full
        ({"train_length": 30, "train_length_unit": "step"}, 13, 30, 3),
        ({"train_length": 100, "train_length_unit": "sample"}, 13, 13, 1),
        ({"train_length": 200, "train_length_unit": "sample"}, 13, 26, 2),  # the 13th batch of a pass has 4 samples
        ({"train_length": 301, "train_length_unit": "sample"}, 13, 40, 4),
        ({"train_length": 2, "steps_per_epoch": 5}, 5, 10, 2),
        ({"train_length": 2, "samples_per_epoch": 20}, 3, 6, 2),
        ({"train_length": 0}, 13, 0, 1),
    ],
)
def test_a_length_in_steps(options: dict[str, object], per_epoch: int, total: int, n_epochs: int) -> None:
    length = run_length(Config(batch_size=8, **options), n_examples=100)
    assert (length.steps_per_epoch, length.total_steps, length.n_epochs) == (per_epoch, total, n_epochs)


@given(
    st.integers(1, 1000),
    st.integers(1, 300),
    st.integers(0, 50),
    st.sampled_from(["epoch", "step", "sample"]),
    st.none() | st.integers(1, 20),
)
def test_epochs_follow_one_another_without_a_gap_to_the_end(
    n: int, batch_size: int, train_length: int, unit: str, steps_per_epoch: int | None
) -> None:
    config = Config(
        batch_size=batch_size, train_length=train_length, train_length_unit=unit, steps_per_epoch=steps_per_epoch
    )
    length = run_length(config, n)
    ends = [length.epoch_end(epoch) for epoch in range(length.n_epochs + 1)]
    assert ends[0] == 0 and ends[-1] == length.total_steps
    assert all(0 < after - before <= length.steps_per_epoch for before, after in pairwise(ends)) or ends == [0, 0]


def test_a_run_of_so_many_samples_sees_so_many(small: Callable[..., Config]) -> None:
    config = small(train_length=1200, train_length_unit="sample", batch_size=100)  # of 120, so a pass is 100 + 20
    (*_, (stats, _)) = experiment_generator(config)
    assert (stats["train/seen_examples"].iloc[-1], stats["step"].iloc[-1]) == (1200, 20)


@given(st.integers(1, 500), st.integers(1, 300), st.integers(0, 2000))
def test_a_run_in_samples_ends_with_the_batch_that_reaches_its_length(n: int, batch_size: int, length: int) -> None:
    config = Config(batch_size=batch_size, train_length=length, train_length_unit="sample")
    total = run_length(config, n).total_steps
    in_pass = [batch_size] * (n // batch_size) + [n % batch_size] * (n % batch_size > 0)
    seen = [sum(in_pass[step % len(in_pass)] for step in range(steps)) for steps in (total - 1, total)]
    assert seen[0] < length <= seen[1] or (total, length) == (0, 0)


def test_a_schedule_in_samples_drops_once_they_are_seen(small: Callable[..., Config]) -> None:
    options = {"train_length_unit": "sample", "batch_size": 100, "steps_per_epoch": 1, "base_lr": 1.0}
    config = small(train_length=360, lr_schedule="at_100,240_0.1", **options)
    (*_, (stats, _)) = experiment_generator(config)
    assert stats["train/seen_examples"].tolist() == [100, 120, 220, 240, 340, 360]
    # after 100 samples, and after 240
    assert stats["train/learning_rate"].tolist() == pytest.approx([1, 0.1, 0.1, 0.1, 0.01, 0.01])
