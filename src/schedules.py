"""The learning-rate schedules: the texts that lr_schedule takes, and the factor of base_lr that each gives at a step.

A schedule is one function and one entry of SCHEDULES. A grid is checked on a login node with `parse_schedule`, so
nothing heavy is imported. The warm-up is not part of a schedule; src/optim/schedules.py adds it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from src.grammar import NUMBER


@dataclass(frozen=True)
class Moment:
    """Where in its run an optimizer step is."""

    step: int  # optimizer steps of the run before this one
    total_steps: int
    warmup_steps: int = 0
    steps_per_unit: float = 1  # optimizer steps in one train_length_unit

    @property
    def done(self) -> float:
        """The fraction of the steps after the warm-up that were made."""
        return max(0, self.step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)

    def reached(self, step: float) -> float:
        """This step as a multiple of another, which need not be whole.

        Steps are whole numbers, so a millionth hides only the rounding in the computation of the other.
        """
        return (self.step + 1e-6) / step


Factor = Callable[[Moment], float]


def _constant() -> Factor:
    return lambda at: 1.0


def _cosine() -> Factor:
    return lambda at: (1 + math.cos(math.pi * at.done)) / 2


def _decay(power: str = "1") -> Factor:
    exponent = float(power)
    return lambda at: (1 - at.done) ** exponent


def _poly(power: str = "0.5") -> Factor:
    exponent = -float(power)
    return lambda at: (1.0 + at.step) ** exponent


def _step(n_drops: str = "4", factor: str = "0.1") -> Factor:
    n, base = int(n_drops), float(factor)
    return lambda at: base ** min(n, math.floor(at.reached(max(1, at.total_steps) / (n + 1))))


def _stretches(lengths: str, factor: str) -> Factor:
    *ends, whole = itertools.accumulate(float(length) for length in lengths.split(","))
    if not 0 < whole < math.inf:
        raise ValueError("the lengths must be finite and not all zero")
    base = float(factor)
    return lambda at: base ** sum(at.reached(1) >= end / whole * at.total_steps for end in ends)


def _every(time: str, factor: str) -> Factor:
    (unit,), base = _times(time), float(factor)
    return lambda at: base ** math.floor(at.reached(unit * at.steps_per_unit))


def _at(times: str, factor: str) -> Factor:
    units, base = _times(times), float(factor)
    return lambda at: base ** sum(at.reached(unit * at.steps_per_unit) >= 1 for unit in units)


def _times(text: str) -> list[int]:
    times = [int(time) for time in text.split(",")]
    if times[0] < 1 or times != sorted(set(times)):
        raise ValueError("the times must be positive and increase")
    return times


@dataclass(frozen=True)
class Form:
    """One form of lr_schedule. `build` gets the texts of the pattern's groups, and may raise ValueError."""

    pattern: str
    build: Callable[..., Factor]
    example: str
    meaning: str


# fmt: off
SCHEDULES = {
    "constant": Form("constant", _constant, "constant", "base_lr throughout"),
    "cosine": Form("cosine", _cosine, "cosine", "falls to zero as half a cosine, from the end of the warm-up"),
    "linear": Form("linear", _decay, "linear", "falls to zero linearly, from the end of the warm-up: decay_1"),
    "decay_<p>": Form(rf"decay_({NUMBER})", _decay, "decay_2", "falls to zero as (1 - done)^p; done is the part of the steps after the warm-up that were made"),
    "poly_<p>": Form(rf"poly(?:_({NUMBER}))?", _poly, "poly_0.5", "falls as (1 + t)^-p, t being the optimizer steps made since the start; `poly` is poly_0.5"),
    "step_<n>_<factor>": Form(rf"step(?:_([1-9]\d{{0,5}})_({NUMBER}))?", _step, "step_4_0.1", "times factor n times, at even distances over the run; `step` is step_4_0.1"),
    "step_<a>,<b>,..._<factor>": Form(rf"step_({NUMBER}(?:,{NUMBER})+)_({NUMBER})", _stretches, "step_2,1,1_0.1", "times factor between stretches of the run with these relative lengths"),
    "every_<t>_<factor>": Form(rf"every_(\d+)_({NUMBER})", _every, "every_30_0.1", "times factor every t, in units of train_length_unit"),
    "at_<t1>,<t2>,..._<factor>": Form(rf"at_(\d+(?:,\d+)*)_({NUMBER})", _at, "at_60,80_0.1", "times factor at t1, at t2, ..., in units of train_length_unit"),
}
# fmt: on


def parse_schedule(text: str) -> Factor:
    """The schedule that an lr_schedule names: a function from the moment to the factor of base_lr. Raises ValueError."""
    for form in SCHEDULES.values():
        if match := re.fullmatch(form.pattern, text):
            try:
                return form.build(*(group for group in match.groups() if group is not None))
            except ValueError as error:
                raise ValueError(f"lr_schedule {text!r}: {error}") from None
    raise ValueError(f"unknown lr_schedule {text!r}; known: {', '.join(SCHEDULES)}")
