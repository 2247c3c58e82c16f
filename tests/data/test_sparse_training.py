"""Runs on data that are held sparse: the numbers of dense data, and nothing made dense on the way."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import run_in_parts, stats_without_clock
from scipy import sparse

from src.config import Config
from src.data import load_data
from train import experiment_generator

Make = Callable[..., Config]
CUT = {"train": "train[:80%]", "test": "train[80%:]"}


def random_rows(n: int, features: int, stored: int) -> sparse.csr_matrix:
    """`stored` values a row, at random places; the last feature is in the first row."""
    rng = np.random.default_rng(0)
    columns = rng.integers(0, features, (n, stored))
    columns[0, 0] = features - 1
    starts = np.arange(n + 1) * stored
    matrix = sparse.csr_matrix((rng.uniform(0.5, 2, n * stored), columns.ravel(), starts), (n, features))
    matrix.sum_duplicates()
    return matrix


@pytest.fixture
def own_file(libsvm_file: Any, tmp_path: Path) -> str:
    """The name of a data set of three classes in a local file."""
    x = random_rows(120, 300, 6)
    return f"libsvm/{libsvm_file(tmp_path / 'own.svm', x, np.arange(120) % 3)}"


def last_stats(config: Config) -> pd.DataFrame:
    return [stats.copy() for stats, _ in experiment_generator(config)][-1]


@pytest.mark.parametrize(
    "options",
    [
        {"optim_alg": "sgd", "weight_decay": 0.01, "grad_accum_steps": 3, "averaging": "poly_8"},
        {"optim_alg": "adamw", "base_lr": 0.01, "weight_decay": 0.1, "averaging": "ema_0.9"},
        {"optim_alg": "timm/lamb", "base_lr": 0.01, "loss": "mse", "model": "linear/no_bias"},
        {"model_head_init": "zero", "momentum": 0.0},
    ],
)
def test_a_run_on_sparse_data_gives_the_numbers_of_the_same_run_on_dense_data(
    small: Make, own_file: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    options = {"dataset": own_file, "data_splits_map": CUT} | options

    dense, held_sparse = (
        last_stats(small(output_dir=str(tmp_path / side), max_dense_gb=limit, **options))
        for side, limit in (("dense", 2.0), ("sparse", 0.0))
    )

    assert list(dense.columns) == list(held_sparse.columns)
    figures = [name for name in dense.columns if name.endswith(("loss", "accuracy", "grad_norm"))]
    np.testing.assert_allclose(held_sparse[figures], dense[figures], rtol=2e-4)


def test_a_run_on_sparse_data_that_is_stopped_and_resumed_gives_the_same_bytes(
    small: Make, own_file: str, tmp_path: Path
) -> None:
    options = {
        "dataset": own_file, "data_splits_map": CUT, "max_dense_gb": 0, "averaging": "poly_8", "optim_alg": "adamw",
        "base_lr": 0.01, "steps_per_epoch": 4, "train_length": 4,
    }  # fmt: skip
    last_stats(small(output_dir=str(tmp_path / "whole"), **options))

    config = small(output_dir=str(tmp_path / "parts"), **options)
    assert run_in_parts(config) > 2
    assert stats_without_clock(tmp_path / "parts") == stats_without_clock(tmp_path / "whole")


def test_data_as_wide_as_news20_are_never_made_dense(small: Make, libsvm_file: Any, tmp_path: Path) -> None:
    n, features = 19_996, 1_355_191  # 108 GB of float32
    plain = libsvm_file(tmp_path / "wide.svm", random_rows(n, features, 4), np.where(np.arange(n) % 2, 1, -1))
    packed = tmp_path / "wide.svm.xz"
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    splits = {"train": "train[:50%]+train[60%:]", "test": "train[50%:60%]"}

    options = {"model": "linear/no_bias", "cv_folds": 5, "cv_fold": 1, "averaging": "poly_8", "batch_size": 4096}
    config = small(dataset=f"libsvm/{packed}", data_splits_map=splits, base_lr=5000, train_length=3, **options)
    stats = last_stats(config)

    assert stats["train/accuracy"].iloc[-1] > 0.9  # labels at random, and more features than samples
    assert {"val/last/accuracy", "val/av/accuracy", "test/last/loss"} <= set(stats.columns)


def test_folds_of_sparse_data_are_stratified_and_cut_the_train_split_into_parts(make_config, own_file) -> None:
    options = {"dataset": own_file, "max_dense_gb": 0, "data_splits_map": {"train": "train"}}
    whole = load_data(make_config(**options)).splits["train"]

    folds = [load_data(make_config(**options, cv_folds=4, cv_fold=fold)).splits for fold in range(4)]

    for fold in folds:
        assert sparse.issparse(fold["train"].x)
        assert np.bincount(fold["val"].y).tolist() == [10, 10, 10]
        assert len(fold["train"]) == 90
    held_out = sorted(row for fold in folds for row in fold["val"].x.toarray().tolist())
    assert held_out == sorted(whole.x.toarray().tolist())


def test_a_network_on_sparse_data_is_refused_before_it_trains(small: Make, own_file: str) -> None:
    config = small(dataset=own_file, data_splits_map=CUT, max_dense_gb=0, model="tiny/lenet")
    with pytest.raises(ValueError, match=r"takes no sparse data.*max_dense_gb"):
        next(experiment_generator(config))


def test_a_model_of_ones_own_gets_sparse_batches(small: Make, own_file: str, write_module: Any) -> None:
    write_module(
        "own_model",
        "from src.models.linear import Linear\n"
        "from torch import nn\n\n\n"
        "def net(num_classes, input_shape):\n"
        "    return nn.Sequential(Linear(*input_shape, 8), nn.ReLU(), nn.Linear(8, num_classes))\n",
    )
    config = small(dataset=own_file, data_splits_map=CUT, max_dense_gb=0, model="python/own_model:net", train_length=30)
    assert last_stats(config)["train/loss"].iloc[-1] < 1.0
