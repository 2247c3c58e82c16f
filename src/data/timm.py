"""`timm/<reader>/<name>`: data sets as timm names them, read by timm's and torchvision's own classes.

    timm/torch/<name>    torchvision's cifar10, mnist, ..., in data_dir, where they are downloaded to; and
                         imagenet, places365, inaturalist, which must have been unpacked there
    timm/folder/<path>   image files in a folder for each class; see src/data/image_files.py
    timm/hfds/<name>     the family hf/, by timm's name
    timm/tfds/<name>     the family tfds/, by timm's name

timm's own readers of the last two are not used: of tfds it repeats examples, and of hfds (of folders too) it
hands out another image in place of one that it cannot read.
"""

from __future__ import annotations

import difflib
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
from torch.utils.data import Dataset

from src import torchvision_cpu
from src.config import Config
from src.data.files import prepared
from src.data.image_files import ImageFiles, class_folders
from src.data.source import Source, Split
from src.data.splits import named_splits

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

# What torchvision raises for a file of its own format that is damaged or is not there.
_DAMAGED = (RuntimeError, AssertionError, ValueError, TypeError, OSError)


def load_source(name: str, config: Config) -> Source:
    reader, _, rest = name.partition("/")
    if reader == "tfds":
        from src.data import tfds

        return tfds.load_source(rest, config)
    if reader == "hfds":
        from src.data import hf

        return hf.load_source(rest, config)
    torchvision_cpu.mend()
    if reader == "folder":
        return class_folders(rest, config)
    if rest in _DOWNLOADED:
        return _downloaded(rest, config)
    if rest in _UNPACKED:
        return _unpacked(rest, config)
    known = [*_DOWNLOADED, *_UNPACKED]
    close = difflib.get_close_matches(rest, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    raise ValueError(f"unknown data set 'timm/torch/{rest}'; {hint}")


# --- what torchvision downloads -----------------------------------------------------------------------


class _Held(Dataset):
    """A data set of torchvision that is in memory, with images as they come."""

    def __init__(self, dataset: Any, title: str) -> None:
        self.dataset, self.title = dataset, title
        labels = np.asarray(dataset.targets, dtype=np.int64)
        self.labels = labels if labels.ndim == 1 else labels[:, 0]  # the first column of qmnist's is the class
        if len(self.labels) != len(dataset):
            raise ValueError(f"{len(dataset)} images and {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.dataset[index]

    def describe(self, index: int) -> str:
        return f"image {index} of {self.title}"


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
            with _giving_up_after(STALLED_SECONDS):
                for split in ("train", "test"):
                    create_dataset(f"torch/{name}", root=str(scratch.parent), split=split, download=True)
        except (RuntimeError, URLError, ConnectionError, TimeoutError, HTTPException) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"'timm/torch/{name}' could not be fetched ({reason}); {by_hand}") from None

    prepared(folder, fetch)
    splits: dict[str, Split] = {}
    for split in named:
        try:
            dataset = create_dataset(f"torch/{name}", root=config.data_dir, split=split, download=False)
            splits[split] = _Held(dataset, f"split {split!r} of 'timm/torch/{name}'")
        except _DAMAGED as error:
            raise ValueError(
                f"{folder} is damaged or not complete ({error}); delete it to have it fetched again, or {by_hand}"
            ) from error
    return Source(splits, kind="image", n_classes=len(dataset.classes), class_names=list(dataset.classes))


@contextmanager
def _giving_up_after(seconds: float) -> Iterator[None]:
    """In the block a connection on which nothing comes for so long is an error; torchvision would wait for ever."""
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
    if isinstance(files, dict):  # of qmnist, by split and with whole addresses
        files = files["train"] + files["test"]
    urls = [urljoin(kind.mirrors[0], file) for file, _ in files]
    return f"get {', '.join(urls)} by hand and unpack them in {folder / 'raw'}"


# --- what must have been unpacked ----------------------------------------------------------------------


def _unpacked(name: str, config: Config) -> Source:
    """torchvision's data sets that are too large to be downloaded by a run; splits `train` and `val`."""
    from timm.data import create_dataset

    root = Path(config.data_dir)
    splits: dict[str, Split] = {}
    for split in named_splits(config, ["train", "val"]):
        try:
            if name == "imagenet" and not ((root / "meta.bin").is_file() and (root / split).is_dir()):
                raise RuntimeError(f"no meta.bin or no folder {split}")  # torchvision would unpack the archives here
            dataset = create_dataset(f"torch/{name}", root=config.data_dir, split=split, download=False)
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"'timm/torch/{name}' is not in {root} ({error}); it is too large to be fetched by a run: "
                f"have torchvision.datasets.{_UNPACKED[name]} unpack it there once"
            ) from error
        if name == "inaturalist":
            files = [str(Path(dataset.root, dataset.all_categories[label], file)) for label, file in dataset.index]
            labels, classes = [label for label, _ in dataset.index], dataset.all_categories
        else:
            files, labels = [file for file, _ in dataset.imgs], dataset.targets
            classes = (
                dataset.classes if name == "imagenet" else sorted(dataset.class_to_idx, key=dataset.class_to_idx.get)
            )
        splits[split] = ImageFiles(files, labels, config.data_split_seed)
    names = [one if isinstance(one, str) else ", ".join(one) for one in classes]  # ImageNet's have several each
    return Source(splits, kind="image", n_classes=len(names), class_names=names)
