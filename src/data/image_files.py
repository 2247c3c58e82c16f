"""`timm/folder/<path>`: images in one folder per class; and `ImageFiles`, for every list of image files."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import Config
from src.data.source import Labelled, Source, Split
from src.data.splits import named_splits
from src.hints import did_you_mean

# Names of sub-folders that are splits, not classes, as timm has them.
_SPLITS = ("train", "training", "val", "valid", "validation", "eval", "evaluation", "test")
# Formats that Pillow recognises and cannot decode by itself.
_UNREADABLE = ("BUFR", "GRIB", "HDF5", "MPEG", "WMF")


class ImageFiles(Labelled):
    """Image files and their labels, sorted by file name, so that their order is the same on every disk.

    They come class by class: a Source of them has shuffle="always". Of a file with several images, the first is read.
    The rotation in a photo's EXIF data is not applied, as in timm and torchvision.
    """

    def __init__(self, files: Sequence[str], labels: Sequence[int] | np.ndarray) -> None:
        order = sorted(range(len(files)), key=files.__getitem__)
        super().__init__([files[i] for i in order], np.asarray(labels, dtype=np.int64)[order], "image files")

    def read(self, index: int) -> Image.Image:
        with Image.open(self.data[index]) as image:
            image.load()
        return image

    def describe(self, index: int) -> str:
        return self.data[index]


def class_folders(path: str, config: Config) -> Source:
    """Images in one folder per class: the folder directly below the split, whatever folders are below that.

    The splits are the sub-folders train, val, test, ... (timm's names) that contain folders themselves; without such
    sub-folders, everything is one split, `train`. Classes are numbered over all splits that the config names.
    """
    from timm.utils.misc import natural_key

    root = Path(path)
    if not root.is_dir():
        siblings = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
        hint = did_you_mean(root.name, siblings)
        raise ValueError(f"dataset 'timm/folder/{path}': there is no folder {root.absolute()}{hint}")
    folders = {split: root / split for split in _SPLITS if _holds_folders(root / split)} or {"train": root}
    found = {}
    for split in named_splits(config, list(folders)):
        found[split] = list(_images(folders[split]))
        if not found[split]:
            raise ValueError(f"dataset 'timm/folder/{path}': there are no images in the folders of {folders[split]}")
        if stray := [file for file, name in found[split] if not name]:
            raise ValueError(f"dataset 'timm/folder/{path}': {stray[0]} is in no class folder; move it into one")
    names = sorted({name for images in found.values() for _, name in images}, key=natural_key)
    number = {name: index for index, name in enumerate(names)}
    splits: dict[str, Split] = {
        split: ImageFiles([file for file, _ in images], [number[name] for _, name in images])
        for split, images in found.items()
    }
    return Source(splits, shuffle="always", kind="image", n_classes=len(names), class_names=names)


def _images(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, class) of each image in `folder`, at any depth; the class of a file that is in no class folder is ""."""
    suffixes = _suffixes()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]  # such as .ipynb_checkpoints
        below = Path(parent).relative_to(folder).parts
        for name in files:
            file = Path(parent, name)
            if file.suffix.lower() in suffixes and not name.startswith("."):
                yield str(file), below[0] if below else ""


@functools.cache
def _suffixes() -> frozenset[str]:
    """The suffixes of the files that Pillow opens."""
    suffixes = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in suffixes.items() if kind in Image.OPEN and kind not in _UNREADABLE)


def _holds_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir())
