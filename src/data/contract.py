"""What an item, a batch and a model's outputs must look like: the sentences for those that do not.

Items are checked as they are read, by their type alone; batches only where they cannot be made; a model's outputs at
the first batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class BadItem(ValueError):
    """An item that cannot be read or whose label is out of range; the message names it."""


class Unfit(ValueError):
    """The message continues a sentence whose subject is the item."""


def pair(item: Any) -> tuple[Any, Any]:
    """x and y of an item. Raises Unfit."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    raise Unfit(f"is {_kind(item)}; return a pair (x, y) of a sample and its label or target")


def sample(x: Any) -> Any:
    """x as a tensor, float64 as float32; a dictionary of tokens as it is. Raises Unfit."""
    if isinstance(x, Mapping) and "input_ids" in x:
        return x
    if type(x).__module__.startswith("PIL."):
        raise Unfit(
            "has a PIL image as x; return a float tensor (channels, height, width), for instance "
            "torchvision.transforms.functional.to_tensor(image)"
        )
    try:
        x = torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        raise Unfit(f"has {_kind(x)} as x; return a tensor or an array") from None
    return x.float() if x.dtype == torch.float64 else x


def check_float(x: Any) -> None:
    """Raises Unfit for samples that only a user's own model may take, such as integers."""
    if isinstance(x, Tensor) and x.dtype != torch.float32:
        raise Unfit(
            f"has an x of {_dtype(x)}, and the model takes float32; return x.float(), scaled as the model needs it"
        )


def target(y: Any, n_classes: int | None) -> Tensor:
    """y as an int64 class, or as float32 target if `n_classes` is None. Raises Unfit."""
    try:
        y = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError):
        what = "a number" if n_classes is None else f"the number of a class, 0 to {n_classes - 1}"
        raise Unfit(f"has {_kind(y)} as label; return {what}") from None
    if n_classes is None:
        return y.float()
    if y.ndim:
        way_out = "y.argmax() for a one-hot label" if y.numel() > 1 else "y.item()"
        raise Unfit(f"has a label of shape {list(y.shape)}; return one number, {way_out}")
    label = y.item()
    if label != label // 1:
        raise Unfit(
            f"has label {label:g}, which is no class; return a whole number, or use loss: mse without `classes`"
        )
    if not 0 <= label < n_classes:
        raise Unfit(f"has label {label:g}, not 0 to {n_classes - 1}")
    return y.long()


def check_alike(values: Sequence[Any], names: Sequence[str], what: str) -> None:
    """Raises BadItem for tensors, each with the name of its item, that have different shapes, so that no batch holds them."""
    for value, name in zip(values, names, strict=True):
        first, other = _shapes(values[0]), _shapes(value)
        if first != other:
            raise BadItem(
                f"{name} has {what} of shape {other}, and {names[0]} of shape {first}; the items of a batch must have one "
                "shape: cut or pad them in the data set, or use batch_size: 1 and eval_batch_size: 1"
            )


def check_outputs(outputs: Any, targets: Tensor, n_classes: int | None) -> None:
    """Raises ValueError for what no loss takes. `n_classes`: None in regression."""
    n = len(targets)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"the model returned {_kind(outputs)}; it must return one tensor (samples, outputs)")
    shape = list(outputs.shape)
    if n_classes is None:
        if outputs.ndim < 2 or len(outputs) != n or outputs.numel() != targets.numel():
            raise ValueError(
                f"the model returned outputs of shape {shape} for targets of shape {list(targets.shape)}; it must return "
                f"shape {[n, math.prod(targets.shape[1:])]}"
            )
        return
    if outputs.ndim != 2 or len(outputs) != n:
        hint = "; average or flatten its feature maps before the last layer" if outputs.ndim > 2 else ""
        raise ValueError(f"the model returned outputs of shape {shape} for {n} samples, not [{n}, {n_classes}]{hint}")
    if outputs.shape[1] < n_classes:
        raise ValueError(
            f"the model has {outputs.shape[1]} outputs, and the data {n_classes} classes; "
            "its last layer needs `num_classes` outputs"
        )


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dictionary with the keys {', '.join(map(repr, value))}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return f"a value of type {type(value).__name__}"


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _shapes(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {key: _shapes(value) for key, value in x.items()}
    return list(x.shape)
