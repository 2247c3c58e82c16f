"""Splits that are taken from another data set: their classes, by name, by label and by data_label_maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from data.made_timm import make_class_folders
from PIL import Image

from src.config import ConfigError
from src.data import load_data

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def with_shifted(make_config, tmp_path):
    """Loads a folder of ants, bees and cats, with a split `shifted` that is `<tmp_path>/other`."""
    make_class_folders(tmp_path / "images", n_each=4, classes=CLASSES)

    def load(wanted=None, **options):
        return load_data(
            make_config(
                dataset=f"timm/folder/{tmp_path}/images",
                data_splits_map={"train": "train", "shifted": f"timm/folder/{tmp_path}/other::test"},
                data_label_maps={} if wanted is None else {"shifted": wanted},
                **options,
            )
        )

    return load


def paint(folder, colours):
    """Two images of one colour in <folder>/test/<class>/ for each class: the colour tells the true class."""
    for name, colour in colours.items():
        (folder / "test" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (24, 24), (colour, colour, colour)).save(folder / "test" / name / f"{number}.png")


def label_of_colour(split):
    """colour -> the label that all of its images have, wherever they are held."""
    if hasattr(split, "x"):
        pairs = zip(split.x[:, 0, 0, 0].tolist(), split.y.tolist(), strict=True)
    else:
        pairs = ((int(x[0, 0, 0]), int(y)) for x, y in (split[i] for i in range(len(split))))
    found = {}
    for colour, label in pairs:
        assert found.setdefault(colour, label) == label
    return found


@pytest.mark.parametrize("memory", [0.0, 2.0])
def test_classes_are_matched_by_name_also_where_some_are_missing(with_shifted, tmp_path, memory):
    paint(tmp_path / "other", {"cat": 200, "bee": 100})  # by themselves bee 0, cat 1

    data = with_shifted(image_memory_gb=memory)

    assert (data.n_classes, data.class_names) == (3, list(CLASSES))
    assert label_of_colour(data.splits["shifted"]) == {100: 1, 200: 2}


def test_the_split_keeps_its_place_and_train_is_as_without_it(with_shifted, make_config, tmp_path):
    paint(tmp_path / "other", {"ant": 0, "bee": 100, "cat": 200})
    alone = load_data(make_config(dataset=f"timm/folder/{tmp_path}/images", data_splits_map={"train": "train"}))

    data = with_shifted()

    assert list(data.splits) == ["train", "shifted"]
    assert torch.equal(data.splits["train"].x, alone.splits["train"].x)
    assert label_of_colour(data.splits["shifted"]) == {0: 0, 100: 1, 200: 2}


def test_a_class_that_train_has_not_is_named(with_shifted, tmp_path):
    paint(tmp_path / "other", {"ant": 0, "dog": 100})
    with pytest.raises(ValueError, match=r"'shifted': .*/other' has a class 'dog', which the train split lacks"):
        with_shifted()


@pytest.mark.parametrize(
    "form", ["list", "dictionary", "dictionary of numbers", "yaml list", "yaml dictionary", "json dictionary"]
)
def test_folders_that_are_numbered_are_mapped_by_a_list_a_dictionary_or_a_file(with_shifted, tmp_path, form):
    paint(tmp_path / "other", {"0": 0, "2": 20, "10": 100})  # in the order of the numbers, as in ImageNet-V2
    as_list, by_name = [2, 0, 1], {"0": 2, "2": 0, "10": 1}
    file = tmp_path / f"map.{'json' if 'json' in form else 'yaml'}"
    wanted = {"list": as_list, "dictionary": by_name, "dictionary of numbers": {0: 2, 2: 0, 10: 1}}.get(form, str(file))
    file.write_text(
        {"yaml list": "[2, 0, 1]", "yaml dictionary": "0: 2\n2: 0\n'10': 1\n"}.get(form, json.dumps(by_name))
    )

    assert label_of_colour(with_shifted(wanted).splits["shifted"]) == {0: 2, 20: 0, 100: 1}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ([0, 1, 2], r"'shifted' has 3 entries, and .*/other' 2 classes"),
        ([0, 3], "'shifted' names the class 3, and the classes are 0 to 2"),
        (["ant", "bee"], "'shifted' names the class 'ant', and the classes are 0 to 2"),
        ({"0": 1}, "'shifted' has no entry for class '1' of .*/other'"),
        (3, "'shifted' must be a list, a dictionary, or a file of one"),
        ("nowhere.yaml", "'shifted': .*nowhere.yaml"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(with_shifted, tmp_path, wanted, sentence):
    paint(tmp_path / "other", {"0": 0, "1": 100})
    with pytest.raises(ValueError, match=f"^data_label_maps: {sentence}"):
        with_shifted(wanted)


@pytest.mark.parametrize("other", ["train", "test"])
def test_a_map_for_a_split_of_the_data_set_itself_is_refused_before_data_are_read(make_config, other):
    with pytest.raises(ConfigError, match=f"data_label_maps: '{other}' is no split that data_splits_map takes from"):
        make_config(data_label_maps={other: [0, 1]})


def test_an_unknown_other_data_set_is_refused_before_data_are_read(make_config):
    with pytest.raises(ConfigError, match=r"data_splits_map: 'far': .*sklearn"):
        make_config(data_splits_map={"train": "train", "far": "skleran/iris::train"})


# --- tables -------------------------------------------------------------------------------------------


@pytest.fixture
def with_file(make_config, libsvm_file, tmp_path):
    """Loads sklearn/iris, with a split `far` from a libsvm file of rows `x` with labels `y`."""

    def load(x, y, **options):
        far = f"libsvm/{libsvm_file(tmp_path / 'far.svm', x, y)}"
        return load_data(
            make_config(
                dataset="sklearn/iris",
                libsvm_normalize=False,
                data_splits_map={"train": "train", "far": f"{far}::train"},
                **options,
            )
        )

    return load


def test_labels_of_tables_are_matched_by_value(with_file, numbers):
    y = np.array([2, 1, 2, 1])
    far = with_file(numbers(4, 4), y).splits["far"]
    assert sorted(far.y.tolist()) == [1, 1, 2, 2] and far.y.dtype == torch.int64


@pytest.mark.parametrize("wanted", [{-1: 2, 1: 0}, {"-1": 2, "+1": 0}])
def test_labels_of_tables_are_mapped(with_file, numbers, wanted):
    far = with_file(numbers(4, 4), [-1, 1, 1, 1], data_label_maps={"far": wanted}).splits["far"]
    assert sorted(far.y.tolist()) == [0, 0, 0, 2]


def test_another_table_is_scaled_as_the_train_split_is(with_file, numbers):
    plain = with_file(numbers(3, 4), [0, 1, 2], sklearn_standardize=False).splits
    scaled = with_file(numbers(3, 4), [0, 1, 2]).splits
    mean, deviation = plain["train"].x.mean(dim=0), plain["train"].x.std(dim=0, correction=0)
    torch.testing.assert_close(scaled["far"].x, (plain["far"].x - mean) / deviation, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("y", "options", "sentence"),
    [
        ([0, 7], {}, "'far': .*far.svm' has a label 7, which the train split lacks"),
        ([0, 1], {"data_label_maps": {"far": [2]}}, "'far' has no entry for label 1 of .*far.svm'"),
        (
            [0, 1],
            {"data_label_maps": {"far": {"ant": 2}}},
            "'far' names classes, and the labels of .*far.svm' are numbers",
        ),
    ],
)
def test_a_label_without_a_class_is_named(with_file, numbers, y, options, sentence):
    with pytest.raises(ValueError, match=f"^data_label_maps: {sentence}"):
        with_file(numbers(2, 4), y, **options)


@pytest.mark.parametrize("n_features", [3, 5])
def test_samples_of_another_shape_are_refused(with_file, numbers, n_features):
    with pytest.raises(ValueError, match=rf"split 'far', .*has samples of shape \[{n_features}\], and train \[4\]"):
        with_file(numbers(2, n_features), [0, 1])


def test_sparse_data_beside_dense_ones_are_refused(with_file):
    with pytest.raises(ValueError, match=r"split 'far', .* is sparse, and train dense; raise max_dense_gb"):
        with_file(np.eye(4), [0, 1, 2, 0], max_dense_gb=0)


def test_images_beside_tables_are_refused(make_config, tmp_path):
    make_class_folders(tmp_path / "images", n_each=1)
    config = make_config(
        dataset="sklearn/iris", data_splits_map={"train": "train", "far": f"timm/folder/{tmp_path}/images::val"}
    )
    with pytest.raises(ValueError, match="holds images for classification, and 'sklearn/iris' tensors"):
        load_data(config)


OWN_DATA = """
class Few:
    n_classes = 2

    def __init__(self, split, data_dir):
        pass

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return [float(index)] * 4, index % self.n_classes


class Many(Few):
    n_classes = 3
"""


def test_ones_own_data_are_matched_by_label_or_mapped(make_config, write_module):
    write_module("own_data", OWN_DATA)

    def labels(train, far, **options):
        splits_map = {"train": "train", "far": f"python/own_data:{far}::test"}
        data = load_data(make_config(dataset=f"python/own_data:{train}", data_splits_map=splits_map, **options))
        return [int(y) for _, y in (data.splits["far"][i] for i in range(6))]

    assert labels("Many", "Few") == [0, 1, 0, 1, 0, 1]
    assert labels("Few", "Many", data_label_maps={"far": [1, 0, 0]}) == [1, 0, 0, 1, 0, 0]
    with pytest.raises(ValueError, match="'far': 'python/own_data:Many' has 3 classes, and the train split 2"):
        labels("Few", "Many")


@pytest.mark.parametrize(
    "datasets", [("sklearn/iris", "python/own_data:Many"), ("python/own_data:Many", "sklearn/iris")]
)
def test_ones_own_data_beside_tables_are_refused(make_config, write_module, datasets):
    write_module("own_data", OWN_DATA)
    config = make_config(dataset=datasets[0], data_splits_map={"train": "train", "far": f"{datasets[1]}::train"})
    with pytest.raises(ValueError, match=r"split 'far': .* is in memory, the other is read item by item"):
        load_data(config)


# --- options that the data cannot use -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"), [("hflip", 0.5), ("mixup_alpha", 0.2), ("auto_augment", "3a"), ("random_crop_padding", 1)]
)
def test_augmentation_of_what_is_no_image_is_refused(make_config, option, value):
    config = make_config(
        dataset="sklearn/digits", data_splits_map={"train": "train[:80%]", "test": "train[80%:]"}, **{option: value}
    )
    with pytest.raises(ValueError, match=f"{option} is for images, and 'sklearn/digits' is not"):
        load_data(config)


@pytest.mark.parametrize("model", ["linear", "linear/no_bias", "tiny/lenet"])
def test_layer_decay_of_a_model_without_named_layers_is_refused_before_data_are_read(make_config, model):
    with pytest.raises(ConfigError, match=f"layer_decay: '{model}' does not declare its layers"):
        make_config(model=model, layer_decay=0.7)
