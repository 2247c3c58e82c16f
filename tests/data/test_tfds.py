"""tfds/<name>: data sets written by tensorflow-datasets itself, read by name."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.made_tfds import CIFAR10_CLASSES, make_cifar10, register_stripes
from helpers import ROOT
from torch.utils.data import DataLoader

from src.data import child
from src.data.splits import select
from src.data.tfds import load_source

Item = tuple[bytes, int]


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory) -> Path:
    """A data_dir with a cifar10 of 300 + 60 images, in three files a split."""
    folder = tmp_path_factory.mktemp("array_record")
    make_cifar10(folder, 300, 60, n_shards=3)
    return folder


def contents(dataset) -> list[Item]:
    return [(image.tobytes(), label) for image, label in (dataset[index] for index in range(len(dataset)))]


@pytest.fixture
def no_tensorflow(monkeypatch) -> None:
    """Every import of TensorFlow fails."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)


def test_each_example_is_read_once_without_tensorflow(cifar10, make_config, no_tensorflow):
    source = load_source("cifar10", make_config(dataset="tfds/cifar10", data_dir=str(cifar10), data_download=False))

    assert source.kind == "image" and source.n_classes == 10 and source.class_names == CIFAR10_CLASSES
    train, test = contents(source.splits["train"]), contents(source.splits["test"])
    assert len(set(train)) == 300 and len(set(test)) == 60
    assert Counter(label for _, label in train) == dict.fromkeys(range(10), 30)
    assert source.splits["train"].labels.tolist() == [label for _, label in train]
    image, _ = source.splits["train"][0]
    assert image.size == (32, 32) and image.mode == "RGB"


def test_items_are_the_same_in_workers_that_start_after_reading(cifar10, make_config):
    source = load_source("cifar10", make_config(data_dir=str(cifar10)))
    train = source.splits["train"]
    read_here = contents(train)

    for _ in range(2):
        loader = DataLoader(train, batch_size=None, num_workers=2, collate_fn=lambda item: item)
        assert [(image.tobytes(), label) for image, label in loader] == read_here


def test_items_are_the_same_in_any_order_and_after_the_reader_was_killed(cifar10, make_config):
    train = load_source("cifar10", make_config(data_dir=str(cifar10))).splits["train"]
    before = set(multiprocessing.active_children())
    in_order = contents(train)
    for index in np.random.default_rng(0).permutation(300)[:50].tolist():
        image, label = train[index]
        assert (image.tobytes(), label) == in_order[index]

    (reader,) = set(multiprocessing.active_children()) - before
    reader.kill()
    reader.join()
    assert contents(train) == in_order


def test_a_damaged_record_is_the_only_one_that_cannot_be_read(tmp_path, make_config):
    folder = make_cifar10(tmp_path, 200, 10)
    (file,) = folder.glob("*-train*")
    content = bytearray(file.read_bytes())
    content[400_000:400_010] = b"?" * 10
    file.write_bytes(content)
    train = load_source("cifar10", make_config(data_dir=str(tmp_path))).splits["train"]

    bad = []
    for index in range(200):
        try:
            train[index]
        except RuntimeError as error:
            assert str(file) in str(error) or "hash mismatch" in str(error)
            bad.append(index)
    assert len(bad) == 1


def test_the_reader_ends_with_the_data_set_it_reads(cifar10, make_config):
    before = set(multiprocessing.active_children())
    train = load_source("cifar10", make_config(data_dir=str(cifar10))).splits["train"]
    contents(train)
    (reader,) = set(multiprocessing.active_children()) - before

    del train
    reader.join(10)
    assert reader.exitcode == 0


def test_tfrecord_files_hold_the_same_as_tensorflow_reads_from_them(cifar10, tmp_path, make_config, no_tensorflow):
    script = f"""
import numpy as np, tensorflow_datasets as tfds
from data.made_tfds import make_cifar10
from src.data import child
child.call = lambda function: function()  # nothing is forked later, and TensorFlow is loaded once
make_cifar10({str(tmp_path)!r}, 300, 60, "tfrecord", n_shards=3)
in_order = tfds.ReadConfig(interleave_cycle_length=1)
examples = tfds.load("cifar10", data_dir={str(tmp_path)!r}, split="train", read_config=in_order).as_numpy_iterator()
images, labels = zip(*((example["image"], example["label"]) for example in examples))
np.savez({str(tmp_path / "read.npz")!r}, images=images, labels=labels)
"""
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", script], env=os.environ | paths, check=True, capture_output=True, timeout=120)
    config = make_config(data_dir=str(tmp_path), data_download=False)
    train = load_source("cifar10", config).splits["train"]

    read = np.load(tmp_path / "read.npz")
    assert len(train) == 300
    for index in range(300):
        image, label = train[index]
        assert (np.asarray(image) == read["images"][index]).all() and label == read["labels"][index]
    # the order is that of the other format, so slices mean the same examples
    other = load_source("cifar10", make_config(data_dir=str(cifar10))).splits["train"]
    assert contents(train) == contents(other)
    assert "tfds/cifar10" in train.describe(7) and "record 7" in train.describe(7)

    last = sorted((tmp_path / "cifar10/3.0.2").glob("*-train*"))[-1]
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(ValueError, match=f"{last} is damaged: it should have 100 records"):
        load_source("cifar10", config)


def test_splits_are_cut_by_percentages_numbers_and_files(cifar10, make_config):
    splits_map = {
        "train": "train[:90%]",
        "val": "train[90%:]",
        "file": "train[1shard]",
        "most": "test[10:]",
        "all": "all",
    }
    config = make_config(data_dir=str(cifar10), data_splits_map=splits_map)
    source = load_source("cifar10", config)
    train, test = contents(source.splits["train"]), contents(source.splits["test"])

    parts = {name: contents(part) for name, part in select(source, splits_map, seed=0).items()}

    assert parts["train"] == train[:270] and parts["val"] == train[270:]
    assert parts["file"] == train[100:200] and parts["most"] == test[10:]
    assert sorted(parts["all"]) == sorted(train + test)


def prepare_and_count(options: dict[str, object], make_config: Callable, start, counts) -> None:
    config = make_config(**options)
    start.wait()
    splits = load_source("striped_squares", config).splits
    counts.put({split: len(set(contents(dataset))) for split, dataset in splits.items()})


def test_what_is_not_there_is_prepared_once_as_array_record(tmp_path, make_config, no_tensorflow):
    register_stripes()
    options = {"data_splits_map": {"train": "train", "test": "validation"}}
    processes = multiprocessing.get_context("fork")
    start, counts = processes.Barrier(3), processes.Queue()
    both = [processes.Process(target=prepare_and_count, args=(options, make_config, start, counts)) for _ in "ab"]
    for process in both:
        process.start()
    start.wait()
    assert [counts.get(timeout=60) for _ in both] == [{"train": 40, "validation": 20}] * 2
    for process in both:
        process.join()

    assert (tmp_path / "data/downloads/preparations").read_text() == "one\n"
    folder = tmp_path / "data/striped_squares"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["1.0.0"]
    assert {path.name.split("-")[1] for path in folder.glob("1.0.0/striped*")} == {
        "train.array_record",
        "validation.array_record",
    }
    source = load_source("striped_squares", make_config(data_download=False, **options))
    assert source.class_names == ["flat", "steep"] and source.splits["train"][0][0].mode == "L"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10:9.9.9", "cannot be loaded at version 9.9.9, only: 3"),
        ("mnist_corrupted/nope", "no such configuration; known: identity, .*fog"),
        ("cifar10/nope", "no such configuration; known: none"),
    ],
)
def test_an_unknown_version_or_configuration_is_answered_with_the_known_ones(make_config, name, message):
    with pytest.raises(ValueError, match=f"dataset 'tfds/{name}': .*{message}"):
        load_source(name, make_config())


def test_an_unknown_name_is_answered_with_close_ones(make_config):
    config = make_config()
    with pytest.raises(ValueError, match=r"neither known to tensorflow-datasets.*did you mean .*cifar100?"):
        load_source("cifar1", config)
    with pytest.raises(ValueError, match=r"tfds/cifar10:9.9.9': .*only: 3.0.2"):
        load_source("cifar10:9.9.9", config)
    with pytest.raises(ValueError, match=r"tfds/mnist_corrupted/fogg'.*fog"):
        load_source("mnist_corrupted/fogg", config)
    with pytest.raises(ValueError, match="hf/<name>"):
        load_source("huggingface:mnist", config)
    assert not Path(config.data_dir).exists()


def test_data_that_may_not_be_downloaded_are_asked_for(make_config):
    with pytest.raises(ValueError, match=r"data_download is false; run `tfds build cifar10 .*cifar10/3.0.2"):
        load_source("cifar10", make_config(data_download=False))


def test_without_a_network_the_error_says_what_could_not_be_fetched(make_config, monkeypatch, tmp_path):
    from tensorflow_datasets.core.download import downloader

    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)  # they take minutes
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(ValueError, match=r"could not be fetched .*cs.toronto.edu.*run `tfds build cifar10"):
        load_source("cifar10", make_config())
    assert not any((tmp_path / "data").rglob("3.0.2"))


def test_packages_that_are_not_installed_are_named(cifar10, make_config, monkeypatch):
    config = make_config(data_dir=str(cifar10))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "array_record", None)
        with pytest.raises(ValueError, match=r"needs the package array-record: pip install .*requirements-extras.txt"):
            load_source("cifar10", config).splits["train"][0]
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="dataset 'tfds/cifar10' needs the package tensorflow-datasets: pip install"):
        load_source("cifar10", config)


def test_what_is_no_image_classification_is_refused(make_config):
    import tensorflow_datasets as tfds

    class Words(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        name = "words"

        def _info(self):
            features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"text": "one", "label": 1}

    config = make_config()
    child.call(lambda: Words(data_dir=config.data_dir).download_and_prepare(file_format="array_record"))
    with pytest.raises(ValueError, match=r"label \(ClassLabel\), text \(Text\), and one Image"):
        load_source("words", config)
