"""A job specification: a grid of experiments in a YAML file, read into the list of its experiments.

    job_details: {name: digits, output_dir: runs}
    parameters:
      LIST_models:                    # a list of dictionaries: their union is one axis
        - {model: tiny/lenet, base_lr: '10.0 ** np.arange(-3, 0)'}
        - {model: linear, base_lr: 1}
      ZIP_noise:                      # lists of one length that vary together
        momentum: [0, 0.9]
        warmup_steps: [0, 100]
      batch_size: [16, 64]            # the last key varies fastest: here 4 x 2 x 2 = 16 experiments

`read_job` finds all problems before anything is written, and raises them together.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src import config, yaml_io
from src.config import ConfigError
from src.formulas import evaluate
from src.hints import did_you_mean, unknown_option
from src.jobs import checks
from src.jobs.checks import Cell, Point

MAX_EXPERIMENTS = 100_000
TEXT = r"[^\x00-\x1f\x7f]+"
DETAILS = {  # key of job_details: a pattern that its value matches, and that in words
    "name": (  # part of a folder's name and of SLURM's job names
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}",
        "at most 80 letters, digits, '.', '_' and '-', and start with a letter or digit",
    ),
    "output_dir": (TEXT, "the name of a folder"),
    "wandb": ("True|False", "true or false"),
    "wandb_project_name": (TEXT, "the name of a project"),
}


@dataclass(frozen=True)
class Job:
    """What a job specification asks for."""

    name: str
    output_dir: Path  # absolute
    text: str  # of the file, unchanged
    experiments: list[dict[str, Any]]  # the options of each, in the order of the grid
    axes: str  # for people: '18 (base_lr, momentum) x 6 batch_size'; empty for a single experiment
    notes: list[str] = field(default_factory=list)  # sentences that the plan shows


@dataclass(frozen=True)
class Axis:
    """One factor of a product: the options that it sets, and its points, in order."""

    options: tuple[str, ...]
    points: list[Point]

    def __str__(self) -> str:
        values = {o: {repr(point[o].value) if o in point else "" for point in self.points} for o in self.options}
        names = [o for o in self.options if len(values[o]) > 1] or list(self.options)
        return f"{len(self.points)} {names[0] if len(names) == 1 else '(' + ', '.join(names) + ')'}"


def read_job(path: Path) -> Job:
    """Read, expand and check a job file. Raises ConfigError with everything that is wrong with it."""
    try:
        document = yaml_io.read(path)
        text = path.read_text(encoding="utf-8")
    except yaml_io.YamlError as error:
        raise ConfigError([str(error)]) from None
    reader = _Reader(document)
    sections = reader.mapping(document.data, ())
    if sections and all(key in config.FIELDS or key == "base" for key in sections):
        raise ConfigError([f"{path}: is the config of one experiment; python train.py {path} runs it"])
    for key in sections:
        if key not in ("job_details", "parameters"):
            reader.complain((key,), f"unknown section {key!r}; a job file has job_details and parameters")
    details = reader.details(sections.get("job_details"))
    if "parameters" not in sections:
        reader.complain((), "there are no parameters")
    axes = reader.axes(reader.mapping(sections.get("parameters", {}), ("parameters",)), ("parameters",))
    points = reader.product(axes, ("parameters",))
    problems = document.problems + reader.problems + checks.problems(points, document.where("parameters"))
    if problems:
        raise ConfigError(sorted(problems, key=_line))
    untracked = details.get("wandb", "True") == "True" and ("wandb" in details or "wandb_project_name" in details)
    return Job(
        details["name"],
        Path(os.path.expandvars(details["output_dir"])).expanduser().absolute(),
        text,
        [{option: cell.value for option, cell in point.items()} for point in points],
        " x ".join(str(axis) for axis in axes if len(axis.points) > 1),
        ["job_details asks for wandb, which this version does not support: nothing is tracked."] * untracked
        + _single_lists(points),
    )


class _Reader:
    """Turns the dictionaries of a job file into axes, and collects the problems in them."""

    def __init__(self, document: yaml_io.Document) -> None:
        self.document = document
        self.problems: list[str] = []

    def complain(self, place: yaml_io.Place, sentence: str) -> None:
        self.problems.append(f"{self.document.where(*place)}: {sentence}")

    def mapping(self, data: Any, place: yaml_io.Place) -> dict[Any, Any]:
        if isinstance(data, dict):
            return data
        self.complain(place, "must be a dictionary: lines of the form 'key: value'")
        return {}

    def details(self, data: Any) -> dict[str, str]:
        """What job_details says, as text; '' for name and output_dir if they are missing or wrong."""
        found = {"name": "", "output_dir": ""}
        if data is None:
            self.complain(("job_details",), "job_details is missing: a dictionary with name and output_dir")
            return found
        details = self.mapping(data, ("job_details",))
        for key, value in details.items():
            place = ("job_details", key)
            if key not in DETAILS:
                hint = did_you_mean(str(key), DETAILS) or f"; job_details has {', '.join(DETAILS)}"
                self.complain(place, f"unknown key {key!r}{hint}")
            elif value is not None:
                pattern, rule = DETAILS[key]
                if isinstance(value, (str, int)) and re.fullmatch(pattern, str(value)):
                    found[key] = str(value)
                else:
                    self.complain(place, f"{key} {value!r} must be {rule}")
        for key in ("name", "output_dir"):
            if details.get(key) is None:
                self.complain(("job_details", key), f"job_details has no {key}")
        return found

    # --- axes -------------------------------------------------------------------------------------------

    def axes(self, parameters: dict[Any, Any], place: yaml_io.Place) -> list[Axis]:
        """One axis for each key, in the order of the file."""
        axes = []
        for key, value in parameters.items():
            if str(key).startswith("LIST"):
                axis = self.list_axis(key, value, (*place, key))
            elif str(key).startswith("ZIP"):
                axis = self.zip_axis(key, value, (*place, key))
            else:
                axis = Axis((str(key),), [{str(key): cell} for cell in self.cells(str(key), value, (*place, key))])
            if axis.points:
                axes.append(axis)
        return self.without_repeated_options(axes)

    def list_axis(self, key: str, elements: Any, place: yaml_io.Place) -> Axis:
        """The union of what the elements, dictionaries like `parameters`, expand to."""
        if not isinstance(elements, list) or not elements:
            self.complain(place, f"{key} must be a list of dictionaries")
            return Axis((), [])
        points: list[Point] = []
        for i, element in enumerate(elements):
            if isinstance(element, dict):
                points += self.product(self.axes(element, (*place, i)), (*place, i))
                self.check_size(len(points), place)
            else:
                self.complain((*place, i), f"an element of {key} must be a dictionary, not {element!r}")
        return Axis(_options(points), points)

    def zip_axis(self, key: str, lists: Any, place: yaml_io.Place) -> Axis:
        """One point for the first values of all options, one for the second ones, and so on."""
        if not isinstance(lists, dict) or not lists:
            self.complain(place, f"{key} must be a dictionary of lists; put several such into a LIST")
            return Axis((), [])
        columns: dict[str, list[Cell]] = {}
        for option, value in lists.items():
            if str(option).startswith(("LIST", "ZIP")):
                self.complain((*place, option), f"{key} holds options and their lists, not a {option}")
            else:
                columns[str(option)] = self.cells(str(option), value, (*place, option))
        lengths = {option: len(cells) for option, cells in columns.items() if cells}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{option} has {length}" for option, length in lengths.items())
            self.complain(place, f"the lists of {key} must have one length: {found}")
        rows = zip(*(columns[option] for option in lengths), strict=False)
        return Axis(tuple(lengths), [dict(zip(lengths, row, strict=True)) for row in rows])

    def cells(self, option: str, value: Any, place: yaml_io.Place) -> list[Cell]:
        """The values of one key; empty if they are not valid."""
        self.check_option(option, place)
        if isinstance(value, str):
            is_text = checks.is_text(option)  # where 2024-10-31 is no subtraction
            try:
                value = evaluate(value, arithmetic=not is_text)
            except ValueError as error:
                hint = "; text that is no formula goes into a list: ['...']" if is_text else ""
                self.complain(place, f"{option}: {error}{hint}")
                return []
        if not isinstance(value, list) or (checks.is_list(option) and _is_flat(value)):
            return [checks.cell(option, value, self.document.where(*place))]
        if not value:
            self.complain(place, f"{option} has an empty list; give it a value, or remove it")
        self.check_size(len(value), place)
        return [checks.cell(option, item, self.document.where(*place, i)) for i, item in enumerate(value)]

    def check_option(self, option: str, place: yaml_io.Place) -> None:
        if option not in config.FIELDS:
            self.complain(place, unknown_option(option, config.OPTIONS))
        elif option == "output_dir":
            self.complain(place, "output_dir of the experiments follows from that in job_details; remove it")
        elif option in config.FILLED:
            self.complain(place, f"{option!r} is filled in by the program; remove it")

    # --- products ---------------------------------------------------------------------------------------

    def product(self, axes: list[Axis], place: yaml_io.Place) -> list[Point]:
        """Every combination of one point of each axis, the last axis varying fastest."""
        self.check_size(math.prod(len(axis.points) for axis in axes), place)
        rows: Iterator[tuple[Point, ...]] = itertools.product(*(axis.points for axis in axes))
        return [{option: cell for point in row for option, cell in point.items()} for row in rows]

    def check_size(self, size: int, place: yaml_io.Place) -> None:
        """Checked before memory is allocated. Raises at once: further problems cannot be found."""
        if size > MAX_EXPERIMENTS:
            self.complain(place, f"this makes {size} experiments or more; a job has at most {MAX_EXPERIMENTS}")
            raise ConfigError(self.document.problems + self.problems)

    def without_repeated_options(self, axes: list[Axis]) -> list[Axis]:
        """Rejects options that two axes set. The later one is renamed to a name that is no option,
        so that experiments still differ in it."""
        seen: dict[str, str] = {}
        result = []
        for axis in axes:
            where = {o: next(point[o].where for point in axis.points if o in point) for o in axis.options}
            renamed = {}
            for option in axis.options:
                if option in seen:
                    self.problems.append(f"{where[option]}: {option!r} is set twice; see {seen[option]}")
                    renamed[option] = f"{option} (again)"
                seen.setdefault(option, where[option])
            points = [{renamed.get(o, o): cell for o, cell in point.items()} for point in axis.points]
            result.append(Axis(axis.options, points))
        return result


def _single_lists(points: list[Point]) -> list[str]:
    """A sentence for each list in a dictionary of keyword arguments: it is one value, where a grid may be meant."""
    cells = {id(cell): cell for point in points for option, cell in point.items() if option.endswith("_kwargs")}
    return [
        f"{cell.where}: {key} is the list {value} in each experiment; a grid is a list of dictionaries: "
        f"[{{{key}: {value[0]}}}, ...]"
        for cell in cells.values()
        if isinstance(cell.typed, dict)
        for key, value in cell.typed.items()
        if isinstance(value, list) and value
    ]


def _is_flat(values: list[Any]) -> bool:
    return not any(value is None or isinstance(value, list) for value in values)


def _line(problem: str) -> int:
    found = re.search(r":(\d+): ", problem)
    return int(found[1]) if found else 0


def _options(points: Iterable[Point]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(option for point in points for option in point))
