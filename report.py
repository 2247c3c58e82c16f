"""What became of a job: python report.py JOB_FOLDER...

Prints how many experiments are in which state, why some failed, and a table with the best experiment
first; draws the learning curves into <JOB_FOLDER>/learning_curves.png. Changes nothing else.
"""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype, is_scalar

from src import experiment
from src.experiment import Status
from src.results import final, larger_is_better, metrics, read_experiments, stats_columns, varying

CURVES = "learning_curves.png"
WIDTH = 100  # characters of a line
MAX_ROWS = 30
MAX_CELL = 24


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0; 2 if a folder is no job."""
    parser = argparse.ArgumentParser(description="Say what became of a job's experiments, and draw their curves.")
    parser.add_argument("jobs", nargs="+", metavar="JOB_FOLDER", type=Path, help="folder that submit_multiple.py made")
    exit_code = 0
    for job in parser.parse_args(arguments).jobs:
        try:
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                big_df = read_experiments(job)
        except ValueError as error:
            print(f"report.py: {error}", file=sys.stderr)
            exit_code = 2
            continue
        for warning in caught:
            print(f"warning: {warning.message}", file=sys.stderr)
        print("\n".join([summary(job, big_df), *failures(big_df), "", *table(big_df), ""]), flush=True)
        print(draw(job, big_df) + "\n")
    return exit_code


def summary(job: Path, big_df: pd.DataFrame) -> str:
    """One line: how many experiments, and how many of them in each state."""
    counts = big_df["status"].value_counts()
    states = ", ".join(f"{counts[status]} {status}" for status in Status if status in counts)
    return f"{job}: {len(big_df)} experiment{'s' * (len(big_df) != 1)}: {states}"


def failures(big_df: pd.DataFrame) -> list[str]:
    """For each cause a line with its experiments, the most frequent first; what was stopped by a signal apart."""
    stopped: dict[str, list[str]] = defaultdict(list)
    failed: dict[str, list[str]] = defaultdict(list)
    for path in big_df.index[big_df["status"].isin([Status.FAILED, Status.DIVERGED])]:
        cause = str(experiment.read_state(Path(path)).get("cause") or "no cause given").strip()
        by_cause = stopped if cause.startswith("stopped by") else failed
        by_cause[cause.splitlines()[-1]].append(Path(path).name)
    return [*_causes("What failed, by cause:", failed), *_causes("What was stopped; -r goes on with it:", stopped)]


def _causes(title: str, by_cause: dict[str, list[str]]) -> list[str]:
    lines = []
    for cause, names in sorted(by_cause.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines += [f"  {len(names)} x {_shorten(cause, WIDTH - 8)}", *(f"      {name}" for name in names[:3])]
        lines += [f"     {more}"] if more else []
    return ["", title, *lines] if lines else []


def table(big_df: pd.DataFrame) -> list[str]:
    """A line an experiment, the best first: its number, what varies, its state and epochs, its final metrics."""
    judged_by = metrics(big_df)
    if judged_by:
        best_first = final(big_df, judged_by[0]).sort_values(
            ascending=not larger_is_better(judged_by[0]), kind="stable"
        )
        big_df = big_df.loc[best_first.index]
    columns: dict[str, pd.Series] = {"#": pd.Series([Path(path).name.partition("_")[0] for path in big_df.index])}
    columns |= {name: big_df[name] for name in [*varying(big_df), "status"]}
    if "epoch" in stats_columns(big_df):
        columns["epochs"] = final(big_df, "epoch").fillna(0).astype(int)
    columns |= {name: final(big_df, name) for name in judged_by}

    texts = {
        name: [name, *(_cell(value, name in judged_by) for value in column.iloc[:MAX_ROWS])]
        for name, column in columns.items()
    }
    widths = {name: max(map(len, cells)) for name, cells in texts.items()}
    shown = _fitting(widths, first=["#", *varying(big_df), "status", *judged_by[:1]])
    aligned = [
        [
            cell.rjust(widths[name]) if is_numeric_dtype(columns[name]) else cell.ljust(widths[name])
            for cell in texts[name]
        ]
        for name in shown
    ]
    lines = ["  ".join(row).rstrip() for row in zip(*aligned, strict=True)]
    if len(big_df) > MAX_ROWS:
        lines.append(f"... and {len(big_df) - MAX_ROWS} more")
    if len(shown) < len(columns):
        lines.append(_shorten(f"no room for: {', '.join(name for name in columns if name not in shown)}", WIDTH))
    return lines


def draw(job: Path, big_df: pd.DataFrame) -> str:
    """Draws the learning curves into the job's folder; a sentence that says where they are, or why not."""
    columns = metrics(big_df)
    if not columns or not any(len(series) for series in big_df["epoch"]):
        return "No epoch has ended yet: there are no curves to draw."
    from src.plots import learning_curves, main_axes  # matplotlib takes a while

    hue, facet_by = main_axes(big_df)
    shown = list(dict.fromkeys([*(name for name in columns if name == "train/loss"), columns[0]]))
    path = job / CURVES
    try:
        with experiment.replacing(path, durable=False) as temporary:
            learning_curves(big_df, shown, hue, facet_by).savefig(temporary, format="png", dpi=150)
    except OSError as error:
        return f"The learning curves cannot be written to {path}: {error.strerror}"
    return f"Learning curves: {path}"


def _fitting(widths: dict[str, int], first: list[str]) -> list[str]:
    """The columns that fit a line: those named in `first`, then from left to right."""
    room, fitting = WIDTH, set()
    for name in sorted(widths, key=lambda name: name not in first):
        if widths[name] <= room:
            fitting.add(name)
            room -= widths[name] + 2
    return [name for name in widths if name in fitting]


def _cell(value: Any, is_metric: bool) -> str:
    if value is None or (is_scalar(value) and pd.isna(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if is_metric and abs(value) < 1000 else f"{value:.4g}"
    return _shorten(str(value), MAX_CELL)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `report.py ... | head` ends quietly
    sys.exit(main())
