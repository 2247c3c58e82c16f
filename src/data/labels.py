"""Labels as the sources have them -> classes 0..k-1, also those of another data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from src import yaml_io
from src.config import Config
from src.data.source import BadItem, Examples, Source, Split, describe, labels_of


def encode(source: Source, config: Config) -> Tensor | None:
    """Turn the labels of a source's Examples into int64 0..k-1, or its targets into float32.

    Returns the k labels, sorted, or None: in regression, and for Datasets, whose labels count from 0 already.
    """
    held = [part for part in source.splits.values() if isinstance(part, Examples)]
    if source.task == "regression":
        for part in held:
            part.y = part.y.float()
        return None
    if not held:
        return None
    labels = torch.cat([part.y for part in held])
    if not bool((labels == labels.round()).all()):  # also true of nan
        raise ValueError(
            f"the labels of {config.dataset!r} are not whole numbers, so they are no classes; use loss: mse"
        )
    classes, codes = torch.unique(labels, return_inverse=True)  # sorted
    for part, y in zip(held, codes.split([len(part) for part in held]), strict=True):
        part.y = y
    return classes


class Relabelled(Dataset):
    """A data set whose label i is class `classes[i]`."""

    def __init__(self, dataset: Any, classes: Sequence[int]) -> None:
        self.dataset, self.classes = dataset, classes

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        x, label = self.dataset[index]
        if not 0 <= label < len(self.classes):
            raise BadItem(f"{describe(self.dataset, index)} has label {label}, not 0 to {len(self.classes) - 1}")
        return x, self.classes[label]

    @property
    def labels(self) -> np.ndarray | None:
        own = labels_of(self.dataset)
        return None if own is None else np.asarray(self.classes)[own]

    def describe(self, index: int) -> str:
        return describe(self.dataset, index)


def mapped(part: Split, split: str, other: Source, source: Source, classes: Tensor | None, config: Config) -> Split:
    """A split of another source, with its labels in the classes of `source` (`classes`: its own labels, of Examples).

    By data_label_maps[split]; without one by the names of the classes, where both sources have them and they
    differ; else a label means the same in both. Raises ValueError for a label that is no class of `source`.
    """
    where = f"data_label_maps: {split!r}"
    wanted = _read_map(config.data_label_maps.get(split), where)
    if isinstance(part, Examples):
        return _mapped_examples(part, wanted, classes, where, config)
    names = other.class_names or [str(label) for label in range(other.n_classes or 0)]
    if isinstance(wanted, dict):
        by_name = {str(key): value for key, value in wanted.items()}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise ValueError(f"{where} does not say which class {missing[0]!r} of {config.dataset!r} is")
        wanted = [by_name[name] for name in names]
    elif wanted is None and source.class_names and other.class_names and source.class_names != other.class_names:
        unknown = [name for name in names if name not in source.class_names]
        if unknown:
            raise ValueError(
                f"{where}: {config.dataset!r} has a class {unknown[0]!r}, which the train split has not; "
                "data_label_maps says which class each of its labels is"
            )
        wanted = [source.class_names.index(name) for name in names]
    if wanted is None:
        if len(names) > (source.n_classes or 0):
            raise ValueError(
                f"{where}: {config.dataset!r} has {len(names)} classes, and the train split {source.n_classes}; "
                "data_label_maps says which class each of its labels is"
            )
        return part
    if len(wanted) != len(names):
        raise ValueError(f"{where} is a list of {len(wanted)}, and {config.dataset!r} has {len(names)} classes")
    _check_classes(wanted, source.n_classes or 0, where)
    return Relabelled(part, wanted)


def _mapped_examples(part: Examples, wanted: Any, classes: Tensor | None, where: str, config: Config) -> Examples:
    assert classes is not None
    if wanted is not None:
        entries = wanted if isinstance(wanted, dict) else dict(enumerate(wanted))
        try:
            by_label = {float(label): value for label, value in entries.items()}
        except ValueError:
            raise ValueError(f"{where} names classes, and the labels of {config.dataset!r} are numbers") from None
        unknown = set(part.y.tolist()) - set(by_label)
        if unknown:
            raise ValueError(f"{where} does not say which class label {min(unknown):g} of {config.dataset!r} is")
        _check_classes(by_label.values(), len(classes), where)
        y = torch.tensor([by_label[label] for label in part.y.tolist()], dtype=torch.int64)
        return Examples(part.x, y)
    unknown = set(part.y.tolist()) - set(classes.tolist())
    if unknown:
        raise ValueError(
            f"{where}: {config.dataset!r} has a label {min(unknown):g}, which the train split has not; "
            "data_label_maps says which class each of its labels is"
        )
    return Examples(part.x, torch.searchsorted(classes, part.y.to(classes.dtype)))


def _read_map(value: Any, where: str) -> list[int] | dict[Any, int] | None:
    if isinstance(value, str):
        try:
            value = yaml_io.read(Path(value)).data
        except yaml_io.YamlError as error:
            raise ValueError(f"{where}: {error}") from None
    if value is None or isinstance(value, list | dict):
        return value
    raise ValueError(f"{where} must be a list, a dictionary, or a file that holds one")


def _check_classes(wanted: Any, n_classes: int, where: str) -> None:
    for value in wanted:
        if not isinstance(value, int) or not 0 <= value < n_classes:
            raise ValueError(f"{where} names the class {value!r}, and classes are 0 to {n_classes - 1}")
