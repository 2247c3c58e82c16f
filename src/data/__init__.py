"""Data set name and split expressions -> the data of a run: `load_data`. batches.py makes batches of them."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from src import families, grammar
from src.config import OPTIONS, Config
from src.data import labels
from src.data.images import image_splits
from src.data.randomness import seeded
from src.data.source import Examples, Inputs, Items, Source, Split, view_shape
from src.data.splits import hold_out_fold, overlaps, select
from src.data.texts import padded

__all__ = ["Data", "Examples", "load_data"]


@dataclass
class Data:
    """The splits of a run by name, with `train`, and what a model needs to know about them."""

    splits: dict[str, Examples | Items]
    n_classes: int | None  # None in regression
    input_shape: tuple[int, ...]  # of one sample; for text: (number of tokens of the first one,)
    class_names: list[str] | None = None  # by class, if the source has them
    kind: str = "tensor"  # tensor, image or text
    n_targets: int = 1  # values of a target, in regression
    notes: list[str] = field(default_factory=list)  # for the log: what is allowed and may be a mistake

    @property
    def sparse(self) -> bool:
        """Whether batches of the train split are sparse CSR tensors (n, features)."""
        train = self.splits["train"]
        return isinstance(train, Examples) and train.sparse

    def to(self, device: torch.device) -> Data:
        """The same data; those in memory are moved to `device`."""
        return dataclasses.replace(self, splits={name: split.to(device) for name, split in self.splits.items()})


def load_data(config: Config, inputs: Inputs | None = None, seed: int = 0) -> Data:
    """Read `config.dataset` and cut it by `config.data_splits_map`, in the form that a model's `inputs` ask for.

    `seed` is that of the augmentation. Labels become 0..k-1, in the order of the source's labels, such as {-1, 1} or {1, 2, 5}. Raises ValueError for
    what a user can fix: an unknown name or split, an empty split, data that cannot be fetched, a loss or an option
    that does not fit the data.
    """
    inputs = inputs or Inputs()
    config = dataclasses.replace(config, data_splits_map=grammar.parse_splits_map(config.data_splits_map))
    source = _read(config, inputs)
    if source.kind != "image":
        _check_no_image_options(config)
    classes = labels.encode(source, config.dataset)
    splits = select(source, config.data_splits_map, config.data_split_seed)
    for other in _other_data_sets(config):
        splits |= _from_other(other, source, classes, inputs, config)
    splits = {name: splits[name] for name in config.data_splits_map}  # in the order of the config
    if config.cv_folds is not None:
        splits = hold_out_fold(splits, source.task, config.cv_folds, config.cv_fold, config.data_split_seed)
    if source.standardize:
        _standardize(splits)
    n_classes = None if source.task == "regression" else len(classes) if classes is not None else source.n_classes
    ready = _for_batches(splits, source.kind, inputs, n_classes, config, seed)
    x, y = _first(ready["train"], takes_any=source.kind != "tensor" or config.model.startswith("python/"))
    shape = tuple(x["input_ids"].shape if isinstance(x, dict) else x.shape)
    notes = [*source.notes, *overlaps(source, config.data_splits_map)]
    train = ready["train"]
    if n_classes == 1 or (n_classes and isinstance(train, Examples) and bool((train.y == train.y[0]).all())):
        notes.append("the train split has one class only, which every model predicts after a few steps")
    return Data(ready, n_classes, shape, source.class_names, source.kind, max(1, y.numel()), notes)


def _read(config: Config, inputs: Inputs) -> Source:
    family, name = families.find("dataset", config.dataset, families.DATA)
    source: Source = family.load().load_source(name, config)
    if source.task == "regression" and config.loss in families.CROSS_ENTROPY:
        raise ValueError(f"loss {config.loss!r} is for classification, and {config.dataset!r} is regression; use mse")
    if (source.kind == "text") != (inputs.tokenizer is not None):
        what = "is text" if source.kind == "text" else "is not text"
        reads = "reads text" if inputs.tokenizer is not None else "does not read text; use a text model, hf/<name>"
        raise ValueError(f"dataset {config.dataset!r} {what}, and model {config.model!r} {reads}")
    if source.kind == "text":
        source.splits = {
            name: part.tokenized(inputs.tokenizer, config.text_max_tokens)  # type: ignore[union-attr]
            for name, part in source.splits.items()
        }
    return source


_SHAPES_IMAGES = ("image_size", "image_interpolation", "image_crop_pct", "image_mean", "image_std")


def _check_no_image_options(config: Config) -> None:
    for name, option in OPTIONS.items():
        augments = option.metadata["section"] == "Augmentation of images" and name != "augment_repeats"
        if not augments and name not in _SHAPES_IMAGES:
            continue  # a user's own data set may augment its items, and repeats are for it too
        if getattr(config, name) != getattr(Config(), name):
            raise ValueError(f"{name} is for images, and {config.dataset!r} is not; remove it")


def _for_batches(
    splits: dict[str, Split], kind: str, inputs: Inputs, n_classes: int | None, config: Config, seed: int
) -> dict[str, Examples | Items]:
    """Splits as a source has them -> splits that batches are made from."""
    if kind == "image":
        assert n_classes is not None
        return image_splits(splits, inputs, config, n_classes, seed)  # type: ignore[arg-type]  # Datasets, as of one kind
    shape = config.model_input_shape
    ready: dict[str, Examples | Items] = {}
    for name, part in splits.items():
        if isinstance(part, Examples):
            ready[name] = part if shape is None else _view(part, shape)
        elif kind == "text":
            ready[name] = Items(part, name, n_classes, collate=functools.partial(padded, inputs.tokenizer))
        else:
            source = grammar.split_source(config.data_splits_map.get(name, ""))[0] or config.dataset
            ready[name] = Items(part, name, n_classes, shape, source=source)
    if kind == "text" and shape is not None:
        length = _first(ready["train"], takes_any=True)[0]["input_ids"].shape
        if tuple(shape) == tuple(length):  # as config.yaml stores it
            return ready
        raise ValueError(f"model_input_shape {shape}: {config.dataset!r} is text, which has no fixed shape; remove it")
    return ready


# --- splits from another data set ---------------------------------------------------------------------


def _other_data_sets(config: Config) -> list[Config]:
    """A config for each other data set that data_splits_map names, with the splits that are taken from it."""
    maps: dict[str, dict[str, str]] = {}
    for split, text in config.data_splits_map.items():
        dataset, expression = grammar.split_source(text)
        if dataset is not None:
            maps.setdefault(dataset, {})[split] = expression
    return [
        dataclasses.replace(config, dataset=dataset, dataset_kwargs={}, data_splits_map=splits_map)
        for dataset, splits_map in maps.items()
    ]


def _from_other(
    other: Config, source: Source, classes: Tensor | None, inputs: Inputs, config: Config
) -> dict[str, Split]:
    """The splits that `other` names, with their labels as classes of `source`."""
    read = _read(other, inputs)
    if (read.kind, read.task) != (source.kind, source.task):
        raise ValueError(
            f"{other.dataset!r} holds {read.kind}s for {read.task}, and {config.dataset!r} {source.kind}s for {source.task}"
        )
    splits = select(read, other.data_splits_map, other.data_split_seed)
    own = next(iter(source.splits.values()))
    for name, part in splits.items():
        if isinstance(part, Examples) != isinstance(own, Examples):
            raise ValueError(
                f"split {name!r}: one of {other.dataset!r} and {config.dataset!r} is in memory, the other is read "
                "item by item; both must be of one kind"
            )
        if isinstance(part, Examples):
            _check_alike(name, part, own, other.dataset)  # type: ignore[arg-type]  # Examples too
    if source.task == "regression":
        return splits
    return {name: labels.mapped(part, name, read, source, classes, other) for name, part in splits.items()}


def _check_alike(name: str, part: Examples, train: Examples, dataset: str) -> None:
    if part.sample_shape != train.sample_shape:
        raise ValueError(
            f"split {name!r}, of {dataset!r}, has samples of shape {list(part.sample_shape)}, "
            f"and train {list(train.sample_shape)}"
        )
    if part.sparse != train.sparse:
        form = {True: "sparse", False: "dense"}
        raise ValueError(
            f"split {name!r}, of {dataset!r}, is {form[part.sparse]}, and train {form[train.sparse]}; "
            "raise max_dense_gb to store both as dense"
        )


# --- samples ------------------------------------------------------------------------------------------


def _standardize(splits: dict[str, Split]) -> None:
    """Shift and scale each feature by its mean and deviation over the train split; a constant feature is only shifted."""
    from sklearn.preprocessing import StandardScaler

    parts = {name: part for name, part in splits.items() if isinstance(part, Examples)}
    scaler = StandardScaler().fit(parts["train"].x.double())
    for name, part in parts.items():
        splits[name] = Examples(torch.from_numpy(scaler.transform(part.x.double())).float(), part.y)


def _view(part: Examples, shape: list[int]) -> Examples:
    view = view_shape(part.sample_shape, shape)
    if view == part.sample_shape:
        return part
    if not isinstance(part.x, Tensor):
        raise ValueError(
            f"model_input_shape {shape}: the data are sparse and have no other shape; "
            "raise max_dense_gb to store them as dense"
        )
    return Examples(part.x.reshape(-1, *view), part.y)


def _first(split: Examples | Items, takes_any: bool) -> tuple[Any, Tensor]:
    """x and y of the first example; without `takes_any`, x must be float32."""
    if isinstance(split, Examples):
        return torch.empty(split.sample_shape, device="meta"), split.y[0]
    with seeded(0):  # reading an item may draw random numbers, and must not change the program's generators
        x, y = split[0]
    if not takes_any:
        split.check_float(x)
    return x, y
