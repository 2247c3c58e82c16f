"""Split expressions at work: `train[:80%]+test` -> the examples it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from src import grammar
from src.config import Config
from src.data.source import Examples, Source, Split, labels_of


def named_splits(config: Config, available: Sequence[str] | None = None) -> list[str]:
    """The splits of the source that `data_splits_map` names, each once, in the order of `available`.

    If that is None, not known beforehand, in order of first mention. Raises ValueError if `available` lacks one.
    """
    named: list[str] = []
    for name, text in _own_expressions(config).items():
        for split in (piece.split for piece in _pieces(text, available or ())):
            if available is not None and split not in available:
                has = " and ".join(repr(one) for one in available)
                hint = "; cut it, as in {train: 'train[:80%]', test: 'train[80%:]'}" if len(available) == 1 else ""
                raise ValueError(f"data_splits_map: {name!r} names {split!r}, and {config.dataset!r} has {has}{hint}")
            if split not in named:
                named.append(split)
    return named if available is None else [split for split in available if split in named]


def _own_expressions(config: Config) -> dict[str, str]:
    """The entries of `data_splits_map` that take from `config.dataset`, and not from another data set."""
    entries = {name: grammar.split_source(text) for name, text in config.data_splits_map.items()}
    return {name: expression for name, (other, expression) in entries.items() if other is None}


def _pieces(text: str, available: Iterable[str]) -> Iterator[grammar.Slice]:
    """The slices that an expression names, with each split of the source in place of `all`."""
    splits = list(available)
    for piece in grammar.parse_split(text):
        if piece.split == grammar.ALL and splits and grammar.ALL not in splits:
            yield from map(grammar.Slice, splits)
        else:
            yield piece


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A seeded permutation of len(labels) positions; any slice of it holds nearly the class proportions of the whole.

    Each class is shuffled and its m members are spread over [0, 1) at (offset + 0, 1, .., m-1) / m with a
    random offset; the order is that of these places. An interval then holds a class's share to within one
    member. Depends on (labels, seed) only.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    by_class = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[by_class])) + 1
    place = np.empty(len(labels))
    for members in np.split(by_class, starts):
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable")


def select(source: Source, config: Config) -> dict[str, Split]:
    """The splits of the run, by name. Raises ValueError for an expression that takes nothing or too much."""
    orders = {
        split: _shuffled(data, source.task, config.data_split_seed)
        for split, data in source.splits.items()
        if source.one_split
    }

    def part(piece: grammar.Slice) -> Split:
        data = source.splits[piece.split]
        rows = piece.range(len(data), getattr(data, "shard_lengths", None))  # type: ignore[arg-type]  # map-style
        return _take(data, orders[piece.split][rows.start : rows.stop] if orders else rows)

    return {
        name: _joined([part(piece) for piece in _pieces(text, source.splits)])
        for name, text in _own_expressions(config).items()
    }


def hold_out_fold(splits: dict[str, Split], task: str, config: Config) -> dict[str, Split]:
    """The splits, with fold `cv_fold` of `cv_folds` of the train split in a split `val` of its own.

    The examples are shuffled and dealt out in turn, class by class where labels are known: folds then differ by at
    most one example, and so does each class in them. Depends on (the labels or the number of the train examples,
    data_split_seed) only. Raises ValueError if there are fewer examples than folds.
    """
    assert config.cv_folds is not None
    train = splits["train"]
    n = len(train)  # type: ignore[arg-type]  # map-style
    if n < config.cv_folds:
        raise ValueError(f"cv_folds: {n} train examples cannot be cut into {config.cv_folds} folds")
    order = np.random.Generator(np.random.PCG64(config.data_split_seed)).permutation(n)
    labels = labels_of(train) if task == "classification" else None
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    held_out = np.zeros(n, dtype=bool)
    held_out[order[config.cv_fold :: config.cv_folds]] = True
    parts: dict[str, Split] = {
        "train": _take(train, np.flatnonzero(~held_out)),
        "val": _take(train, np.flatnonzero(held_out)),
    }
    return parts | {name: part for name, part in splits.items() if name != "train"}


def _take(data: Split, rows: range | np.ndarray) -> Split:
    if isinstance(data, Examples):
        return data.take(rows)
    return Subset(data, rows if isinstance(rows, range) else rows.tolist())


def _shuffled(data: Split, task: str, seed: int) -> np.ndarray:
    """A seeded permutation of the examples, stratified by label where there are labels that can be known."""
    labels = labels_of(data) if task == "classification" else None
    if labels is None:
        return np.random.Generator(np.random.PCG64(seed)).permutation(len(data))  # type: ignore[arg-type]
    return stratified_order(labels, seed)


def _joined(parts: list[Split]) -> Split:
    if len(parts) == 1:
        return parts[0]
    return Examples.concat(parts) if isinstance(parts[0], Examples) else ConcatDataset(parts)  # type: ignore[arg-type]
