"""Labels of the sources -> classes 0..k-1, also for the labels of another data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from src import yaml_io
from src.config import Config
from src.data.contract import BadItem
from src.data.source import Examples, Source, Split, describe, labels_of


def encode(source: Source, dataset: str) -> Tensor | None:
    """Convert the labels of a source's Examples, in place, to int64 0..k-1, or its targets to float32.

    Returns the k labels, sorted; None in regression, and for Datasets, whose labels count from 0 already.
    Raises ValueError, with the name of the `dataset`, for labels that are not classes.
    """
    in_memory = [part for part in source.splits.values() if isinstance(part, Examples)]
    if source.task == "regression":
        for part in in_memory:
            part.y = part.y.float()
        return None
    if not in_memory:
        return None
    labels = torch.cat([part.y for part in in_memory])
    if not bool((labels == labels.round()).all()):  # also true of nan
        raise ValueError(f"the labels of {dataset!r} are not whole numbers, so they are not classes; use loss: mse")
    classes, codes = torch.unique(labels, return_inverse=True)  # sorted
    for part, y in zip(in_memory, codes.split([len(part) for part in in_memory]), strict=True):
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
        labels = labels_of(self.dataset)
        return None if labels is None else np.asarray(self.classes)[labels]

    def describe(self, index: int) -> str:
        return describe(self.dataset, index)


def mapped(part: Split, split: str, other: Source, source: Source, classes: Tensor | None, config: Config) -> Split:
    """`part`, a split of the source `other` (config.dataset), with its labels as classes of `source`.

    `classes` are the labels of `source` if it has Examples. Labels are mapped by data_label_maps[split]; without a map,
    by the names of the classes, if both sources have names and they differ; else a label means the same in both.
    Raises ValueError for a label that is not a class of `source`.
    """
    where = f"data_label_maps: {split!r}"
    label_map = _read_map(config.data_label_maps.get(split), where)
    if isinstance(part, Examples):
        return _mapped_examples(part, label_map, classes, where, config.dataset)
    names = other.class_names or [str(label) for label in range(other.n_classes or 0)]
    if isinstance(label_map, dict):
        by_name = {str(key): value for key, value in label_map.items()}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise ValueError(f"{where} has no entry for class {missing[0]!r} of {config.dataset!r}")
        label_map = [by_name[name] for name in names]
    elif label_map is None and source.class_names and other.class_names and source.class_names != other.class_names:
        unknown = [name for name in names if name not in source.class_names]
        if unknown:
            raise ValueError(
                f"{where}: {config.dataset!r} has a class {unknown[0]!r}, which the train split lacks; "
                "map its labels by data_label_maps"
            )
        label_map = [source.class_names.index(name) for name in names]
    if label_map is None:
        if len(names) > (source.n_classes or 0):
            raise ValueError(
                f"{where}: {config.dataset!r} has {len(names)} classes, and the train split {source.n_classes}; "
                "map its labels by data_label_maps"
            )
        return part
    if len(label_map) != len(names):
        raise ValueError(f"{where} has {len(label_map)} entries, and {config.dataset!r} {len(names)} classes")
    _check_classes(label_map, source.n_classes or 0, where)
    return Relabelled(part, label_map)


def _mapped_examples(part: Examples, label_map: Any, classes: Tensor | None, where: str, dataset: str) -> Examples:
    assert classes is not None
    if label_map is not None:
        entries = label_map if isinstance(label_map, dict) else dict(enumerate(label_map))
        try:
            by_label = {float(label): value for label, value in entries.items()}
        except ValueError:
            raise ValueError(f"{where} names classes, and the labels of {dataset!r} are numbers") from None
        unknown = set(part.y.tolist()) - set(by_label)
        if unknown:
            raise ValueError(f"{where} has no entry for label {min(unknown):g} of {dataset!r}")
        _check_classes(by_label.values(), len(classes), where)
        y = torch.tensor([by_label[label] for label in part.y.tolist()], dtype=torch.int64)
        return Examples(part.x, y)
    unknown = set(part.y.tolist()) - set(classes.tolist())
    if unknown:
        raise ValueError(
            f"{where}: {dataset!r} has a label {min(unknown):g}, which the train split lacks; "
            "map its labels by data_label_maps"
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
    raise ValueError(f"{where} must be a list, a dictionary, or a file of one")


def _check_classes(classes: Iterable[Any], n_classes: int, where: str) -> None:
    for value in classes:
        if not isinstance(value, int) or not 0 <= value < n_classes:
            raise ValueError(f"{where} names the class {value!r}, and the classes are 0 to {n_classes - 1}")
