"""`timm/<reader>/<name>`: data sets as timm names them, read by timm's and torchvision's own classes.

    timm/torch/<name>    torchvision's cifar10, mnist, ..., which are downloaded to data_dir; and imagenet,
                         places365, inaturalist, which must be unpacked there
    timm/folder/<path>   image files in one folder per class; see src/data/image_files.py
    timm/hfds/<name>     the family hf/, by timm's name
    timm/tfds/<name>     the family tfds/, by timm's name

timm's own readers of the last two are not used: its tfds reader repeats examples, and its hfds reader (as its
folder reader) replaces an image that it cannot read by another one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urljoin

import numpy as np
from PIL import Image

from src import families
from src.config import Config
from src.data.files import make_once
from src.data.image_files import ImageFiles, class_folders
from src.data.source import Labelled, Source, Split
from src.data.splits import named_splits
from src.hints import did_you_mean

_FAMILIES = {"tfds": "tfds", "hfds": "hf"}  # timm's name: ours
# timm's name: the class in torchvision.datasets
_DOWNLOADED = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
}
_UNPACKED = {"imagenet": "ImageNet", "places365": "Places365", "inaturalist": "INaturalist"}  # 100 GB and more

STALLED_SECONDS = 60.0

# Errors of torchvision for a file of its format that is damaged or missing.
_DAMAGED = (RuntimeError, AssertionError, ValueError, TypeError, OSError)


def load_source(name: str, config: Config) -> Source:
    reader, _, rest = name.partition("/")
    if reader in _FAMILIES:
        return families.DATA[_FAMILIES[reader]].load().load_source(rest, config)
    if reader == "folder":
        return class_folders(rest, config)
    if rest in _DOWNLOADED:
        return _downloaded(rest, config)
    if rest in _UNPACKED:
        return _unpacked(rest, config)
    known = [*_DOWNLOADED, *_UNPACKED]
    hint = did_you_mean(rest, known, n=3) or f"; known: {', '.join(known)}"
    raise ValueError(f"unknown data set 'timm/torch/{rest}'{hint}")


# --- data sets that are downloaded --------------------------------------------------------------------


class _InMemory(Labelled):
    """A data set that torchvision keeps in memory."""

    def __init__(self, dataset: Any, title: str) -> None:
        labels = np.asarray(dataset.targets, dtype=np.int64)
        labels = labels if labels.ndim == 1 else labels[:, 0]  # qmnist's first column is the class
        super().__init__(dataset, labels, title)
        if len(labels) != len(dataset):
            raise ValueError(f"{len(dataset)} images and {len(labels)} labels")

    def read(self, index: int) -> Image.Image:
        return self.data[index][0]


def _downloaded(name: str, config: Config) -> Source:
    from timm.data import create_dataset
    from torchvision import datasets

    named = named_splits(config, ["train", "test"])
    kind = getattr(datasets, _DOWNLOADED[name])
    folder = Path(config.data_dir) / getattr(kind, "base_folder", kind.__name__)
    by_hand = _by_hand(kind, folder)

    if not (config.data_download or folder.exists()):
        raise ValueError(f"'timm/torch/{name}' is not in {folder} and data_download is false; {by_hand}")

    def fetch(scratch: Path) -> None:
        try:
            with _socket_timeout(STALLED_SECONDS):
                for split in ("train", "test"):
                    create_dataset(f"torch/{name}", root=str(scratch.parent), split=split, download=True)
        except (RuntimeError, URLError, ConnectionError, TimeoutError, HTTPException) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"'timm/torch/{name}' could not be fetched ({reason}); {by_hand}") from None

    make_once(folder, fetch)
    splits: dict[str, Split] = {}
    for split in named:
        try:
            dataset = create_dataset(f"torch/{name}", root=config.data_dir, split=split, download=False)
            splits[split] = _InMemory(dataset, f"split {split!r} of 'timm/torch/{name}'")
        except _DAMAGED as error:
            raise ValueError(
                f"{folder} is damaged or incomplete ({error}); delete it to download it again, or {by_hand}"
            ) from error
    return Source(splits, kind="image", n_classes=len(dataset.classes), class_names=list(dataset.classes))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """In the block, a connection without data for so long is an error; torchvision itself waits forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _by_hand(kind: Any, folder: Path) -> str:
    if hasattr(kind, "base_folder"):  # one archive
        return f"get {kind.url} by hand and unpack it in {folder.parent}"
    files = kind.resources
    if isinstance(files, dict):  # qmnist's, by split and with complete addresses
        files = files["train"] + files["test"]
    urls = [urljoin(kind.mirrors[0], file) for file, _ in files]
    return f"get {', '.join(urls)} by hand and unpack them in {folder / 'raw'}"


# --- data sets that the user unpacks ------------------------------------------------------------------


def _unpacked(name: str, config: Config) -> Source:
    """torchvision's data sets that are too large for a run to download; splits `train` and `val`."""
    from timm.data import create_dataset

    root = Path(config.data_dir)
    splits: dict[str, Split] = {}
    for split in named_splits(config, ["train", "val"]):
        try:
            if name == "imagenet" and not ((root / "meta.bin").is_file() and (root / split).is_dir()):
                raise RuntimeError(f"no meta.bin or no folder {split}")  # torchvision would try to unpack archives
            dataset = create_dataset(f"torch/{name}", root=config.data_dir, split=split, download=False)
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"'timm/torch/{name}' is not in {root} ({error}); it is too large for a run to download: "
                f"let torchvision.datasets.{_UNPACKED[name]} unpack it there once"
            ) from error
        if name == "inaturalist":
            files = [str(Path(dataset.root, dataset.all_categories[label], file)) for label, file in dataset.index]
            labels, classes = [label for label, _ in dataset.index], dataset.all_categories
        else:
            files, labels = [file for file, _ in dataset.imgs], dataset.targets
            classes = (
                dataset.classes if name == "imagenet" else sorted(dataset.class_to_idx, key=dataset.class_to_idx.get)
            )
        splits[split] = ImageFiles(files, labels)
    names = [one if isinstance(one, str) else ", ".join(one) for one in classes]  # ImageNet's have several each
    return Source(splits, shuffle="always", kind="image", n_classes=len(names), class_names=names)
