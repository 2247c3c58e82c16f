"""What a data family returns, and the two kinds of data that batches are made from.

Data that fit in memory are `Examples`: whole tensors, batched by indexing. Everything else is a map-style
torch Dataset, read example by example and wrapped in `Items`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.utils.data import Dataset

Batch = tuple[Tensor, Tensor]


@dataclass
class Examples:
    """Data held in memory: n samples, and their labels or targets."""

    x: Tensor | sparse.csr_matrix  # float32: a tensor (n, *input_shape), or a sparse matrix (n, features)
    y: Tensor  # (n,): in a Source as read; in Data int64 classes 0..k-1, or float32 targets

    def __len__(self) -> int:
        return len(self.y)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def device(self) -> torch.device:
        """Where the data are, and where the indices for `at` must be, so that nothing waits for a transfer."""
        return self.y.device

    def to(self, device: torch.device) -> Examples:
        """The same data on `device`. Sparse data stay on the CPU: only there can rows be picked."""
        return Examples(self.x.to(device), self.y.to(device)) if isinstance(self.x, Tensor) else self

    def at(self, indices: Tensor, device: torch.device) -> Batch:
        """The batch (x, y) of the rows `indices` (int64, on `self.device`), on `device`; sparse x as a CSR tensor."""
        if isinstance(self.x, Tensor):
            x = self.x.index_select(0, indices)
        else:
            x = _csr_tensor(self.x[indices.numpy()])
        return x.to(device, non_blocking=True), self.y.index_select(0, indices).to(device, non_blocking=True)

    def take(self, rows: range | np.ndarray) -> Examples:
        """Some of the rows; consecutive dense ones share their memory with this object."""
        if isinstance(rows, range):
            if len(rows) == len(self):
                return self
            return Examples(self.x[rows.start : rows.stop], self.y[rows.start : rows.stop])
        index = torch.from_numpy(rows)
        return Examples(self.x[index] if isinstance(self.x, Tensor) else self.x[rows], self.y[index])

    @staticmethod
    def concat(parts: Sequence[Examples]) -> Examples:
        xs, y = [part.x for part in parts], torch.cat([part.y for part in parts])
        dense = isinstance(xs[0], Tensor)
        return Examples(torch.cat(xs) if dense else sparse.vstack(xs, format="csr"), y)


def _csr_tensor(rows: sparse.csr_matrix) -> Tensor:
    starts, columns, values = (torch.from_numpy(array) for array in (rows.indptr, rows.indices, rows.data))
    with warnings.catch_warnings():  # torch says once a process that CSR tensors are in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, rows.shape, check_invariants=False)


class Items(Dataset):
    """A split whose items (x, y) are made uniform, and checked, as they are read.

    x: a tensor of `shape` (float64, numpy's default, becomes float32); y: an int64 class below `n_classes`,
    or a float32 target if `n_classes` is None. A label out of range is a ValueError that names the item.
    """

    def __init__(self, dataset: Dataset, split: str, n_classes: int | None, shape: Sequence[int] | None = None) -> None:
        self.dataset, self.split, self.n_classes, self.shape = dataset, split, n_classes, shape

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # map-style

    def to(self, device: torch.device) -> Items:
        """Itself: batches of items are moved to the device, not the data set."""
        return self

    def __getitem__(self, index: int) -> Batch:
        x, y = self.dataset[index]
        x = torch.as_tensor(x)
        if x.dtype == torch.float64:
            x = x.float()
        if self.shape is not None:
            x = x.reshape(view_shape(x.shape, self.shape))
        y = torch.as_tensor(y, dtype=torch.float32 if self.n_classes is None else torch.int64)
        if self.n_classes is not None and not 0 <= int(y) < self.n_classes:
            raise ValueError(f"item {index} of split {self.split!r} has label {int(y)}, not 0 to {self.n_classes - 1}")
        return x, y


Split = Examples | Dataset[Any]


@dataclass
class Source:
    """What a family reads: the splits that the config names, as they come."""

    splits: dict[str, Split]  # all of one kind
    task: Literal["classification", "regression"] = "classification"
    one_split: bool = False  # the source has one split only: it is shuffled, stratified, before it is sliced
    standardize: bool = False  # shift and scale each feature by the train split's mean and deviation
    n_classes: int | None = None  # of a Dataset in classification; the classes of Examples are counted


def view_shape(own: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """`wanted`, if a sample of shape `own` can be viewed so. Raises ValueError."""
    if math.prod(own) != math.prod(wanted):
        raise ValueError(
            f"model_input_shape {list(wanted)} holds {math.prod(wanted)} values, "
            f"and a sample of shape {list(own)} has {math.prod(own)}"
        )
    return tuple(wanted)
