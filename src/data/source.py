"""What a data family returns, and the two kinds of data that batches are made from.

Data that fit in memory are `Examples`: whole tensors, batched by indexing. Everything else is a map-style
torch Dataset, read example by example and wrapped in `Items`.
"""

from __future__ import annotations

import bisect
import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, default_collate

Batch = tuple[Any, Tensor]  # x: a tensor, or of text a dictionary of tensors

# Of the channels of the ILSVRC-2012 training images, with values in [0, 1]: the field's custom.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BatchTransform(Protocol):
    """What is done to a batch of a split, on its device, before the model gets it (src/data/images.py)."""

    def __call__(self, x: Tensor, y: Tensor, number: int, ids: Tensor) -> Batch:
        """`ids` (int64, of the samples, on the CPU or the batch's device): with the pass `number`, the key of randomness."""
        ...


@dataclass
class Examples:
    """Data held in memory: n samples, and their labels or targets."""

    x: Tensor | sparse.csr_matrix  # (n, *input_shape), float32 or uint8 images; or a sparse matrix (n, features)
    y: Tensor  # (n,): in a Source as read; in Data int64 classes 0..k-1, or float32 targets
    transform: BatchTransform | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def device(self) -> torch.device:
        """Where the data are, and where the indices for `at` must be, so that nothing waits for a transfer."""
        return self.y.device

    @property
    def sparse(self) -> bool:
        return not isinstance(self.x, Tensor)

    def to(self, device: torch.device) -> Examples:
        """The same data on `device`. Sparse data stay on the CPU: only there can rows be picked."""
        return Examples(self.x.to(device), self.y.to(device), self.transform) if isinstance(self.x, Tensor) else self

    def at(self, indices: Tensor, device: torch.device) -> Batch:
        """The batch (x, y) of the rows `indices` (int64, on `self.device`), on `device`; sparse x as a CSR tensor."""
        if isinstance(self.x, Tensor):
            x = self.x.index_select(0, indices)
        else:
            x = csr_tensor(self.x[indices.numpy()], 0, len(indices))
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


def csr_tensor(matrix: sparse.csr_matrix, start: int, stop: int) -> Tensor:
    """Rows start to stop - 1 as a CSR tensor, which shares its columns and values with the matrix."""
    _hear_of_beta()
    starts = matrix.indptr[start : stop + 1]
    stored = slice(starts[0], starts[-1])
    arrays = (starts - starts[0], matrix.indices[stored], matrix.data[stored])
    starts, columns, values = map(torch.from_numpy, arrays)
    return torch.sparse_csr_tensor(starts, columns, values, (stop - start, matrix.shape[1]), check_invariants=False)


@functools.cache
def _hear_of_beta() -> None:
    """torch says once a process, at the first CSR tensor, that these are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0], [], [], (0, 0))


class BadItem(ValueError):
    """An item that cannot be read or has an impossible label; the sentence names it."""


class Items(Dataset):
    """A split whose items (x, y) are made uniform, and checked, as they are read.

    x: what `sample` makes of the data set's own (None: a tensor of it, float64, numpy's default, becoming float32),
    viewed as `shape`; y: an int64 class below `n_classes`, or a float32 target if `n_classes` is None.
    Raises BadItem for a label out of range, and for whatever `sample` does not digest.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        n_classes: int | None,
        shape: Sequence[int] | None = None,
        sample: Callable[[Any], Any] | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
    ) -> None:
        self.dataset, self.split, self.n_classes, self.shape = dataset, split, n_classes, shape
        self.sample = sample
        self.collate = collate  # list of x -> x of a batch
        self.transform: BatchTransform | None = None

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # map-style

    def to(self, device: torch.device) -> Items:
        """Itself: batches of items are moved to the device, not the data set."""
        return self

    def __getitem__(self, index: int) -> Batch:
        if self.sample is None:
            x, y = self.dataset[index]
            x = self._tensor(x)
        else:
            try:
                x, y = self.dataset[index]
                x = self.sample(x)
            except Exception as error:  # any: decoders of images raise what they like
                raise BadItem(f"{describe(self.dataset, index)} cannot be read: {error}") from error
        y = torch.as_tensor(y, dtype=torch.float32 if self.n_classes is None else torch.int64)
        if self.n_classes is not None and not 0 <= int(y) < self.n_classes:
            raise BadItem(
                f"{describe(self.dataset, index)} of split {self.split!r} has label {int(y)}, "
                f"not 0 to {self.n_classes - 1}"
            )
        return x, y

    def _tensor(self, x: Any) -> Any:
        if isinstance(x, dict):
            return x
        x = torch.as_tensor(x)
        if x.dtype == torch.float64:
            x = x.float()
        return x if self.shape is None else x.reshape(view_shape(x.shape, self.shape))


def describe(dataset: Any, index: int) -> str:
    """The file or record of an item, through slices and joins of a data set; `item <index>` if it does not say."""
    if isinstance(dataset, Subset):
        return describe(dataset.dataset, int(dataset.indices[index]))
    if isinstance(dataset, ConcatDataset):
        part = bisect.bisect_right(dataset.cumulative_sizes, index)
        return describe(dataset.datasets[part], index - ([0] + dataset.cumulative_sizes)[part])
    return dataset.describe(index) if hasattr(dataset, "describe") else f"item {index}"


def labels_of(dataset: Any) -> np.ndarray | None:
    """The labels of all items, in order, if they are known without reading the items."""
    if isinstance(dataset, Examples):
        return dataset.y.cpu().numpy()
    if isinstance(dataset, Subset):
        labels = labels_of(dataset.dataset)
        return None if labels is None else labels[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [labels_of(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else np.concatenate(parts)  # type: ignore[arg-type]
    labels = getattr(dataset, "labels", None)
    return None if labels is None else np.asarray(labels)


Split = Examples | Dataset[Any]


@dataclass
class Source:
    """What a family reads: the splits that the config names, as they come.

    An item (x, y) of a Dataset has as x a tensor, a PIL image (`kind` image), or a dictionary of int64 tensors
    (n_tokens,) (`kind` text: after its method `tokenized(tokenizer, max_tokens)`); y is a label from 0. A Dataset may
    have `labels`, an int64 array of all labels had without reading a sample, which lets it be cut in a stratified way;
    and `describe(index) -> str`, the file or record, for messages.
    """

    splits: dict[str, Split]  # all of one kind
    task: Literal["classification", "regression"] = "classification"
    one_split: bool = False  # the source has one split only: it is shuffled, stratified, before it is sliced
    standardize: bool = False  # shift and scale each feature by the train split's mean and deviation
    n_classes: int | None = None  # of a Dataset in classification; the classes of Examples are counted
    class_names: list[str] | None = None  # by class, where the source has them
    kind: Literal["tensor", "image", "text"] = "tensor"  # of a Dataset


@dataclass(frozen=True)
class Inputs:
    """How a model wants its samples. The defaults: as the data have them."""

    size: tuple[int, int] | None = None  # height and width of images
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bicubic"  # or nearest, bilinear
    crop_pct: float = 1.0  # part of the resized image that the central crop keeps
    channels: int | None = None  # 3: grey images are made colour images
    tokenizer: Any = None  # a transformers tokenizer, of models that read text


def view_shape(own: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """`wanted`, if a sample of shape `own` can be viewed so. Raises ValueError."""
    if math.prod(own) != math.prod(wanted):
        raise ValueError(
            f"model_input_shape {list(wanted)} holds {math.prod(wanted)} values, "
            f"and a sample of shape {list(own)} has {math.prod(own)}"
        )
    return tuple(wanted)
