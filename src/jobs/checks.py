"""Checks every experiment of a grid as `config.build` does, fast enough for ten thousand of them.

A value is converted once, however many experiments have it; only the checks of several options together
are made for each experiment.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any

from src import config
from src.config import Config
from src.jobs.text import count


@dataclass(frozen=True, eq=False)
class Cell:
    """One value of an option in a job file."""

    value: Any  # as in the file, or as computed by a formula
    where: str  # file:line
    typed: Any  # of the option's type; `value` if it cannot be converted
    problem: str  # why it cannot be converted; empty if it can


Point = dict[str, Cell]  # some options of one experiment


def cell(option: str, value: Any, where: str) -> Cell:
    """The cell of a value, converted to the option's type."""
    if option not in _settable():
        return Cell(value, where, value, "")  # the option itself has been rejected
    if "${" in repr(value):
        wrong = f"{option}: {value!r} contains '${{', and a job has no interpolation; write the value"
        return Cell(value, where, value, wrong)
    try:
        return Cell(value, where, config.convert(option, value), "")
    except ValueError as error:
        return Cell(value, where, value, str(error))


def problems(points: list[Point], place: str) -> list[str]:
    """What is wrong with the experiments: a sentence for each problem, with its place and how often it occurs.

    `place` is that of all experiments, for problems that no single value causes.
    """
    found: Counter[str] = Counter()
    repeated: dict[str, str] = {}  # place -> sentence on the first pair
    n_repeated: Counter[str] = Counter()
    first: dict[str, int] = {}
    for number, point in enumerate(points):
        found.update(f"{c.where}: {c.problem}" for c in point.values() if c.problem)
        good = {option: c.typed for option, c in point.items() if option in _settable() and not c.problem}
        experiment = Config(**good)
        for option, message in config.check(experiment):
            if option in point and option not in good:
                continue  # it was checked with its default: nothing follows from that
            found[f"{point[option].where if option in point else place}: {message}"] += 1

        # with the defaults: `momentum: 0.9` is the same experiment as one without momentum
        rest = [(option, repr(c.value)) for option, c in point.items() if option not in good]
        other = first.setdefault(f"{experiment!r} {rest}", number)
        if other != number:
            where, reason = _repetition(points[other], point, place)
            n_repeated[where] += 1
            repeated.setdefault(where, f"experiments {other} and {number} are the same{reason}")
    return [
        *(sentence + _how_many(n, len(points)) for sentence, n in found.items()),
        *(f"{where}: {sentence}{_and_more(n_repeated[where] - 1)}" for where, sentence in repeated.items()),
    ]


def is_text(option: str) -> bool:
    """Whether one value of the option is text."""
    return option in config.OPTIONS and config.type_name(option).startswith("text")


def is_list(option: str) -> bool:
    """Whether one value of the option is a list."""
    return option in config.OPTIONS and config.type_name(option).startswith("a list")


@functools.cache
def _settable() -> frozenset[str]:
    """The options that a job may set."""
    return frozenset(config.OPTIONS) - {"output_dir"}


def _repetition(one: Point, other: Point, place: str) -> tuple[str, str]:
    """The place and the value by which the second of two equal experiments repeats the first."""
    for option in dict.fromkeys([*other, *one]):
        if one.get(option) is not other.get(option):
            c = other[option] if option in other else one[option]
            default = "" if option in one and option in other else ", its default"
            return c.where, f": {option} is {c.value!r}{default} in both"
    return place, ""


def _how_many(n: int, total: int) -> str:
    return f" (in {n} of {total} experiments)" if total > 1 else ""


def _and_more(pairs: int) -> str:
    return f" (and {count(pairs, 'more such pair')})" if pairs else ""
