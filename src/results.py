"""From experiment folders to one data frame, `big_df`, in which every row is one experiment.

    big_df = read_experiments("runs/25-01-31-digits")
    big_df.query("base_lr < 1").groupby("model")["status"].count()
    final(big_df, "test/last/accuracy").max()

Experiments that run, wait or are damaged have a row too, with what can be read of them.
"""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src import config, experiment, yaml_io


def read_experiments(
    jobs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], index_field: str = "epoch", only_done: bool = False
) -> pd.DataFrame:
    """big_df: one row an experiment, with its path as index.

    `jobs` is a job folder, one experiment's folder, a glob such as `runs/25-*`, or a list of these.
    Columns, in this order: every config field and any further key of config.yaml (numbers, booleans and
    text typed), `status`, `is_done`, and every column of stats.csv. A cell of a stats column is a Series over the
    epochs, indexed by the stats column `index_field`; it is empty where there are no figures (yet).

    A value that cannot be read is missing in the row of its experiment, and a warning names the folder.
    Raises ValueError for a job that does not exist, and for an `index_field` that is not in any stats.csv.
    """
    folders = find_experiments([jobs] if isinstance(jobs, str | os.PathLike) else list(jobs))
    statuses = {folder: experiment.status(folder) for folder in folders}
    if only_done:
        folders = [folder for folder in folders if statuses[folder] == experiment.Status.DONE]

    problems: dict[Path, list[str]] = {folder: [] for folder in folders}
    configs = [_read_config(folder, problems[folder]) for folder in folders]
    stats = [_read_stats(folder, problems[folder]) for folder in folders]
    names = list(dict.fromkeys(name for frame in stats for name in frame.columns))
    if names and index_field not in names:
        raise ValueError(f"index_field {index_field!r} is not in any stats.csv; there are: {', '.join(names)}")
    for folder, found in problems.items():
        if found:
            warnings.warn(f"{folder}: {'; '.join(found)}", stacklevel=2)

    index = pd.Index([str(folder) for folder in folders], name="path", dtype="str")
    options = list(dict.fromkeys([*config.FIELDS, *(key for values in configs for key in values)]))
    columns = {name: _typed(name, [values.get(name) for values in configs], index) for name in options}
    columns["status"] = pd.Series([str(statuses[folder]) for folder in folders], index, dtype="str")
    columns["is_done"] = columns["status"] == str(experiment.Status.DONE)
    for name, cells in _cells(stats, names, index_field).items():
        columns[name] = pd.Series(cells, index)
    return pd.DataFrame(columns, index=index)


def final(big_df: pd.DataFrame, column: str) -> pd.Series:
    """The last value of each experiment's Series in a stats column; NaN where there is none."""
    if column not in stats_columns(big_df):
        raise ValueError(
            f"{column!r} is not a column of stats.csv; there are: {', '.join(stats_columns(big_df)) or 'none'}"
        )
    return big_df[column].map(lambda series: series.iloc[-1] if len(series) else np.nan)


def stats_columns(big_df: pd.DataFrame) -> list[str]:
    """The columns whose cells are Series."""
    return [name for name in big_df.columns if len(big_df) and isinstance(big_df[name].iloc[0], pd.Series)]


def varying(big_df: pd.DataFrame) -> list[str]:
    """The options that a grid varies.

    Excluded are the fields that the program fills in, and differences that it decided itself where an option was null:
    seeds that are different in every experiment, and shapes that differ because data sets do. If nothing else differs,
    these are returned.
    """
    options = big_df.columns[: big_df.columns.get_loc("status")]  # then come figures, and columns that the user added
    readable = big_df[big_df["dataset"].notna()]  # without the rows whose config is damaged
    differ = []
    for name in (name for name in options if name not in config.FILLED and name != "output_dir"):
        column = readable[name].dropna() if name in config.DECIDED else readable[name]
        if column.map(repr).nunique() > 1:  # repr, since values may be dictionaries or lists
            differ.append(name)
    drawn = [name for name in ("seed_model", "seed_training") if readable[name].dropna().is_unique]
    inferred = config.DECIDED - {"device", "seed_model", "seed_training"} if "dataset" in differ else set()
    return [name for name in differ if name not in (*drawn, *inferred)] or differ


def metric_modes(big_df: pd.DataFrame) -> dict[str, str]:
    """For each metric, the loss first, whether larger (`max`) or smaller (`min`) values are better."""
    modes: dict[str, str] = {}
    for of_run in big_df["metric_modes"].dropna():
        modes |= of_run
    return modes


def metrics(big_df: pd.DataFrame) -> list[str]:
    """The stats columns that are metrics, the one to judge experiments by first.

    Columns of `train` come last. Within the others, and within these, the loss comes after the other metrics,
    validation splits before test before other splits, `last` before `av`.
    """
    names = list(metric_modes(big_df))

    def rank(column: str) -> tuple[bool, bool, int, bool, int]:
        split, name = column.split("/")[0], column.rpartition("/")[2]
        place = 0 if split.startswith("val") else {"test": 1, "train": 3}.get(split, 2)
        return split == "train", name == names[0], place, "/av/" in column, names.index(name)

    return sorted((column for column in stats_columns(big_df) if column.rpartition("/")[2] in names), key=rank)


def larger_is_better(big_df: pd.DataFrame, column: str) -> bool:
    """Whether larger values of a stats column are better; of times, smaller ones are."""
    return metric_modes(big_df).get(column.rpartition("/")[2]) == "max" or column.endswith("per_second")


# --- finding ------------------------------------------------------------------------------------------


def find_experiments(jobs: list[Any]) -> list[Path]:
    """The experiment folders that `read_experiments` reads, in its order. Raises ValueError, as that does."""
    if not jobs:
        raise ValueError("no job is given")
    found: dict[str, Path] = {}  # by absolute path: an experiment may match several globs
    for job in jobs:
        try:
            folders = _experiments_of(Path(job))
        except OSError as error:
            raise ValueError(f"{error.filename or job} cannot be read: {error.strerror}") from None
        found |= {str(folder.absolute()): folder for folder in folders if str(folder.absolute()) not in found}
    return list(found.values())


def _experiments_of(job: Path) -> list[Path]:
    if job.is_dir():
        experiments = _in_folder(job)
        if not experiments:
            raise ValueError(f"{job} holds no experiments; it has {_names_in(job)}")
        return experiments
    matches = [Path(match) for match in sorted(glob.glob(str(job)))]  # noqa: PTH207 - Path.glob takes no absolute pattern
    experiments = [folder for match in matches if match.is_dir() for folder in _in_folder(match)]
    if not experiments:
        problem = "matches no experiment" if glob.has_magic(str(job)) else "is not a folder"
        raise ValueError(f"{job} {problem}; {job.parent} has {_names_in(job.parent)}")
    return experiments


def _in_folder(folder: Path) -> list[Path]:
    """The folder itself if it is an experiment, else the experiments in it, in the order of their numbers."""

    def is_experiment(folder: Path) -> bool:
        return any((folder / name).is_file() for name in (experiment.SPEC, experiment.CONFIG, experiment.STATS))

    def number_then_name(folder: Path) -> tuple[float, str]:
        number = folder.name.partition("_")[0]
        return float(number) if number.isdecimal() else np.inf, folder.name

    if is_experiment(folder):
        return [folder]
    return sorted((child for child in folder.iterdir() if is_experiment(child)), key=number_then_name)


def _names_in(folder: Path) -> str:
    names = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "no files"


# --- reading ------------------------------------------------------------------------------------------


def _read_config(folder: Path, problems: list[str]) -> dict[str, Any]:
    """config.yaml, or else spec.yaml; empty if neither can be read. Adds to `problems`."""
    run, spec = folder / experiment.CONFIG, folder / experiment.SPEC
    if run.exists():
        try:
            return config.DEFAULTS | _read_options(run)
        except ValueError as error:
            problems.append(f"{experiment.CONFIG} is damaged ({_reason(error, run)})")
    try:
        return config.DEFAULTS | config.to_dict(config.load(spec))
    except ValueError as error:
        problems.append(f"{experiment.SPEC} cannot be used ({_reason(error, spec)})")
    try:
        return config.DEFAULTS | _read_options(spec)  # one wrong option does not hide the others
    except ValueError:
        return {}


def _read_options(path: Path) -> dict[str, Any]:
    data = yaml_io.read(path).data
    if not isinstance(data, dict):
        raise ValueError("it has no options")
    return {str(key): value for key, value in data.items()}


def _read_stats(folder: Path, problems: list[str]) -> pd.DataFrame:
    """stats.csv, a row an epoch; empty if there is none or it cannot be read. Adds to `problems`."""
    path = folder / experiment.STATS
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return pd.DataFrame()
    except OSError as error:
        problems.append(f"{experiment.STATS} cannot be read ({error.strerror})")
        return pd.DataFrame()
    whole, _, torn = text.rpartition(b"\n")
    if torn:
        problems.append(f"{experiment.STATS} ends within a line, which is skipped")
    try:
        text_stats = pd.read_csv(io.BytesIO(whole))
        if "epoch" not in text_stats.columns or not isinstance(text_stats.index, pd.RangeIndex):
            raise ValueError("its first line does not name all columns")
        stats = pd.DataFrame({name: _numbers(text_stats[name]) for name in text_stats.columns})
    except ValueError as error:  # pandas' parser errors are ValueErrors
        problems.append(f"{experiment.STATS} is damaged ({_reason(error, path)})")
        return pd.DataFrame()
    lost = int((stats.isna() & text_stats.notna()).sum().sum())
    if lost:
        problems.append(f"{experiment.STATS} has values that are not numbers ({lost} of {stats.size})")
    return stats


def _numbers(column: pd.Series) -> pd.Series:
    """A column of stats.csv as times or numbers; NaT or NaN for what is neither."""
    if column.name == "timestamp":
        return pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    return column if pd.api.types.is_numeric_dtype(column) else pd.to_numeric(column, errors="coerce")


def _reason(error: Exception, path: Path) -> str:
    """The first line of a message, without the path, which the warning names already."""
    return (str(error).splitlines() or [type(error).__name__])[0].removeprefix(f"{path}: ").replace(f"{path}:", "line ")


# --- the frame ----------------------------------------------------------------------------------------


def _typed(name: str, values: list[Any], index: pd.Index) -> pd.Series:
    """A column with the narrowest type that holds its values; None is the missing value of that type."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {int} and isinstance(config.DEFAULTS.get(name), float):
        kinds = {float}
    dtype = "object"
    if kinds == {bool}:
        dtype = "boolean" if len(present) < len(values) else "bool"
    elif kinds <= {int, float} and any(abs(value) >= 2**63 for value in present if isinstance(value, int)):
        pass  # too large for numpy's integers, and not exact as floats
    elif kinds in ({float}, {int, float}):
        dtype = "float64"
    elif kinds == {int}:
        dtype = "Int64" if len(present) < len(values) else "int64"
    elif kinds == {str}:
        dtype = "str"
    return pd.Series(values, index, dtype=dtype)


def _cells(stats: list[pd.DataFrame], names: list[str], index_field: str) -> dict[str, np.ndarray]:
    """Column name -> one Series for each experiment."""
    cells = {name: np.empty(len(stats), dtype=object) for name in names}
    for row, frame in enumerate(stats):
        if index_field in frame.columns:  # without damaged lines, which have no index
            indexed = frame[frame[index_field].notna()].set_index(index_field, drop=False)
        else:
            indexed = pd.DataFrame()
        for name in names:
            if name in indexed.columns:
                cells[name][row] = indexed[name]
            else:
                cells[name][row] = pd.Series([], pd.Index([], name=index_field), dtype=float, name=name)
    return cells
