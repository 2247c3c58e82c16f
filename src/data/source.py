"""What a data family returns (`Source`), and the two kinds of data that batches are made from.

Data in memory are `Examples`: whole tensors, batched by indexing. All other data are a map-style torch Dataset,
read example by example and wrapped in `Items`.
"""

from __future__ import annotations

import bisect
import functools
import math
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, default_collate

from src.data import contract
from src.data.contract import BadItem

Batch = tuple[Any, Tensor]  # x: a tensor; for text, a dictionary of tensors

# Mean and standard deviation of each channel over the ILSVRC-2012 training images, with values in [0, 1].
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BatchTransform(Protocol):
    """Transforms a batch of a split, on its device, before the model gets it (src/data/images.py)."""

    def __call__(self, x: Tensor, y: Tensor, number: int, ids: Tensor) -> Batch:
        """`ids` (int64, one a sample, on the CPU or the batch's device) and the pass `number` are the key of randomness."""
        ...


@dataclass
class Examples:
    """Data in memory: n samples, and their labels or targets."""

    x: Tensor | sparse.csr_matrix  # (n, *input_shape), float32 or uint8 images; or a sparse matrix (n, features)
    y: Tensor  # (n,): in a Source, as read; in Data, int64 classes 0..k-1 or float32 targets
    transform: BatchTransform | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def device(self) -> torch.device:
        """The device of the data. The indices for `at` must be on it, so that nothing waits for a transfer."""
        return self.y.device

    @property
    def sparse(self) -> bool:
        return not isinstance(self.x, Tensor)

    def to(self, device: torch.device) -> Examples:
        """The same data on `device`. Sparse data stay on the CPU, because rows can be picked only there."""
        return Examples(self.x.to(device), self.y.to(device), self.transform) if isinstance(self.x, Tensor) else self

    def at(self, indices: Tensor, device: torch.device) -> Batch:
        """The batch (x, y) of the rows `indices` (int64, on `self.device`), on `device`; sparse x as a CSR tensor."""
        if isinstance(self.x, Tensor):
            x = self.x.index_select(0, indices)
        else:
            x = csr_tensor(self.x[indices.numpy()], 0, len(indices))
        return x.to(device, non_blocking=True), self.y.index_select(0, indices).to(device, non_blocking=True)

    def take(self, rows: range | np.ndarray) -> Examples:
        """The given rows; consecutive dense rows share their memory with this object."""
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
    _silence_beta_warning()
    starts = matrix.indptr[start : stop + 1]
    stored = slice(starts[0], starts[-1])
    arrays = (starts - starts[0], matrix.indices[stored], matrix.data[stored])
    starts, columns, values = map(torch.from_numpy, arrays)
    return torch.sparse_csr_tensor(starts, columns, values, (stop - start, matrix.shape[1]), check_invariants=False)


@functools.cache
def _silence_beta_warning() -> None:
    """torch warns once a process, at the first CSR tensor, that they are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0], [], [], (0, 0))


class AugmentationError(contract.Unfit):
    """An item that was read and cannot be augmented; the message says with which options."""


class Items(Dataset):
    """A split whose items (x, y) are converted and checked as they are read.

    x: the data set's x through `sample`; without `sample`, a tensor of it (float64, numpy's default, becomes float32),
    viewed as `shape`. y: an int64 class below `n_classes`, or a float32 target if `n_classes` is None.
    Raises BadItem for a label out of range, and for an item that cannot be read or that `sample` rejects.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        n_classes: int | None,
        shape: Sequence[int] | None = None,
        sample: Callable[[Any], Any] | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
        source: str = "",
    ) -> None:
        """`source`: the name of the data set, for messages."""
        self.source = source
        self.dataset, self.split, self.n_classes, self.shape = dataset, split, n_classes, shape
        self.sample = sample
        self.collate = collate  # list of x -> x of a batch
        self.transform: BatchTransform | None = None

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # map-style

    def to(self, device: torch.device) -> Items:
        """Returns itself: only batches are moved to the device."""
        return self

    def __getitem__(self, index: int) -> Batch:
        try:
            x, y = contract.pair(self.dataset[index])
            x = self._tensor(x) if self.sample is None else self.sample(x)
            return x, contract.target(y, self.n_classes)
        except contract.Unfit as error:
            raise BadItem(f"{self.where(index)} {error}") from None
        except BadItem:
            raise
        except Exception as error:  # image decoders, and a user's own data set, raise errors of any type
            reason = str(error) if self.sample is not None else f"{type(error).__name__}: {error}"
            bad = BadItem(f"{self.where(index)} cannot be read: {reason}")
            bad.add_note(traceback.format_exc())  # a cause does not leave a worker process, a note does
            raise bad from None

    def where(self, index: int) -> str:
        """An item, for messages."""
        title = f"dataset {self.source!r}: " if self.source else ""
        item, split = describe(self.dataset, index), f"split {self.split!r}"
        return f"{title}{item}" if split in item else f"{title}{item} of {split}"

    def check_float(self, x: Any) -> None:
        """Raises BadItem if `x`, of item 0, is not what all models take."""
        try:
            contract.check_float(x)
        except contract.Unfit as error:
            raise BadItem(f"{self.where(0)} {error}") from None

    def _tensor(self, x: Any) -> Any:
        x = contract.sample(x)
        return x if self.shape is None or isinstance(x, dict) else x.reshape(view_shape(x.shape, self.shape))


class Labelled(Dataset, ABC):
    """A split whose labels, int64 (n,), are known: items (x, label). A subclass reads x from `data`."""

    def __init__(self, data: Any, labels: np.ndarray, title: str) -> None:
        """`title` names the split in messages."""
        self.data, self.labels, self.title = data, labels, title

    @abstractmethod
    def read(self, index: int) -> Any:
        """x of item `index`."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.read(index), int(self.labels[index])

    def describe(self, index: int) -> str:
        return f"example {index} of {self.title}"


def describe(dataset: Any, index: int) -> str:
    """The file or record of an item, also in a slice or a join of data sets; `item <index>` if it is unknown."""
    if isinstance(dataset, Subset):
        return describe(dataset.dataset, int(dataset.indices[index]))
    if isinstance(dataset, ConcatDataset):
        part = bisect.bisect_right(dataset.cumulative_sizes, index)
        return describe(dataset.datasets[part], index - ([0] + dataset.cumulative_sizes)[part])
    return dataset.describe(index) if hasattr(dataset, "describe") else f"item {index}"


def labels_of(dataset: Any) -> np.ndarray | None:
    """The labels of all items, in order; None if they cannot be known without reading the items."""
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
    """What a family reads: the splits that the config names, before they are sliced.

    In an item (x, y) of a Dataset, x is a tensor, a PIL image (`kind` image), or a dictionary of int64 tensors
    (n_tokens,) (`kind` text: after its method `tokenized(tokenizer, max_tokens)`); y is a label from 0. A Dataset may
    have `labels`, an int64 array of all labels that is known without reading a sample, for stratified shuffling; and
    `describe(index) -> str`, the file or record, for messages. A `Labelled` has both.
    """

    splits: dict[str, Split]  # all of one kind
    task: Literal["classification", "regression"] = "classification"
    # stratified by label, before slicing; "sorted": only a split that has its classes one after another
    shuffle: Literal["never", "sorted", "always"] = "never"
    standardize: bool = False  # shift and scale each feature by the train split's mean and deviation
    n_classes: int | None = None  # of a Dataset in classification; the classes of Examples are counted
    class_names: list[str] | None = None  # by class, if the source has them
    kind: Literal["tensor", "image", "text"] = "tensor"  # of a Dataset
    notes: list[str] = field(default_factory=list)  # lines for the log


@dataclass(frozen=True)
class Inputs:
    """The form in which a model takes its samples. None: that of the data."""

    size: tuple[int, int] | None = None  # height and width of images
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bicubic"  # or nearest, bilinear
    crop_pct: float = 1.0  # part of the resized image that the central crop keeps
    # how an image of another shape fits: center (the middle of it), squash (stretched), border (whole, with borders)
    crop_mode: str = "center"
    fill: float | None = None  # grey value of these borders, 0 to 1; None: the colour `mean`
    channels: int | None = None  # 3: grey images become colour images
    tokenizer: Any = None  # a transformers tokenizer, for models that read text


def view_shape(shape: Sequence[int], view: Sequence[int]) -> tuple[int, ...]:
    """`view`, if a sample of `shape` can be viewed as that. Raises ValueError."""
    if math.prod(shape) != math.prod(view):
        raise ValueError(
            f"model_input_shape {list(view)} holds {math.prod(view)} values, "
            f"and a sample of shape {list(shape)} has {math.prod(shape)}"
        )
    return tuple(view)
