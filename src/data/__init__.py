"""Data set name and split expressions -> the data of a run: `load_data`. Batches are made in batches.py."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from src import families
from src.config import Config
from src.data.randomness import seeded
from src.data.source import Examples, Items, Source, Split, view_shape
from src.data.splits import select

__all__ = ["Data", "Examples", "load_data"]


@dataclass
class Data:
    """The splits of a run by name (`train` among them) and what a model needs to know of them."""

    splits: dict[str, Examples | Items]
    n_classes: int | None  # None in regression
    input_shape: tuple[int, ...]  # of one sample

    def to(self, device: torch.device) -> Data:
        """The same, with what is held in memory on `device`."""
        splits = {name: split.to(device) for name, split in self.splits.items()}
        return Data(splits, self.n_classes, self.input_shape)


def load_data(config: Config) -> Data:
    """Read `config.dataset` and cut it as `config.data_splits_map` says.

    Labels become 0..k-1 in the order of the source's own, whatever those are: {-1, 1}, from 1, or with gaps.
    Raises ValueError for what a user can mend: an unknown name or split, an empty one, data that cannot be
    fetched, a loss that does not go with the data.
    """
    family, name = families.find("dataset", config.dataset, families.DATA)
    source: Source = family.load().load_source(name, config)
    if source.task == "regression" and config.loss in ("log", "xentropy"):
        raise ValueError(f"loss {config.loss!r} is for classification, and {config.dataset!r} is regression; use mse")
    n_classes = _encode_targets(source, config)
    splits = select(source, config)
    if source.standardize:
        _standardize(splits)
    ready: dict[str, Examples | Items] = {}
    for split, part in splits.items():
        if not isinstance(part, Examples):
            ready[split] = Items(part, split, n_classes, config.model_input_shape)
        else:
            ready[split] = part if config.model_input_shape is None else _viewed(part, config.model_input_shape)
    return Data(ready, n_classes, _sample_shape(ready["train"]))


def _encode_targets(source: Source, config: Config) -> int | None:
    """Turn the labels of a source's Examples into int64 0..k-1, or its targets into float32; k, or None in regression."""
    held = [part for part in source.splits.values() if isinstance(part, Examples)]
    if source.task == "regression":
        for part in held:
            part.y = part.y.float()
        return None
    if not held:
        return source.n_classes
    labels = torch.cat([part.y for part in held])
    if not bool((labels == labels.round()).all()):  # also true of nan
        raise ValueError(
            f"the labels of {config.dataset!r} are not whole numbers, so they are no classes; use loss: mse"
        )
    classes, codes = torch.unique(labels, return_inverse=True)  # sorted
    for part, y in zip(held, codes.split([len(part) for part in held]), strict=True):
        part.y = y
    return len(classes)


def _standardize(splits: dict[str, Split]) -> None:
    """Shift and scale each feature by its mean and deviation over the train split; a constant one is only shifted."""
    from sklearn.preprocessing import StandardScaler

    parts = {name: part for name, part in splits.items() if isinstance(part, Examples)}
    scaler = StandardScaler().fit(parts["train"].x.double())
    for name, part in parts.items():
        splits[name] = Examples(torch.from_numpy(scaler.transform(part.x.double())).float(), part.y)


def _viewed(part: Examples, wanted: list[int]) -> Examples:
    shape = view_shape(part.sample_shape, wanted)
    if shape == part.sample_shape:
        return part
    if not isinstance(part.x, Tensor):
        raise ValueError(
            f"model_input_shape {wanted}: the data are sparse and have no other shape; "
            "raise max_dense_gb to hold them as dense"
        )
    return Examples(part.x.reshape(-1, *shape), part.y)


def _sample_shape(split: Examples | Items) -> tuple[int, ...]:
    if isinstance(split, Examples):
        return split.sample_shape
    with seeded(0):  # reading an item may draw random numbers, and must not move the program's own
        return tuple(split[0][0].shape)
