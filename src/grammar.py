"""The small languages inside config values: what `step_30_0.1` or `train[:80%]` say, parsed once, here.

No torch: a grid is checked on a login node with these functions, and the rooms that build schedules,
averages and splits call the same ones. Every parser raises ValueError with a full sentence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
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
        raise ValueError(f"momentum {momentum!r} is neither a number nor 'beta1,beta2'") from None
    if len(parts) > 2 or not all(0 <= part < 1 for part in parts):
        raise ValueError(f"momentum {momentum!r} must be one number, or 'beta1,beta2', each in [0, 1)")
    return parts[0], parts[1] if len(parts) == 2 else None


# --- learning-rate schedule -------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """kind: constant, poly, cosine, step (every `times[0]`) or multistep (at each of `times`)."""

    kind: str
    power: float = 1.0  # of poly
    times: tuple[int, ...] = ()  # in units of train_length_unit
    factor: float = 1.0  # of step and multistep


def parse_schedule(text: str) -> Schedule:
    if text in ("constant", "cosine"):
        return Schedule(text)
    if match := re.fullmatch(rf"poly_({NUMBER})", text):
        return Schedule("poly", power=float(match[1]))
    if match := re.fullmatch(rf"step_(\d+(?:,\d+)*)_({NUMBER})", text):
        times = tuple(int(t) for t in match[1].split(","))
        if times[0] < 1 or list(times) != sorted(set(times)):
            raise ValueError(f"lr_schedule {text!r}: the times must be positive and increase")
        return Schedule("step" if len(times) == 1 else "multistep", times=times, factor=float(match[2]))
    raise ValueError(
        f"unknown lr_schedule {text!r}; known: constant, cosine, poly_<power>, step_<t>_<factor>, step_<t1>,<t2>_<factor>"
    )


# --- iterate averaging ------------------------------------------------------------------------------


def parse_averaging(text: str) -> tuple[str, float]:
    """`'poly_8'` -> ('poly', 8.0); `'ema_0.999'` -> ('ema', 0.999)."""
    if match := re.fullmatch(rf"(poly|ema)_({NUMBER})", text):
        kind, value = match[1], float(match[2])
        if kind == "poly" or value < 1:
            return kind, value
    raise ValueError(f"unknown averaging {text!r}; known: poly_<eta>, ema_<decay in [0, 1)>")


# --- splits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bound:
    """One end of a slice: `80%` or `1000`; negative counts from the end."""

    value: int
    percent: bool

    def index(self, n: int) -> int:
        """Position among n examples; percentages are rounded to the nearest example, as tfds does."""
        index = round(self.value * n / 100) if self.percent else self.value
        return index + n if self.value < 0 else index


@dataclass(frozen=True)
class Slice:
    """A part of one split of a source, such as `train[:80%]`."""

    split: str
    start: Bound | None = None
    stop: Bound | None = None

    def __str__(self) -> str:
        def text(bound: Bound | None) -> str:
            return "" if bound is None else f"{bound.value}{'%' * bound.percent}"

        whole = self.start is None and self.stop is None
        return self.split if whole else f"{self.split}[{text(self.start)}:{text(self.stop)}]"

    def range(self, n: int) -> range:
        """The positions it takes from a split of n examples. Raises ValueError if there are none, or too few."""
        start = self.start.index(n) if self.start else 0
        stop = self.stop.index(n) if self.stop else n
        if not 0 <= start < stop <= n:
            raise ValueError(
                f"split {str(self)!r} takes nothing, or more than there is: {self.split!r} has {n} examples"
            )
        return range(start, stop)


_BOUND = r"\s*(-?\d[\d_]*)\s*(%?)\s*"
_SLICE = re.compile(rf"\s*([A-Za-z_][\w.-]*)\s*(?:\[(?:{_BOUND})?:(?:{_BOUND})?\])?\s*")


def parse_split(text: str) -> list[Slice]:
    """`'train[80%:]+test'` -> [Slice('train', 80%, None), Slice('test')]; the grammar is tensorflow-datasets'."""
    slices = []
    for part in text.split("+"):
        match = _SLICE.fullmatch(part)
        if not match:
            raise ValueError(
                f"split {text!r} cannot be read; examples: train, train[:80%], train[80%:]+test, train[:1000]"
            )
        split, start, start_percent, stop, stop_percent = match.groups()
        bounds = [
            None if value is None else Bound(int(value), percent == "%")
            for value, percent in ((start, start_percent), (stop, stop_percent))
        ]
        if any(bound and bound.percent and abs(bound.value) > 100 for bound in bounds):
            raise ValueError(f"split {text!r}: a percentage is beyond 100%")
        slices.append(Slice(split, *bounds))
    return slices


def parse_splits_map(value: Any) -> dict[str, str]:
    """The splits of a run, name -> expression, from a dict or from the text of one.

    Text may be a dict literal or a call `dict(train='train[:80%]', test='test')`; it is never evaluated.
    """
    if isinstance(value, str):
        value = _literal_dict(value)
    if not isinstance(value, dict) or not value:
        raise ValueError(
            f"data_splits_map must map names to splits, such as {{train: train, test: test}}, not {value!r}"
        )
    for name, expression in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
            raise ValueError(f"data_splits_map: the split name {name!r} must be letters, digits and underscores")
        if not isinstance(expression, str):
            raise ValueError(f"data_splits_map: {name!r} must be a split such as 'train[:80%]', not {expression!r}")
        parse_split(expression)
    if "train" not in value:
        raise ValueError(f"data_splits_map has no 'train' split, only {', '.join(value)}")
    return dict(value)


def _literal_dict(text: str) -> Any:
    wrong = f"data_splits_map {text!r} is neither a dictionary nor the text of one"
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
            return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        return ast.literal_eval(node)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(wrong) from None


def problem(parse: Callable[[Any], Any], value: Any) -> str:
    """What `parse` says against `value`; empty if nothing."""
    try:
        parse(value)
        return ""
    except ValueError as error:
        return str(error)
