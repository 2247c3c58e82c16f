"""The small languages inside config values: the meaning of `ema_0.999` or `train[:80%]`.

A grid is checked on a login node with these functions, so they import no torch; the rooms that build averages and
splits call the same functions. src/schedules.py has the language of lr_schedule. Every parser raises ValueError with a full sentence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


# --- momentum ---------------------------------------------------------------------------------------


def parse_betas(momentum: Any) -> tuple[float, float | None]:
    """`0.9` -> (0.9, None); `'0.9,0.999'` -> (0.9, 0.999), the two betas of the adam family."""
    try:
        if isinstance(momentum, bool):
            raise ValueError
        parts = [float(part) for part in momentum.split(",")] if isinstance(momentum, str) else [float(momentum)]
    except (TypeError, ValueError):
        raise ValueError(f"momentum {momentum!r} is not a number and not 'beta1,beta2'") from None
    if len(parts) > 2 or not all(0 <= part < 1 for part in parts):
        raise ValueError(f"momentum {momentum!r} must be one number, or 'beta1,beta2', each in [0, 1)")
    return parts[0], parts[1] if len(parts) == 2 else None


# --- iterate averaging ------------------------------------------------------------------------------

SHORT_AVERAGING = {"none": None, "poly": "poly_8", "ema": "ema_0.999"}


def parse_averaging(text: str) -> tuple[str, float]:
    """`'poly_8'` -> ('poly', 8.0); `'ema_0.999'` -> ('ema', 0.999)."""
    if match := re.fullmatch(rf"(poly|ema)_({NUMBER})", text):
        kind, value = match[1], float(match[2])
        if kind == "poly" or value < 1:
            return kind, value
    raise ValueError(f"unknown averaging {text!r}; known: poly_<eta>, ema_<decay in [0, 1)>")


# --- splits -----------------------------------------------------------------------------------------

ALL = "all"  # the split expression for every split of the data set, one after another


@dataclass(frozen=True)
class Bound:
    """One end of a slice: `1000`, `33.3%` or `2shard`; negative counts from the end."""

    value: int | float  # a whole number unless a percentage
    unit: str = ""  # "" for examples, "%" or "shard"

    def __str__(self) -> str:
        return f"{self.value}{self.unit}"

    def index(self, n: int, shards: Sequence[int] | None, whole_percents: bool) -> int:
        """Position among n examples, stored in files of `shards` examples each; may be out of range. Raises ValueError."""
        if self.unit == "shard":
            if shards is None:
                raise ValueError("cuts at shards, and this data set is not stored in shards; use % or numbers")
            if abs(self.value) > len(shards):
                raise ValueError(f"names shard {self.value:g}, and the split has {len(shards)}")
            return sum(shards[: int(self.value)])
        if self.unit == "%":
            index = int(self.value * (n // 100)) if whole_percents else round(self.value * n / 100.0)
        else:
            index = int(self.value)
        return index + n if self.value < 0 else index


@dataclass(frozen=True)
class Slice:
    """A part of one split of a source, such as `train[:80%]`; the split `all` is every split of the data set."""

    split: str
    start: Bound | None = None
    stop: Bound | None = None
    whole_percents: bool = False  # 1% is n // 100 examples and the rest is dropped; else each bound is rounded

    def __str__(self) -> str:
        if self.start is None and self.stop is None:
            return self.split
        bounds = f"[{'' if self.start is None else self.start}:{'' if self.stop is None else self.stop}]"
        return self.split + bounds + "(pct1_dropremainder)" * self.whole_percents

    def range(self, n: int, shards: Sequence[int] | None = None) -> range:
        """The positions it takes from a split of n examples. Raises ValueError for an empty slice, or one out of range.

        `shards`: the number of examples in each file that the split is stored in; None if it is not stored in files.
        """
        try:
            start = self.start.index(n, shards, self.whole_percents) if self.start else 0
            stop = self.stop.index(n, shards, self.whole_percents) if self.stop else n
        except ValueError as error:
            raise ValueError(f"split {str(self)!r} {error}") from None
        if not 0 <= start < stop <= n:
            raise ValueError(f"split {str(self)!r} is empty or out of range: {self.split!r} has {n} examples")
        return range(start, stop)


_BOUND = r"\s*(-?[\d.][\d_.]*)\s*(%|shard|)\s*"
_SLICE = re.compile(
    rf"\s*(\w[\w.-]*)\s*(?:\[(?:{_BOUND}|(?:{_BOUND})?:(?:{_BOUND})?)\])?\s*(?:\((closest|pct1_dropremainder)\))?\s*"
)


def parse_split(text: str) -> list[Slice]:
    """`'train[80%:]+test'` -> [Slice('train', 80%, None), Slice('test')].

    The grammar is that of tensorflow-datasets (https://www.tensorflow.org/datasets/splits), with the rounding
    `(pct1_dropremainder)` as in Hugging Face datasets. As in these, the unit may be missing on one side:
    `train[10:50%]` begins at 10%.
    """
    return [_parse_slice(part, text) for part in text.split("+")]


def _parse_slice(part: str, text: str) -> Slice:
    match = _SLICE.fullmatch(part)
    if not match:
        if re.search(r"\[[^\]]*:[^\]]*:", part):
            raise ValueError(f"split {text!r}: a slice has no step; write [from:to], such as [:50%]")
        raise ValueError(
            f"split {text!r} cannot be read; examples: train, train[:80%], train[80%:]+test, train[:1000], train[2shard], all"
        )
    split, one, one_unit, start, start_unit, stop, stop_unit, rounding = match.groups()
    if one is not None:
        if one_unit != "shard":
            raise ValueError(f"split {text!r}: only one shard can be named alone; write [from:to], such as [:80%]")
        number = int(_number(one, "shard", text))
        return Slice(split, Bound(number, "shard"), Bound(number + 1, "shard") if number != -1 else None)
    if start_unit and stop_unit and start_unit != stop_unit:
        raise ValueError(f"split {text!r}: the two ends of a slice must have one unit")
    unit = start_unit or stop_unit or ""
    begin, end = (None if value is None else Bound(_number(value, unit, text), unit) for value in (start, stop))
    whole_percents = rounding == "pct1_dropremainder" and unit == "%"
    for bound in (begin, end):
        if bound and unit == "%" and abs(bound.value) > 100:
            raise ValueError(f"split {text!r}: a percentage is above 100%")
        if bound and whole_percents and bound.value != int(bound.value):
            raise ValueError(f"split {text!r}: pct1_dropremainder takes whole percentages")
    if split == ALL and (begin or end):
        raise ValueError(f"split {text!r}: 'all' cannot be cut; cut each split, as in train[:80%]+test[:80%]")
    return Slice(split, begin, end, whole_percents)


def _number(value: str, unit: str, text: str) -> int | float:
    try:
        if unit != "%":
            return int(value)
        percent = float(value)
    except ValueError:
        raise ValueError(
            f"split {text!r}: {value!r} is not a {'percentage' if unit == '%' else 'whole number'}"
        ) from None
    return int(percent) if percent.is_integer() else percent


def split_source(text: str) -> tuple[str | None, str]:
    """`'timm/folder/other::test[:50%]'` -> ('timm/folder/other', 'test[:50%]'); without `::` (None, text)."""
    dataset, found, expression = text.rpartition("::")
    return (dataset.strip() if found else None), expression


def parse_splits_map(value: Any) -> dict[str, str]:
    """The splits of a run, name -> expression, from a dictionary or from the text of one. A null split is left out.

    The text may be a literal, or a call `dict(train='train[:80%]', test='test')`; it is never run as code.
    """
    if isinstance(value, str):
        value = _literal_dict(value)
    if not isinstance(value, dict) or not value:
        raise ValueError(
            f"data_splits_map must map names to splits, such as {{train: train, test: test}}, not {value!r}"
        )
    value = {name: expression for name, expression in value.items() if expression is not None}
    for name, expression in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
            raise ValueError(f"data_splits_map: the split name {name!r} must be letters, digits and underscores")
        if not isinstance(expression, str):
            raise ValueError(f"data_splits_map: {name!r} must be a split such as 'train[:80%]', not {expression!r}")
        dataset, expression = split_source(expression)
        if name == "train" and dataset is not None:
            raise ValueError(f"data_splits_map: 'train' cannot come from another data set; set dataset to {dataset!r}")
        parse_split(expression)
    if "train" not in value:
        raise ValueError(f"data_splits_map has no 'train' split, only {', '.join(value) or 'splits that are null'}")
    return value


def _literal_dict(text: str) -> Any:
    wrong = f"data_splits_map {text!r} is not a dictionary and not the text of one"
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
            return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        return ast.literal_eval(node)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(wrong) from None


def problem(parse: Callable[[Any], Any], value: Any) -> str:
    """The message with which `parse` rejects `value`; empty if it accepts it."""
    try:
        parse(value)
        return ""
    except ValueError as error:
        return str(error)
