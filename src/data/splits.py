"""Split expressions (`train[:80%]+test`) -> the examples that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from src import grammar
from src.config import Config
from src.data.source import Examples, Source, Split, labels_of


def named_splits(config: Config, available: Sequence[str] | None = None) -> list[str]:
    """The splits of the source that `data_splits_map` names, each once, in the order of `available`.

    If `available` is None, in order of first mention. Raises ValueError for a split that is not in `available`.
    """
    named: list[str] = []
    for name, text in _own_expressions(config.data_splits_map).items():
        for split in (piece.split for piece in _pieces(text, available or ())):
            if available is not None and split not in available:
                has = " and ".join(map(repr, available))
                hint = "; cut it, as in {train: 'train[:80%]', test: 'train[80%:]'}" if len(available) == 1 else ""
                raise ValueError(f"data_splits_map: {name!r} names {split!r}, and {config.dataset!r} has {has}{hint}")
            if split not in named:
                named.append(split)
    return named if available is None else [split for split in available if split in named]


def _own_expressions(splits_map: Mapping[str, str]) -> dict[str, str]:
    """The entries that take from the data set itself, not from another one."""
    entries = {name: grammar.split_source(text) for name, text in splits_map.items()}
    return {name: expression for name, (other, expression) in entries.items() if other is None}


def _pieces(text: str, available: Iterable[str]) -> Iterator[grammar.Slice]:
    """The slices that an expression names; `all` becomes the splits of the source."""
    splits = list(available)
    for piece in grammar.parse_split(text):
        if piece.split == grammar.ALL and splits and grammar.ALL not in splits:
            yield from map(grammar.Slice, splits)
        else:
            yield piece


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A seeded permutation of len(labels) positions; every slice of it has nearly the class proportions of the whole.

    Each class is shuffled, and its m members get the positions (offset + 0, 1, .., m-1) / m in [0, 1), with a
    random offset; the members of all classes are sorted by position. So the number of members of a class in an
    interval is off by at most one. Depends on (labels, seed) only.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    by_class = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[by_class])) + 1
    position = np.empty(len(labels))
    for members in np.split(by_class, starts):
        position[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(position, kind="stable")


def select(source: Source, splits_map: Mapping[str, str], seed: int) -> dict[str, Split]:
    """The splits of the run, by name; shuffled first, with `seed`, if the source asks for it.

    Raises ValueError for an expression that takes nothing or too much.
    """
    orders = {split: _order(data, source, seed) for split, data in source.splits.items()}

    def part(piece: grammar.Slice) -> Split:
        data, order = source.splits[piece.split], orders[piece.split]
        rows = piece.range(len(data), getattr(data, "shard_lengths", None))  # type: ignore[arg-type]  # map-style
        return _take(data, rows if order is None else order[rows.start : rows.stop])

    return {
        name: _join([part(piece) for piece in _pieces(text, source.splits)])
        for name, text in _own_expressions(splits_map).items()
    }


def overlaps(source: Source, splits_map: Mapping[str, str]) -> list[str]:
    """A note for each split of the run that has examples of its train split."""

    def rows(text: str) -> dict[str, list[range]]:
        taken: dict[str, list[range]] = {}
        for piece in _pieces(text, source.splits):
            data = source.splits[piece.split]
            taken.setdefault(piece.split, []).append(
                piece.range(len(data), getattr(data, "shard_lengths", None))  # type: ignore[arg-type]  # map-style
            )
        return taken

    own = {name: rows(text) for name, text in _own_expressions(splits_map).items()}
    train = own.pop("train", {})
    notes = []
    for name, taken in own.items():
        n_shared = sum(
            len(range(max(a.start, b.start), min(a.stop, b.stop)))
            for split in taken
            for a in taken[split]
            for b in train.get(split, [])
        )
        if n_shared:
            notes.append(f"split {name!r} has {n_shared} examples of the train split, which the model has seen")
    return notes


def _order(data: Split, source: Source, seed: int) -> np.ndarray | None:
    """The permutation that `source.shuffle` asks for, stratified by label if labels are known; None: no shuffling."""
    labels = labels_of(data) if source.shuffle != "never" and source.task == "classification" else None
    if source.shuffle == "always" and labels is None:
        return np.random.Generator(np.random.PCG64(seed)).permutation(len(data))  # type: ignore[arg-type]  # map-style
    if labels is None or (source.shuffle == "sorted" and not _class_by_class(labels)):
        return None
    return stratified_order(labels, seed)


def _class_by_class(labels: np.ndarray) -> bool:
    """Whether the examples of each class are consecutive, for several classes of several examples."""
    n_classes = len(np.unique(labels))
    return 1 < n_classes < len(labels) and np.count_nonzero(np.diff(labels)) == n_classes - 1


def hold_out_fold(splits: dict[str, Split], task: str, n_folds: int, fold: int, seed: int) -> dict[str, Split]:
    """The splits, with fold `fold` of the train split in its own split `val`.

    The examples are shuffled and dealt to the folds in turn, class by class if labels are known. So the sizes of the
    folds differ by at most one example, and so does the size of each class in them. Depends on (the labels, or the
    number, of the train examples; seed) only. Raises ValueError if there are fewer examples than folds.
    """
    train = splits["train"]
    n = len(train)  # type: ignore[arg-type]  # map-style
    if n < n_folds:
        raise ValueError(f"cv_folds: {n} train examples cannot be cut into {n_folds} folds")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    labels = labels_of(train) if task == "classification" else None
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    held_out = np.zeros(n, dtype=bool)
    held_out[order[fold::n_folds]] = True
    parts: dict[str, Split] = {
        "train": _take(train, np.flatnonzero(~held_out)),
        "val": _take(train, np.flatnonzero(held_out)),
    }
    return parts | {name: part for name, part in splits.items() if name != "train"}


def _take(data: Split, rows: range | np.ndarray) -> Split:
    if isinstance(data, Examples):
        return data.take(rows)
    return Subset(data, rows if isinstance(rows, range) else rows.tolist())


def _join(parts: list[Split]) -> Split:
    if len(parts) == 1:
        return parts[0]
    return Examples.concat(parts) if isinstance(parts[0], Examples) else ConcatDataset(parts)  # type: ignore[arg-type]
