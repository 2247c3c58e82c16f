"""timm/torch and timm/folder: the real classes of torchvision and timm on small files of the published formats."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from data.made_tfds import make_cifar10
from data.made_timm import made_cifar, make_class_folders, make_mnist
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from src import config as configs
from src.data import load_data
from src.data import timm as timm_data
from src.data.source import describe

FOLDER = {"train": "train", "val": "val"}
WHOLE = {"train": "train"}


@pytest.fixture
def read(make_config):
    """Reads a data set `timm/<name>` from the test's data_dir, as a run does, with options of the config."""

    def load(name, **options):
        return timm_data.load_source(name, make_config(dataset=f"timm/{name}", **options))

    return load


# --- torchvision's ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST"), ("qmnist", "QMNIST")],
)
def test_the_mnist_family_is_read_as_grey_images(read, tmp_path, name, kind):
    make_mnist(tmp_path / "data", kind, n_train=30, n_test=20)

    source = read(f"torch/{name}")

    assert {split: len(data) for split, data in source.splits.items()} == {"train": 30, "test": 20}
    image, label = source.splits["train"][13]
    assert (image.mode, image.size, label) == ("L", (28, 28), 3)
    assert source.splits["train"].labels.tolist() == [i % 10 for i in range(30)]
    assert (source.kind, source.n_classes, len(source.class_names)) == ("image", 10, 10)


@pytest.mark.parametrize(("name", "n_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_read_as_colour_images_with_the_names_of_its_classes(read, tmp_path, name, n_classes):
    with made_cifar(tmp_path / "data", name, n_train=120, n_test=100):
        source = read(f"torch/{name}")

    image, label = source.splits["test"][42]
    assert (image.mode, image.size, label) == ("RGB", (32, 32), 42 % n_classes)
    assert {split: len(data) for split, data in source.splits.items()} == {"train": 120, "test": 100}
    assert source.class_names == [f"class {index}" for index in range(n_classes)]


def test_only_the_splits_that_the_config_names_are_read(read, tmp_path):
    make_mnist(tmp_path / "data", n_train=30, n_test=20)

    source = read("torch/mnist", data_splits_map={"train": "train[:80%]", "val": "train[80%:]"})

    assert list(source.splits) == ["train"]


def test_data_can_be_handed_to_another_process(read, tmp_path):
    make_mnist(tmp_path / "data", n_train=10, n_test=10)
    make_class_folders(tmp_path / "images", n_each=2)

    for name, options in (("torch/mnist", {}), (f"folder/{tmp_path}/images", {"data_splits_map": FOLDER})):
        data = read(name, **options).splits["train"]
        image, label = pickle.loads(pickle.dumps(data))[3]
        assert (image.tobytes(), label) == (data[3][0].tobytes(), data[3][1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch/cifar11", "did you mean 'cifar10'"),
        ("torch/mnst", "did you mean 'mnist'"),
        ("torch/zzz", "known: cifar10, cifar100, mnist"),
    ],
)
def test_an_unknown_name_is_answered_with_those_near_it(read, name, message):
    with pytest.raises(ValueError, match=f"unknown data set 'timm/{name}'.*{message}"):
        read(name)


def test_an_unknown_split_is_answered_with_those_there_are(read):
    with pytest.raises(ValueError, match="names 'validation', and 'timm/torch/mnist' has 'train' and 'test'"):
        read("torch/mnist", data_splits_map={"train": "train", "val": "validation"})


@pytest.mark.parametrize("name", ["mnist", "qmnist", "cifar10"])
def test_without_permission_to_download_the_error_says_what_to_put_where(read, tmp_path, name):
    with pytest.raises(ValueError, match=r"data_download is false; get http.* by hand and unpack") as caught:
        read(f"torch/{name}", data_download=False)

    assert str(tmp_path / "data") in str(caught.value)
    assert not (tmp_path / "data").exists()


@given(cut=st.integers(min_value=0, max_value=7_840 + 16 - 1))
def test_a_file_that_was_cut_short_is_never_read(cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    file = make_mnist(folder, n_train=10, n_test=1) / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:cut])

    with pytest.raises(ValueError, match=r"MNIST is damaged or incomplete.*delete it to download it again"):
        timm_data.load_source("torch/mnist", configs.build({"dataset": "timm/torch/mnist", "data_dir": str(folder)}))
    shutil.rmtree(folder)


def test_a_changed_cifar_file_is_found_by_its_checksum(read, tmp_path):
    with made_cifar(tmp_path / "data") as folder:
        file = folder / "data_batch_2"
        file.write_bytes(file.read_bytes()[:-1] + b"x")

        with pytest.raises(ValueError, match="cifar-10-batches-py is damaged or incomplete"):
            read("torch/cifar10")


# --- torchvision's that must have been unpacked -------------------------------------------------------


def test_imagenet_that_was_unpacked_is_read(read, tmp_path):
    import torch

    data = tmp_path / "data"
    make_class_folders(data, n_each=3, classes=("n01", "n02"))
    torch.save(({"n01": ("tench", "Tinca tinca"), "n02": ("goldfish",)}, []), data / "meta.bin")

    source = read("torch/imagenet", data_splits_map=FOLDER)

    assert source.class_names == ["tench, Tinca tinca", "goldfish"]
    assert sorted(source.splits["val"].labels) == [0, 0, 0, 1, 1, 1]
    assert source.splits["train"][0][0].size == (24, 24)


def test_inaturalist_that_was_unpacked_is_read(read, tmp_path):
    species = tuple(f"0000{i}_a_b_c_d_e_f_g" for i in range(2))
    make_class_folders(tmp_path / "data", splits=("2021_train", "2021_valid"), n_each=2, classes=species)

    source = read("torch/inaturalist", data_splits_map=FOLDER)

    assert source.class_names == list(species)
    assert source.splits["train"][0][0].size == (24, 24)


def test_places365_that_was_unpacked_is_read(read, tmp_path, monkeypatch):
    from torchvision.datasets import Places365

    data = tmp_path / "data"
    make_class_folders(data, splits=("data_large_standard",), n_each=2, classes=("alley", "beach"))
    lists = {
        "categories_places365.txt": ["/b/beach 1", "/a/alley 0"],
        "places365_train_standard.txt": ["/alley/0.png 0", "/beach/1.png 1", "/alley/2.png 0"],
    }
    for file, lines in lists.items():
        (data / file).write_text("\n".join(lines))
    categories, train = ((file, hashlib.md5((data / file).read_bytes()).hexdigest()) for file in lists)
    monkeypatch.setattr(Places365, "_CATEGORIES_META", categories)
    monkeypatch.setitem(Places365._FILE_LIST_META, "train-standard", train)

    source = read("torch/places365", data_splits_map=WHOLE)

    assert source.class_names == ["/a/alley", "/b/beach"]
    part = source.splits["train"]
    assert sorted((Path(part.describe(i)).name, part[i][1]) for i in range(3)) == [
        ("0.png", 0),
        ("1.png", 1),
        ("2.png", 0),
    ]


@pytest.mark.parametrize("name", ["imagenet", "inaturalist", "places365"])
def test_data_too_large_for_a_run_to_fetch_are_asked_for(read, name):
    with pytest.raises(ValueError, match=rf"'timm/torch/{name}' is not in .*let torchvision.datasets.\w+ unpack"):
        read(f"torch/{name}", data_splits_map=FOLDER)


# --- folders ------------------------------------------------------------------------------------------


def test_folders_of_images_are_classes_and_splits(read, tmp_path):
    make_class_folders(tmp_path / "images", n_each=5)

    source = read(f"folder/{tmp_path}/images", data_splits_map=FOLDER)

    assert source.class_names == ["ant", "bee", "cat"]
    for split, data in source.splits.items():
        assert len(data) == 15
        for index in range(15):
            image, label = data[index]
            path = Path(data.describe(index))
            assert (path.parent.name, path.parent.parent.name) == (source.class_names[label], split)
            assert np.array_equal(np.asarray(image), np.asarray(Image.open(path)))
            assert label == data.labels[index]


def test_any_slice_of_a_folder_has_all_classes(make_config, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=10)
    slices = {"train": "train[:6]", "test": "train[-6:]"}

    splits = load_data(make_config(dataset=f"timm/folder/{tmp_path}/images", data_splits_map=slices)).splits

    for part in splits.values():
        assert np.bincount(part.y).tolist() == [2, 2, 2]


def test_the_order_of_a_folder_depends_on_its_seed_only(make_config, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=10)
    shutil.copytree(tmp_path / "images", tmp_path / "elsewhere")

    def order(folder, seed):
        options = {"dataset": f"timm/folder/{tmp_path}/{folder}", "data_splits_map": WHOLE, "data_split_seed": seed}
        data = load_data(make_config(**options, image_memory_gb=0)).splits["train"].dataset
        return [Path(describe(data, index)).name for index in range(len(data))]

    assert order("images", 0) == order("elsewhere", 0)
    assert order("images", 0) != order("images", 1)


def test_a_class_that_a_split_lacks_moves_no_other_class(read, tmp_path):
    make_class_folders(tmp_path / "images", n_each=3)
    shutil.rmtree(tmp_path / "images" / "val" / "ant")

    source = read(f"folder/{tmp_path}/images", data_splits_map=FOLDER)

    assert sorted(set(source.splits["val"].labels)) == [1, 2]


def test_the_class_is_the_folder_directly_below_the_split_whatever_is_below_it(read, tmp_path):
    make_class_folders(tmp_path / "images", n_each=4)
    for split, name in itertools.product(("train", "val"), ("ant", "bee", "cat")):
        folder = tmp_path / "images" / split / name
        (folder / "images" / "more").mkdir(parents=True)
        first, second, *_ = sorted(folder.glob("*.png"))
        first.rename(folder / "images" / first.name)
        second.rename(folder / "images" / "more" / second.name)

    source = read(f"folder/{tmp_path}/images", data_splits_map=FOLDER)

    assert source.class_names == ["ant", "bee", "cat"]
    for split in source.splits.values():
        assert np.bincount(split.labels).tolist() == [4, 4, 4]
        for index, label in enumerate(split.labels):
            assert source.class_names[label] in Path(split.describe(index)).parts


def test_hidden_folders_and_files_are_ignored(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=("train",), n_each=2)
    train = tmp_path / "images" / "train"
    for hidden in (
        train / ".ipynb_checkpoints",
        train / "ant" / ".ipynb_checkpoints",
        tmp_path / "images" / "test" / ".x",
    ):
        hidden.mkdir(parents=True)
        shutil.copy(train / "ant" / "0.png", hidden / "0-checkpoint.png")
    (train / "ant" / "._0.png").write_bytes(b"of another system")

    source = read(f"folder/{tmp_path}/images", data_splits_map=WHOLE)

    assert source.class_names == ["ant", "bee", "cat"]
    assert np.bincount(source.splits["train"].labels).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="test"):  # a folder that holds hidden ones alone is no split
        read(f"folder/{tmp_path}/images", data_splits_map={"train": "test"})


def test_every_type_of_file_that_pillow_opens_is_read(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=1)
    types = ["webp", "bmp", "tif", "TIFF", "gif", "ppm", "jp2", "JPG", "jpeg", "tga", "ico"]
    (tmp_path / "images" / "dog").mkdir()
    for suffix in types:
        Image.new("RGB", (32, 32), (200, 100, 50)).save(tmp_path / "images" / "dog" / f"0.{suffix}")
    (tmp_path / "images" / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / "dog" / "features.h5").write_bytes(b"not an image")

    source = read(f"folder/{tmp_path}/images", data_splits_map=WHOLE)

    assert source.class_names == ["ant", "bee", "cat", "dog"]
    data = source.splits["train"]
    dogs = [data[index][0].convert("RGB") for index in range(len(data)) if data.labels[index] == 3]
    assert len(dogs) == len(types)
    assert all(np.abs(np.asarray(dog, dtype=int) - (200, 100, 50)).max() <= 8 for dog in dogs)


def test_the_rotation_in_exif_data_is_not_applied(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=1)
    exif = Image.Exif()
    exif[274] = 6  # orientation: turned by a quarter
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / "ant" / "0.png", exif=exif)

    data = read(f"folder/{tmp_path}/images", data_splits_map=WHOLE).splits["train"]

    assert data[data.data.index(str(tmp_path / "images" / "ant" / "0.png"))][0].size == (30, 20)


def test_folders_with_numbers_are_classes_in_the_order_of_the_numbers(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=1, classes=tuple(str(i) for i in range(12)))

    assert read(f"folder/{tmp_path}/images", data_splits_map=WHOLE).class_names == [str(i) for i in range(12)]


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_a_file_that_is_no_image_is_not_passed_over(read, tmp_path, content):
    make_class_folders(tmp_path / "images", n_each=2)
    (tmp_path / "images" / "train" / "ant" / "0.png").write_bytes(content)

    data = read(f"folder/{tmp_path}/images", data_splits_map=FOLDER).splits["train"]

    bad = next(index for index in range(len(data)) if data.describe(index).endswith("train/ant/0.png"))
    with pytest.raises((OSError, UnidentifiedImageError)):
        data[bad]


def test_an_image_that_was_cut_short_is_not_passed_over(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=1)
    file = tmp_path / "images" / "ant" / "0.png"
    file.write_bytes(file.read_bytes()[:-200])

    data = read(f"folder/{tmp_path}/images", data_splits_map=WHOLE).splits["train"]

    with pytest.raises(OSError, match="truncated"):
        data[data.data.index(str(file))]


def test_a_folder_that_is_not_there_is_answered_with_one_near_it(read, tmp_path):
    make_class_folders(tmp_path / "images", n_each=1)

    with pytest.raises(ValueError, match=r"there is no folder .*/imags; did you mean 'images'\?"):
        read(f"folder/{tmp_path}/imags")


def test_a_folder_without_images_is_named(read, tmp_path):
    (tmp_path / "images" / "train" / "ant").mkdir(parents=True)

    with pytest.raises(ValueError, match=r"there are no images in the folders of .*images/train"):
        read(f"folder/{tmp_path}/images", data_splits_map=WHOLE)


def test_an_image_outside_of_the_class_folders_is_named(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=(), n_each=1)
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "stray.png")

    with pytest.raises(ValueError, match=r"stray.png is in no class folder"):
        read(f"folder/{tmp_path}/images", data_splits_map=WHOLE)


# --- as a run loads them ------------------------------------------------------------------------------


def test_a_run_gets_grey_images_with_their_labels(make_config, tmp_path):
    make_mnist(tmp_path / "data", n_train=30, n_test=20)

    data = load_data(make_config(dataset="timm/torch/mnist"))

    assert (data.input_shape, data.n_classes, data.class_names[3]) == ((1, 28, 28), 10, "3 - three")
    assert data.splits["test"].y.tolist() == [i % 10 for i in range(20)]


@pytest.mark.parametrize("memory", [0.0, 2.0])
def test_a_file_that_is_no_image_is_named(make_config, tmp_path, memory):
    make_class_folders(tmp_path / "images", n_each=2)
    (tmp_path / "images" / "val" / "bee" / "1.png").write_bytes(b"no image")

    with pytest.raises(ValueError, match=r"images/val/bee/1.png"):
        val = load_data(
            make_config(dataset=f"timm/folder/{tmp_path}/images", data_splits_map=FOLDER, image_memory_gb=memory)
        ).splits["val"]
        for index in range(len(val)):
            val[index]


# --- other families by timm's names -------------------------------------------------------------------


def test_timm_hfds_reads_what_hf_reads(read, tmp_path):
    make_class_folders(tmp_path / "images", splits=("train",), n_each=2)

    source = read(f"hfds/{tmp_path}/images", data_splits_map=WHOLE)

    assert (source.kind, source.class_names) == ("image", ["ant", "bee", "cat"])
    assert source.splits["train"][0][0].size == (24, 24)


def test_timm_tfds_reads_what_tfds_reads(read, tmp_path):
    # in a process of its own: one that has written array_record files can fork no readers
    writer = multiprocessing.get_context("fork").Process(target=make_cifar10, args=(tmp_path / "data", 20, 10))
    writer.start()
    writer.join()

    source = read("tfds/cifar10", data_splits_map={"train": "train", "test": "test"})

    assert (source.kind, source.n_classes, len(source.splits["train"])) == ("image", 10, 20)
    assert source.splits["train"][0][0].size == (32, 32)
