"""`timm/folder/<path>`: images in one folder per class; and `ImageFiles`, for every list of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import Config
from src.data.source import Labelled, Source, Split
from src.data.splits import named_splits
from src.hints import did_you_mean

# Names of sub-folders that are splits, not classes, as timm has them.
_SPLITS = ("train", "training", "val", "valid", "validation", "eval", "evaluation", "test")


class ImageFiles(Labelled):
    """Image files and their labels, sorted by file name, so that their order is the same on every disk.

    They come class by class: a Source of them has shuffle="always".
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
    """Images in one folder per class; the class is the name of the folder that contains the file.

    The splits are the sub-folders train, val, test, ... (timm's names) that contain folders themselves; without such
    sub-folders, everything is one split, `train`. Classes are numbered over all splits that the config names.
    """
    from timm.data import create_dataset
    from timm.utils.misc import natural_key

    root = Path(path)
    if not root.is_dir():
        siblings = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
        hint = did_you_mean(root.name, siblings)
        raise ValueError(f"dataset 'timm/folder/{path}': there is no folder {root.absolute()}{hint}")
    folders = {split: root / split for split in _SPLITS if _holds_folders(root / split)} or {"train": root}
    readers = {}
    for split in named_splits(config, list(folders)):
        try:
            readers[split] = create_dataset("", root=str(folders[split]), search_split=False).reader
        except RuntimeError as error:
            raise ValueError(f"dataset 'timm/folder/{path}': {error}") from None
        if "" in readers[split].class_to_idx:
            file = next(file for file, label in readers[split].samples if label == readers[split].class_to_idx[""])
            raise ValueError(f"dataset 'timm/folder/{path}': {file} is in no class folder; move it into one")
    names = sorted(set().union(*(reader.class_to_idx for reader in readers.values())), key=natural_key)
    splits: dict[str, Split] = {}
    for split, reader in readers.items():
        files, labels = zip(*reader.samples, strict=True)
        own = np.array([names.index(name) for name in reader.class_to_idx])  # in the order of the split's labels
        splits[split] = ImageFiles(files, own[list(labels)])
    return Source(splits, shuffle="always", kind="image", n_classes=len(names), class_names=names)


def _holds_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())
