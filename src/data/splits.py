"""Split expressions at work: `train[:80%]+test` -> the examples it names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from src import grammar
from src.config import Config
from src.data.source import Examples, Source, Split


def named_splits(config: Config, available: Sequence[str] | None = None) -> list[str]:
    """The splits of the source that `data_splits_map` names, each once, in order of first mention.

    Raises ValueError if `available` (None: not known beforehand) lacks one.
    """
    named: list[str] = []
    for name, text in grammar.parse_splits_map(config.data_splits_map).items():
        for split in (part.split for part in grammar.parse_split(text)):
            if available is not None and split not in available:
                has = " and ".join(repr(one) for one in available)
                hint = "; cut it, as in {train: 'train[:80%]', test: 'train[80%:]'}" if len(available) == 1 else ""
                raise ValueError(f"data_splits_map: {name!r} names {split!r}, and {config.dataset!r} has {has}{hint}")
            if split not in named:
                named.append(split)
    return named


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
        split: _source_order(data, source.task, config.data_split_seed)
        for split, data in source.splits.items()
        if source.one_split and isinstance(data, Examples)
    }

    def part(piece: grammar.Slice) -> Split:
        data = source.splits[piece.split]
        rows = piece.range(len(data))  # type: ignore[arg-type]  # map-style data sets have a length
        if not isinstance(data, Examples):
            return Subset(data, rows)
        return data.take(orders[piece.split][rows.start : rows.stop] if orders else rows)

    splits_map = grammar.parse_splits_map(config.data_splits_map)
    return {name: _joined([part(piece) for piece in grammar.parse_split(text)]) for name, text in splits_map.items()}


def _source_order(data: Examples, task: str, seed: int) -> np.ndarray:
    if task == "regression":
        return np.random.Generator(np.random.PCG64(seed)).permutation(len(data))
    return stratified_order(data.y.numpy(), seed)


def _joined(parts: list[Split]) -> Split:
    if len(parts) == 1:
        return parts[0]
    return Examples.concat(parts) if isinstance(parts[0], Examples) else ConcatDataset(parts)  # type: ignore[arg-type]
