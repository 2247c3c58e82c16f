"""cv_folds and cv_fold: what is held out, of every kind of data, and a grid over the folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from data.made_timm import make_class_folders
from helpers import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import submit_multiple
from src.config import ConfigError
from src.data import load_data
from src.data.source import Examples
from src.data.splits import hold_out_fold
from src.results import final, read_experiments

NESTED = {"train": "train[:80%]", "test": "train[80%:]"}
OWN_DATA = """
class Numbers:
    n_classes = 3

    def __init__(self, split, data_dir):
        pass

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return [float(index)], index % 3


class Labelled(Numbers):
    labels = [index % 3 for index in range(30)]
"""


def keys(split) -> list:
    """What tells the samples of a split apart."""
    x = split.x if isinstance(split, Examples) else torch.stack([torch.as_tensor(x) for x, _ in split])
    return [tuple(row) for row in (x.flatten(1) if isinstance(x, torch.Tensor) else x.toarray()).tolist()]


def folds_of(make_config, n_folds, **options):
    return [load_data(make_config(**options, cv_folds=n_folds, cv_fold=fold)).splits for fold in range(n_folds)]


@pytest.fixture
def sources(tmp_path, libsvm_file, numbers, write_module):
    """Options of data sets of 30 distinct samples, ten of each of three classes in turn; `own` without known labels."""
    file = libsvm_file(tmp_path / "own.svm", numbers(30, 4), np.arange(30) % 3)
    write_module("own_numbers", OWN_DATA)
    images = make_class_folders(tmp_path / "images", splits=(), n_each=10)
    return {
        "dense": {"dataset": f"libsvm/{file}"},
        "sparse": {"dataset": f"libsvm/{padded(file)}", "max_dense_gb": 0},
        "own": {"dataset": "python/own_numbers:Numbers"},
        "labelled": {"dataset": "python/own_numbers:Labelled"},
        "images": {"dataset": f"timm/folder/{images}", "image_memory_gb": 0},
        "images in memory": {"dataset": f"timm/folder/{images}"},
    }


def padded(file):
    """The same rows with a feature far out, so that most values are zero."""
    wide = file.with_name("wide.svm")
    wide.write_text("".join(f"{line} 100:1\n" for line in file.read_text().splitlines() if line[:1] != "#"))
    return wide


@pytest.mark.parametrize("kind", ["dense", "sparse", "own", "labelled", "images", "images in memory"])
def test_each_train_example_is_held_out_once(make_config, sources, kind):
    options = sources[kind] | {"data_splits_map": {"train": "train"}}
    whole = keys(load_data(make_config(**options)).splits["train"])

    folds = folds_of(make_config, 4, **options)

    assert list(folds[0]) == ["train", "val"]
    for splits in folds:
        assert sorted(keys(splits["train"]) + keys(splits["val"])) == sorted(whole)
        assert len(splits["val"]) in (7, 8)
    assert sorted(key for splits in folds for key in keys(splits["val"])) == sorted(whole)


def test_the_same_labels_give_the_same_folds_in_every_family(make_config, sources):
    def held_out(kind):  # by position in the train split
        options = sources[kind] | {"data_splits_map": {"train": "train"}}
        whole = keys(load_data(make_config(**options)).splits["train"])
        return [[whole.index(key) for key in keys(splits["val"])] for splits in folds_of(make_config, 5, **options)]

    assert held_out("dense") == held_out("sparse")
    assert held_out("images") == held_out("images in memory")
    examples = Examples(torch.arange(30).float()[:, None], torch.arange(30) % 3)
    for fold, indices in enumerate(held_out("labelled")):
        val = hold_out_fold({"train": examples}, "classification", 5, fold, seed=0)["val"]
        assert val.x.flatten().tolist() == indices
        assert np.bincount(val.y).tolist() == [2, 2, 2]


@given(
    labels=st.lists(st.integers(0, 9), min_size=2, max_size=200),
    n_folds=st.integers(2, 12),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100)
def test_folds_and_each_class_in_them_differ_by_at_most_one_example(labels, n_folds, seed):
    n_folds = min(n_folds, len(labels))
    examples = Examples(torch.arange(len(labels)).float()[:, None], torch.tensor(labels))
    folds = [
        hold_out_fold({"train": examples}, "classification", n_folds, fold, seed)["val"] for fold in range(n_folds)
    ]
    counts = np.array([np.bincount(fold.y, minlength=10) for fold in folds])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1
    assert sorted(torch.cat([fold.x for fold in folds]).flatten().tolist()) == list(range(len(labels)))


def test_folds_depend_on_the_seed_of_the_split_and_on_no_other(make_config):
    def val(**options):
        config = make_config(dataset="sklearn/diabetes", loss="mse", data_splits_map=NESTED, cv_folds=3, **options)
        return load_data(config).splits["val"].y.tolist()

    assert val() == val(seed_training=7, seed_model=8)
    assert val() != val(data_split_seed=1)


def test_the_test_split_is_the_same_whatever_is_held_out(make_config):
    options = {"dataset": "sklearn/digits", "data_splits_map": NESTED}
    without = load_data(make_config(**options)).splits

    for splits in folds_of(make_config, 3, **options):
        assert torch.equal(splits["test"].x, without["test"].x) and torch.equal(splits["test"].y, without["test"].y)
        assert sorted(keys(splits["train"]) + keys(splits["val"])) == sorted(keys(without["train"]))


def test_features_are_standardised_by_the_folds_that_are_trained_on(make_config):
    splits = load_data(make_config(dataset="sklearn/iris", data_splits_map=NESTED, cv_folds=3)).splits
    assert splits["train"].x.mean(dim=0).abs().max() < 1e-6 < splits["val"].x.mean(dim=0).abs().max()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cv_folds": 3, "cv_fold": 3}, "cv_fold 3: with cv_folds 3 the folds are 0 to 2"),
        ({"cv_folds": 1}, "cv_folds must be at least 2, not 1"),
        ({"cv_fold": 1}, "cv_fold needs cv_folds, the number of folds"),
        ({"cv_folds": 3, "data_splits_map": {"train": "train", "val": "test"}}, "holds out a split 'val', which"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_data_are_read(make_config, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_config(**options)


def test_more_folds_than_examples_are_refused(make_config):
    config = make_config(dataset="sklearn/iris", data_splits_map={"train": "train[:3]"}, cv_folds=4)
    with pytest.raises(ValueError, match="cv_folds: 3 train examples cannot be cut into 4 folds"):
        load_data(config)


def test_the_published_job_gives_a_row_a_fold_and_a_mean_a_learning_rate(tmp_path, warm_local):
    job = yaml.safe_load((ROOT / "jobs/cross-validation-example.yaml").read_text())
    job["job_details"]["output_dir"] = str(tmp_path / "runs")
    job["parameters"] |= {"base_lr": [0.1], "train_length": 2}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))

    assert submit_multiple.main([str(tmp_path / "job.yaml"), "--local", "2", "-y"]) == 0

    big_df = read_experiments(str(tmp_path / "runs" / "*"), only_done=True)
    assert big_df["cv_fold"].tolist() == [0, 1, 2, 3, 4]
    assert [sizes["val"] for sizes in big_df["data_split_sizes"]] == [91] * 5
    big_df["accuracy"] = final(big_df, "val/last/accuracy")
    assert big_df["accuracy"].nunique() > 1
    assert big_df.groupby("base_lr")["accuracy"].mean()[0.1] > 0.9
