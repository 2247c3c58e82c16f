"""The figures that the notebook and report.py share, drawn from big_df (src/results.py).

They are matplotlib Figures made without pyplot: they need no display, and change neither the calling program's
backend nor its open figures. Save one with `figure.savefig("curves.png", dpi=150)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from src.results import final, larger_is_better, stats_columns, varying

MAX_PANELS_ACROSS = 4
MAX_IN_LEGEND = 10  # more numbers are shown by a colour bar
NUMBERS = ListedColormap(colormaps["viridis"](np.linspace(0, 0.9, 256)))  # its brightest end is hard to see on white
WORDS = colormaps["tab10"]


def main_axes(big_df: pd.DataFrame) -> tuple[str | None, str | None]:
    """A choice of (hue, facet_by): the learning rate, or else the first axis, as colours; a short axis as facets."""
    axes = varying(big_df)
    hue = "base_lr" if "base_lr" in axes else next(iter(axes), None)
    # words before numbers: a panel a model is clearer than a panel a batch size
    others = sorted((name for name in axes if name != hue), key=lambda name: bool(_is_number(pd.Series(big_df[name]))))
    return hue, next((name for name in others if len(_values(big_df[name])) <= MAX_PANELS_ACROSS), None)


def learning_curves(
    big_df: pd.DataFrame, columns: Iterable[str], hue: str | None = None, facet_by: str | None = None
) -> Figure:
    """A line for each experiment in each stats column of `columns`, coloured by the config column `hue`.

    With `facet_by`, each value of that column has its own panel. The limits of the y axis exclude outliers; a
    note counts the curves that are out of view. Raises ValueError for unknown columns.
    """
    columns = list(columns)
    _require(list(big_df.columns), hue, facet_by)
    _require(stats_columns(big_df), *columns)
    colours = _Colours(big_df, hue)
    parts = _parts(big_df, facet_by)
    figure, panels = _panels(len(columns) * len(parts), across=len(parts) if facet_by else len(columns))
    width, alpha = (1.5, 0.9) if len(big_df) <= 24 else (0.9, 0.7)

    free = iter(panels)
    for column in columns:
        scale, limits = _scale_and_limits(big_df[column])
        for facet, part in parts:
            axes = next(free)
            for series, value in zip(part[column], part[hue] if hue else [None] * len(part), strict=True):
                marker = "o" if len(series) == 1 else None  # a line of one point cannot be seen
                axes.plot(series.index, series, color=colours.of(value), lw=width, alpha=alpha, marker=marker, ms=4)
            axes.set(yscale=scale, ylim=limits, ylabel=column)
            index_field = next((series.index.name for series in part[column]), None)
            axes.set_xlabel(str(index_field or ""))
            if index_field in ("epoch", "step"):
                axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
            elif index_field == "timestamp":
                axes.tick_params(axis="x", labelrotation=30)
            if facet_by:
                axes.set_title(f"{facet_by} = {_text(facet)}", fontsize=10)
            _note(axes, sum(1 for series in part[column] if len(series) and not series.between(*limits).any()))
    colours.explain(figure, panels)
    return figure


def final_against(big_df: pd.DataFrame, metric: str, parameter: str = "base_lr", hue: str | None = None) -> Figure:
    """The last value of the stats column `metric` against a config column, a line for each value of `hue`.

    A dot is an experiment, a line goes through the means, a star marks the best experiment. The parameter's
    axis is logarithmic if its values are positive and span a factor of ten. Raises ValueError for unknown columns.
    """
    _require(list(big_df.columns), parameter, hue)
    colours = _Colours(big_df, hue)
    y = final(big_df, metric).astype(float)
    words = [] if _is_number(big_df[parameter]) else [_key(value) for value in _values(big_df[parameter])]
    x = big_df[parameter].map(lambda value: words.index(_key(value)) if words else value).astype(float)
    shown = big_df.assign(x=x, y=y).loc[np.isfinite(x) & np.isfinite(y)]
    scale, limits = _scale_and_limits([shown["y"]])

    figure, (axes,) = _panels(1, across=1, size=(6.4, 4.2))
    for value, part in _parts(shown, hue):
        means = part.groupby("x")["y"].mean()
        axes.plot(part["x"], part["y"], "o", color=colours.of(value), ms=5, alpha=0.6, mew=0)
        axes.plot(means.index, means, "-", color=colours.of(value), lw=1.6)
    if len(shown):
        best = shown.iloc[(shown["y"] if larger_is_better(big_df, metric) else -shown["y"]).to_numpy().argmax()]
        axes.plot(best["x"], best["y"], "*", ms=16, color="gold", mec="black", zorder=5)
        at = ", ".join(f"{name} = {_text(best[name])}" for name in (parameter, hue) if name)
        axes.set_title(f"best: {best['y']:.4g} at {at}", fontsize=10)
    axes.set(yscale=scale, ylim=limits, xlabel=parameter, ylabel=f"final {metric}")
    if words:
        axes.set_xticks(range(len(words)), [_text(word) for word in words], rotation=20, ha="right")
    elif _spans_decades(shown["x"]):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        values = sorted(set(shown["x"]))
        if len(values) <= MAX_IN_LEGEND:  # the values themselves are clearer than powers of ten
            axes.set_xticks(values, [_text(value) for value in values])
    _note(axes, len(big_df) - int(shown["y"].between(*limits).sum()))
    colours.explain(figure, [axes])
    return figure


class _Colours:
    """The colour of each value of the column `hue`, and the legend or colour bar that explains them."""

    def __init__(self, big_df: pd.DataFrame, hue: str | None) -> None:
        self.hue = hue
        self.values = _values(big_df[hue]) if hue else []
        self.bar: ScalarMappable | None = None
        if hue and _is_number(big_df[hue]) and np.isfinite(big_df[hue].astype(float)).any():
            numbers = big_df[hue].dropna().astype(float)
            numbers = numbers[np.isfinite(numbers)]
            norm = LogNorm if _spans_decades(numbers) else Normalize
            self.bar = ScalarMappable(norm(numbers.min(), numbers.max()), NUMBERS)

    def of(self, value: Any) -> Any:
        if self.hue is None:
            return "tab:blue"
        if self.bar is not None:
            return "0.6" if pd.isna(value) else self.bar.to_rgba(np.array([float(value)]))[0]
        return WORDS([_key(value) for value in self.values].index(_key(value)) % WORDS.N)

    def explain(self, figure: Figure, panels: list[Axes]) -> None:
        if self.bar is not None and len(self.values) > MAX_IN_LEGEND:
            figure.colorbar(self.bar, ax=panels, label=self.hue, pad=0.02, aspect=30)
        elif self.values:
            shown = self.values[: 2 * MAX_IN_LEGEND]
            handles = [Line2D([], [], color=self.of(value), lw=2, label=_text(value)) for value in shown]
            if len(shown) < len(self.values):
                handles.append(Line2D([], [], lw=0, label=f"and {len(self.values) - len(shown)} more"))
            width, height = figure.get_size_inches()
            figure.set_size_inches(width, max(height, 0.25 * len(handles) + 0.5))  # or the legend would be cut
            figure.legend(handles=handles, title=self.hue, loc="outside right upper", frameon=False)


# --- panels and limits --------------------------------------------------------------------------------


def _panels(count: int, across: int, size: tuple[float, float] = (4.2, 3.0)) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each of `size` inches."""
    across = max(1, min(across, MAX_PANELS_ACROSS))
    rows = math.ceil(count / across)
    figure = Figure(figsize=(size[0] * across + 1.4, size[1] * rows))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    panels = [figure.add_subplot(rows, across, place + 1) for place in range(count)]
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _scale_and_limits(curves: Iterable[pd.Series]) -> tuple[str, tuple[float, float]]:
    """A y axis that one bad run does not stretch: values beyond Tukey's outer fences may be out of view.

    The scale is logarithmic if the values are positive and their middle 80% span a factor of 30.
    """
    pooled = np.concatenate([np.empty(0), *(np.asarray(curve, dtype=float) for curve in curves)])
    pooled = pooled[np.isfinite(pooled)]
    if not len(pooled):
        return "linear", (0.0, 1.0)
    low, high = np.quantile(pooled, [0.1, 0.9])
    scale = "log" if pooled.min() > 0 and high > 30 * low else "linear"
    if scale == "log":
        pooled = np.log(pooled)
    lower, upper = np.quantile(pooled, [0.25, 0.75])
    fence = 3 * (upper - lower) or np.inf  # half of the values are equal: the spread is unknown
    bottom, top = max(pooled.min(), lower - fence), min(pooled.max(), upper + fence)
    margin = 0.05 * (top - bottom) or 0.05 * abs(top) or 0.05
    limits = np.array([bottom - margin, top + margin])
    bottom, top = np.exp(limits) if scale == "log" else limits
    return scale, (float(bottom), float(top))


def _note(axes: Axes, not_shown: int) -> None:
    """Show how many experiments have no line or dot within the limits, so that no experiment is missing unnoticed."""
    if not_shown:
        text = f"{not_shown} not shown"
        axes.text(0.99, 0.99, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color="0.4")


# --- values of config columns -------------------------------------------------------------------------


def _require(there: list[str], *names: str | None) -> None:
    for name in names:
        if name is not None and name not in there:
            raise ValueError(f"there is no column {name!r} to draw; there are: {', '.join(there)}")


def _parts(big_df: pd.DataFrame, column: str | None) -> list[tuple[Any, pd.DataFrame]]:
    """(value, its rows) for each distinct value of a column; without a column, (None, all rows)."""
    if column is None:
        return [(None, big_df)]
    keys = big_df[column].map(_key)
    return [(value, big_df.loc[keys == _key(value)]) for value in _values(big_df[column])]


def _values(column: pd.Series) -> list[Any]:
    """The distinct values: numbers sorted, other values in order of appearance, a missing value last."""
    numbers = _is_number(column)
    distinct = {_key(value): value for value in column}
    return sorted(distinct.values(), key=lambda value: (_key(value) == "null", value if numbers else 0))


def _key(value: Any) -> str:
    """A value as text, because a missing value, lists and dictionaries cannot be compared."""
    return "null" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)


def _text(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) and not math.isnan(value) else _key(value)
    return text if len(text) <= 28 else text[:25] + "..."


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _spans_decades(values: pd.Series) -> bool:
    return len(values) > 0 and values.min() > 0 and values.max() >= 10 * values.min()
