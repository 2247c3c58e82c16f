"""`timm/folder/<path>`: images in a folder for each class; and any data set that is a list of image files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from src.config import Config
from src.data.source import Source, Split
from src.data.splits import named_splits, stratified_order

# Sub-folders that are splits and no classes: timm's names.
_SPLITS = ("train", "training", "val", "valid", "validation", "eval", "evaluation", "test")


class ImageFiles(Dataset):
    """Image files and their labels (n,). They come class by class, and are shuffled, so that any slice has all classes."""

    def __init__(self, files: Sequence[str], labels: Sequence[int] | np.ndarray, seed: int) -> None:
        labels = np.asarray(labels, dtype=np.int64)
        by_name = np.array(sorted(range(len(files)), key=files.__getitem__), dtype=np.int64)  # on every disk the same
        order = by_name[stratified_order(labels[by_name], seed)]
        self.files, self.labels = [files[i] for i in order], labels[order]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        with Image.open(self.files[index]) as image:
            image.load()
        return image, int(self.labels[index])

    def describe(self, index: int) -> str:
        return self.files[index]


def class_folders(path: str, config: Config) -> Source:
    """Images in a folder for each class, the class being the name of the folder that holds the file.

    The splits are the sub-folders called train, val, test, ... (timm's names) that hold folders themselves; if
    there are none, the whole is one split, `train`. Classes are numbered over all splits that the config names.
    """
    from timm.data import create_dataset
    from timm.utils.misc import natural_key

    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"dataset 'timm/folder/{path}': there is no folder {root.absolute()}{_close_folder(root)}")
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
        splits[split] = ImageFiles(files, own[list(labels)], config.data_split_seed)
    return Source(splits, kind="image", n_classes=len(names), class_names=names)


def _holds_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())


def _close_folder(missing: Path) -> str:
    beside = [entry.name for entry in missing.parent.iterdir()] if missing.parent.is_dir() else []
    close = difflib.get_close_matches(missing.name, beside, n=1)
    return f"; did you mean {missing.parent / close[0]}?" if close else ""
