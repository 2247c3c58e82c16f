"""What became of a job: python report.py JOB_FOLDER...

Prints how many experiments are in which state, what runs and waits, why some failed and what these have in
common, and a table with the best experiment first; draws the learning curves into
<JOB_FOLDER>/learning_curves.png. Changes nothing else. States come from the folders, reconciled with SLURM's queue.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import src.installed  # noqa: F401  # isort: skip
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_scalar

from src import files
from src.jobs.overview import WIDTH, overview
from src.jobs.states import ACTIVE, Outcomes, read_outcomes
from src.jobs.text import shorten
from src.results import (
    final,
    find_experiments,
    larger_is_better,
    metrics,
    read_experiments,
    stats_columns,
    varying,
)

CURVES = "learning_curves.png"
MAX_ROWS = 30
MAX_CELL = 24


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0; 2 if a folder is not a job's."""
    parser = argparse.ArgumentParser(description="Show what became of a job's experiments, and draw their curves.")
    parser.add_argument("jobs", nargs="+", metavar="JOB_FOLDER", type=Path, help="folder that submit_multiple.py made")
    parser.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=30,
        metavar="SECONDS",
        help="repeat the overview every SECONDS (default: 30) until nothing runs or waits; without the table and the curves",
    )
    options = parser.parse_args(arguments)
    if options.watch is not None and options.watch < 1:
        parser.error("--watch must be at least 1 second")
    return _watch(options.jobs, options.watch) if options.watch is not None else _report(options.jobs)


def _report(jobs: list[Path]) -> int:
    exit_code = 0
    for job in jobs:
        try:
            outcomes = read_outcomes(find_experiments([job]))
            print("\n".join([*overview(job, outcomes), ""]), flush=True)
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                big_df = with_states(read_experiments(job), outcomes)
        except ValueError as error:
            print(f"report.py: {error}", file=sys.stderr)
            exit_code = 2
            continue
        for warning in caught:
            print(f"warning: {warning.message}", file=sys.stderr)
        print("\n".join([*table(big_df), ""]), flush=True)
        print(draw(job, big_df) + "\n")
    return exit_code


def _watch(jobs: list[Path], seconds: float) -> int:
    """Shows the overview again and again, until nothing runs or waits, or until Ctrl-C."""
    try:
        while True:
            outcomes = {job: read_outcomes(find_experiments([job])) for job in jobs}
            lines = [line for job, found in outcomes.items() for line in (*overview(job, found), "")]
            clear = "\033[H\033[2J" if sys.stdout.isatty() else ""
            print(clear + "\n".join([f"{datetime.now():%H:%M:%S}", *lines]), flush=True)
            if not any(found.of(*ACTIVE) for found in outcomes.values()):
                return 0
            time.sleep(seconds)
    except ValueError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def with_states(big_df: pd.DataFrame, outcomes: Outcomes) -> pd.DataFrame:
    """big_df with the `status` after SLURM and the heartbeats, instead of the last one that each experiment wrote."""
    states = {str(outcome.folder): str(outcome.state) for outcome in outcomes.all}
    return big_df.assign(
        status=[states.get(path, status) for path, status in zip(big_df.index, big_df["status"], strict=True)]
    )


def table(big_df: pd.DataFrame) -> list[str]:
    """A line an experiment, best first: its number, the options that vary, its state and epochs, its final metrics."""
    judged_by = metrics(big_df)
    if judged_by:
        best_first = final(big_df, judged_by[0]).sort_values(
            ascending=not larger_is_better(big_df, judged_by[0]), kind="stable"
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
        lines.append(shorten(f"no room for: {', '.join(name for name in columns if name not in shown)}", WIDTH))
    return lines


def draw(job: Path, big_df: pd.DataFrame) -> str:
    """Draws the learning curves into the job's folder; returns a sentence that says where they are, or why not."""
    columns = metrics(big_df)
    if not columns or not any(len(series) for series in big_df["epoch"]):
        return "No epoch has ended yet: there are no curves to draw."
    from src.plots import learning_curves, main_axes  # here: importing matplotlib takes a while

    hue, facet_by = main_axes(big_df)
    shown = list(dict.fromkeys([*(name for name in columns if name == "train/loss"), columns[0]]))
    path = job / CURVES
    try:
        with files.replacing(path, durable=False) as temporary:
            learning_curves(big_df, shown, hue, facet_by).savefig(temporary, format="png", dpi=150)
    except OSError as error:
        return f"The learning curves cannot be written to {path}: {error.strerror}"
    return f"Learning curves: {path}"


def _fitting(widths: dict[str, int], first: list[str]) -> list[str]:
    """The columns that fit into a line: those in `first`, then the others from left to right."""
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
    return shorten(str(value), MAX_CELL)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `report.py ... | head` ends without an error
    sys.exit(main())
