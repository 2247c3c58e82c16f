"""sklearn/ and python/ data, and what all families share: standardisation, input shapes, errors."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from src.data import load_data

CUT = {"train": "train[:80%]", "test": "train[80%:]"}


@pytest.mark.parametrize(
    ("name", "n", "n_classes", "input_shape"),
    [
        ("digits", 1797, 10, (1, 8, 8)),
        ("breast_cancer", 569, 2, (30,)),
        ("wine", 178, 3, (13,)),
        ("iris", 150, 3, (4,)),
        ("diabetes", 442, None, (10,)),
    ],
)
def test_each_sklearn_set_is_read(make_config, name, n, n_classes, input_shape):
    loss = "mse" if n_classes is None else "log"
    data = load_data(make_config(dataset=f"sklearn/{name}", data_splits_map=CUT, loss=loss))

    train, test = data.splits["train"], data.splits["test"]
    assert len(train) + len(test) == n
    assert len(train) == round(0.8 * n)
    assert (data.n_classes, data.input_shape) == (n_classes, input_shape)
    assert train.x.dtype == torch.float32
    assert train.y.dtype == (torch.float32 if n_classes is None else torch.int64)
    if n_classes:
        assert set(train.y.tolist()) == set(test.y.tolist()) == set(range(n_classes))


def test_digits_are_grey_levels_from_zero_to_one(make_config):
    x = load_data(make_config(dataset="sklearn/digits", data_splits_map={"train": "train"})).splits["train"].x
    assert (x.min(), x.max()) == (0, 1)


def test_tabular_features_are_standardised_by_the_train_split(make_config):
    options = {"dataset": "sklearn/wine", "data_splits_map": CUT}
    data = load_data(make_config(**options))
    raw = load_data(make_config(**options, sklearn_standardize=False))

    train = raw.splits["train"].x.double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    for name, split in data.splits.items():
        expected = (raw.splits[name].x.double() - mean) / deviation
        torch.testing.assert_close(split.x.double(), expected, rtol=1e-5, atol=1e-5)


def test_the_cut_depends_on_its_seed_and_on_nothing_else(make_config):
    def labels(**options):
        config = make_config(dataset="sklearn/digits", data_splits_map=CUT, **options)
        return load_data(config).splits["test"].y.tolist()

    assert labels() == labels(seed_training=1, batch_size=7)
    assert labels() != labels(data_split_seed=1)


def test_model_input_shape_views_the_samples(make_config):
    options = {"dataset": "sklearn/digits", "data_splits_map": CUT}
    images = load_data(make_config(**options)).splits["test"]
    data = load_data(make_config(**options, model_input_shape=[64]))

    assert data.input_shape == (64,)
    assert torch.equal(data.splits["test"].x, images.x.flatten(1))


def test_model_input_shape_must_hold_as_many_values_as_a_sample(make_config):
    with pytest.raises(ValueError, match=r"\[1, 9, 8\] holds 72 values, and a sample of shape \[1, 8, 8\] has 64"):
        load_data(make_config(dataset="sklearn/digits", data_splits_map=CUT, model_input_shape=[1, 9, 8]))


def test_sparse_data_have_no_other_shape(make_config, published):
    x = np.zeros((20, 123))
    x[:, 0] = 1
    published("a9a", x, np.tile([-1, 1], 10))
    options = {"dataset": "libsvm/a9a", "data_splits_map": {"train": "train"}, "max_dense_gb": 0}

    assert load_data(make_config(**options, model_input_shape=[123])).input_shape == (123,)
    with pytest.raises(ValueError, match=r"sparse.*max_dense_gb"):
        load_data(make_config(**options, model_input_shape=[1, 3, 41]))


def test_an_unknown_split_is_refused_with_those_there_are(make_config):
    with pytest.raises(ValueError, match=r"'val' names 'validation', and 'sklearn/iris' has 'train'; cut it"):
        load_data(make_config(dataset="sklearn/iris", data_splits_map={"train": "train", "val": "validation"}))


@pytest.mark.parametrize("expression", ["train[5:5]", "train[90%:80%]", "train[:100000]"])
def test_a_split_without_examples_is_refused(make_config, expression):
    with pytest.raises(ValueError, match="is empty or out of range"):
        load_data(make_config(dataset="sklearn/iris", data_splits_map={"train": "train", "test": expression}))


# --- the user's own data ------------------------------------------------------------------------------

MY_DATA = """
import numpy as np

class Squares:
    '''Items of three numbers, as numpy makes them; `validation` has 10 of them, any other split 20.'''
    classes = ["even", "odd"]
    def __init__(self, split, data_dir):
        self.n = 10 if split == "validation" else 20
    def __len__(self):
        return self.n
    def __getitem__(self, index):
        return np.full(4, index) ** 2.0, index % 2

class Counted(Squares):
    classes = None
    n_classes = 3

class Targets(Squares):
    classes = None
    def __getitem__(self, index):
        return np.full(4, index / 1), index / 2

class Wrong(Squares):
    def __getitem__(self, index):
        return np.full(4, index / 1), index

class Noisy(Squares):
    def __getitem__(self, index):
        return np.random.rand(4), 0

class Sized(Squares):
    def __init__(self, split, n):
        self.n = n

class NoSplit:
    def __init__(self, folder):
        pass

def not_a_dataset(split, data_dir):
    return iter([(split, 0)])
"""


@pytest.fixture
def my_data(write_module):
    write_module("my_own_data", MY_DATA)


def test_ones_own_data_set_is_read_split_by_split(make_config, my_data):
    splits = {"train": "train[:50%]", "rest": "train[50%:]+validation[:3]"}
    data = load_data(make_config(dataset="python/my_own_data:Squares", data_splits_map=splits))

    assert {name: len(split) for name, split in data.splits.items()} == {"train": 10, "rest": 13}
    assert (data.n_classes, data.input_shape) == (2, (4,))
    rest = data.splits["rest"]
    values = [rest[i][0][0].item() for i in range(len(rest))]
    assert values == [i**2 for i in [*range(10, 20), 0, 1, 2]]
    x, y = rest[1]
    assert (x.dtype, y.dtype, y.item()) == (torch.float32, torch.int64, 1)


def test_ones_own_data_set_gets_dataset_kwargs_and_no_folder_unless_it_takes_one(make_config, my_data):
    options = {"dataset": "python/my_own_data:Sized", "data_splits_map": {"train": "train"}}
    assert len(load_data(make_config(**options, dataset_kwargs={"n": 7})).splits["train"]) == 7
    for kwargs, message in [({}, "missing.*'n'"), ({"n": 7, "m": 1}, "'m'"), ({"split": "x"}, "'split' comes from")]:
        with pytest.raises(ValueError, match=message):
            load_data(make_config(**options, dataset_kwargs=kwargs))
    with pytest.raises(ValueError, match="dataset_kwargs: 'sklearn/iris' takes none"):
        make_config(dataset="sklearn/iris", dataset_kwargs={"n": 7})


def test_ones_own_samples_are_viewed_in_the_models_shape(make_config, my_data):
    options = {"dataset": "python/my_own_data:Counted", "data_splits_map": {"train": "train"}}
    data = load_data(make_config(**options, model_input_shape=[1, 2, 2]))

    assert (data.n_classes, data.input_shape) == (3, (1, 2, 2))
    with pytest.raises(ValueError, match="holds 5 values"):
        load_data(make_config(**options, model_input_shape=[5]))


def test_ones_own_data_without_classes_are_regression_if_the_loss_is(make_config, my_data):
    options = {"dataset": "python/my_own_data:Targets", "data_splits_map": {"train": "train"}}
    data = load_data(make_config(**options, loss="mse"))

    assert data.n_classes is None
    y = data.splits["train"][3][1]
    assert (y.dtype, y.item()) == (torch.float32, 1.5)
    with pytest.raises(ValueError, match="`classes` or `n_classes`"):
        load_data(make_config(**options))


def test_a_label_out_of_range_names_its_item(make_config, my_data):
    data = load_data(make_config(dataset="python/my_own_data:Wrong", data_splits_map={"train": "train[1:]"}))
    with pytest.raises(ValueError, match="item 4 of split 'train' has label 4"):
        data.splits["train"][3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:Data", "no module"),
        ("my_own_data:Missing", "'Missing' does not exist"),
        ("my_own_data:NoSplit", r"NoSplit\(split=\.\.\.\)"),
        ("my_own_data:not_a_dataset", "__len__ and __getitem__"),
    ],
)
def test_a_callable_that_makes_no_data_set_is_refused(make_config, my_data, name, message):
    with pytest.raises(ValueError, match=message):
        load_data(make_config(dataset=f"python/{name}", data_splits_map={"train": "train"}))


def test_reading_ones_own_data_leaves_the_programs_random_numbers_alone(make_config, my_data):
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()

    for seeding in (random.seed, np.random.seed, torch.manual_seed):
        seeding(0)
    expected = draws()
    for seeding in (random.seed, np.random.seed, torch.manual_seed):
        seeding(0)
    load_data(make_config(dataset="python/my_own_data:Noisy", data_splits_map={"train": "train"}))

    assert draws() == expected
