"""The figures: what they show, and that they leave matplotlib's global state alone. How they look is seen by eye."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from matplotlib.figure import Figure
from results_helpers import make_experiment, make_job

from src.plots import final_against, learning_curves, main_axes
from src.results import read_experiments


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """12 experiments: 2 models x 3 learning rates x 2 batch sizes."""
    return read_experiments(make_job(tmp_path_factory.mktemp("job")))


def texts(figure: Figure) -> list[str]:
    """Everything that the figure says."""
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def drawn(figure: Figure, tmp_path: Path) -> Figure:
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    return figure


def test_every_experiment_has_a_line_in_the_panel_of_its_facet(grid: pd.DataFrame, tmp_path: Path) -> None:
    figure = drawn(learning_curves(grid, ["train/loss", "test/last/accuracy"], "base_lr", "model"), tmp_path)
    assert [axes.get_title() for axes in figure.axes] == ["model = linear", "model = tiny/lenet"] * 2
    assert [axes.get_ylabel() for axes in figure.axes] == ["train/loss"] * 2 + ["test/last/accuracy"] * 2
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    assert [len(axes.get_lines()) for axes in figure.axes] == [6, 6, 6, 6]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()  # panels of one column can be compared


def test_a_line_shows_the_figures_of_its_experiment(grid: pd.DataFrame) -> None:
    (axes,) = learning_curves(grid.iloc[:1], ["train/loss"]).axes
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), grid["train/loss"].iloc[0])
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])


def test_few_values_have_a_legend_and_a_colour_each(grid: pd.DataFrame) -> None:
    figure = learning_curves(grid, ["train/loss"], "base_lr")
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "base_lr"
    assert [text.get_text() for text in legend.get_texts()] == ["0.001", "0.01", "0.1"]
    assert len({tuple(line.get_color()) for line in figure.axes[0].get_lines()}) == 3


def test_many_numbers_have_a_colour_bar(tmp_path: Path) -> None:
    job = make_job(
        tmp_path / "job", {"base_lr": [10 ** (-i / 3) for i in range(18)], "batch_size": [1, 2, 4, 8, 16, 32]}
    )
    figure = drawn(learning_curves(read_experiments(job), ["train/loss"], "base_lr"), tmp_path)
    curves, bar = figure.axes
    assert len(curves.get_lines()) == 108
    assert bar.get_ylabel() == "base_lr" and bar.get_yscale() == "log"
    assert not figure.legends


def test_many_words_have_a_legend_that_ends(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", {"model": [f"timm/net{i}" for i in range(30)]})
    figure = drawn(learning_curves(read_experiments(job), ["train/loss"], "model"), tmp_path)
    assert "and 10 more" in texts(figure)


def test_one_bad_run_does_not_flatten_the_others_and_is_counted(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    make_experiment(job / "12_bad", {"base_lr": 0.1, "model": "linear"}, loss=1e6)
    (axes,) = learning_curves(read_experiments(job), ["train/loss"]).axes
    assert axes.get_ylim()[1] < 10
    assert "1 not shown" in [text.get_text() for text in axes.texts]


def test_losses_over_decades_have_a_logarithmic_axis(tmp_path: Path) -> None:
    for number in range(8):
        make_experiment(tmp_path / "job" / str(number), {}, epochs=20, loss=10.0 ** -(number % 4))
    (axes,) = learning_curves(read_experiments(tmp_path / "job"), ["train/loss"]).axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] > 0


def test_waiting_and_non_finite_experiments_can_be_drawn(tmp_path: Path) -> None:
    make_experiment(tmp_path / "job" / "0", {"base_lr": 1.0}, epochs=1)
    make_experiment(tmp_path / "job" / "1", {"base_lr": 2.0}, status="pending")
    make_experiment(tmp_path / "job" / "2", {"base_lr": 3.0}, status="diverged", loss=float("nan"))
    make_experiment(tmp_path / "job" / "3", {"base_lr": 4.0}, status="diverged", loss=float("inf"))
    big_df = read_experiments(tmp_path / "job")
    drawn(learning_curves(big_df, ["train/loss", "test/last/accuracy"], "base_lr"), tmp_path)
    drawn(learning_curves(big_df.iloc[1:2], ["train/loss"], "base_lr"), tmp_path)
    figure = drawn(final_against(big_df, "train/loss"), tmp_path)
    assert "3 not shown" in texts(figure)
    drawn(final_against(big_df.iloc[1:], "train/loss"), tmp_path)


@pytest.mark.parametrize("index_field", ["step", "timestamp"])
def test_curves_can_be_over_steps_and_time(tmp_path: Path, index_field: str) -> None:
    big_df = read_experiments(make_job(tmp_path / "job"), index_field=index_field)
    figure = drawn(learning_curves(big_df, ["train/loss"], "model"), tmp_path)
    assert figure.axes[0].get_xlabel() == index_field


def test_the_best_final_value_is_marked_and_each_hue_has_a_line_of_means(grid: pd.DataFrame, tmp_path: Path) -> None:
    figure = drawn(final_against(grid, "test/last/accuracy", hue="model"), tmp_path)
    (axes,) = figure.axes
    best = max(series.iloc[-1] for series in grid["test/last/accuracy"])
    (star,) = [line for line in axes.get_lines() if line.get_marker() == "*"]
    assert star.get_ydata()[0] == best
    assert f"{best:.4g}" in axes.get_title()
    assert axes.get_xscale() == "log"
    means = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    assert [list(line.get_xdata()) for line in means] == [[0.001, 0.01, 0.1]] * 2
    linear = grid[(grid["model"] == "linear") & (grid["base_lr"] == 0.01)]["test/last/accuracy"]
    assert means[0].get_ydata()[1] == pytest.approx(np.mean([series.iloc[-1] for series in linear]))


def test_the_best_loss_is_the_smallest(grid: pd.DataFrame) -> None:
    (axes,) = final_against(grid, "test/last/loss").axes
    (star,) = [line for line in axes.get_lines() if line.get_marker() == "*"]
    assert star.get_ydata()[0] == min(series.iloc[-1] for series in grid["test/last/loss"])


@pytest.mark.parametrize("parameter", ["model", "averaging", "data_splits_map", "early_stopping_patience", "multi_gpu"])
def test_any_option_can_be_axis_colour_and_facet(tmp_path: Path, parameter: str) -> None:
    values = {
        "model": ["linear", "tiny/lenet"],
        "averaging": [None, "poly_8"],
        "data_splits_map": [{"train": "train[:50%]"}, {"train": "train"}],
        "early_stopping_patience": [3, None],
        "multi_gpu": [True, False],
    }
    job = make_job(tmp_path / "job", {parameter: values[parameter], "base_lr": [0.1, 1.0]})
    big_df = read_experiments(job)
    drawn(final_against(big_df, "test/last/loss", parameter, "base_lr"), tmp_path)
    drawn(final_against(big_df, "test/last/loss", "base_lr", parameter), tmp_path)
    figure = drawn(learning_curves(big_df, ["train/loss"], parameter, parameter), tmp_path)
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 2]


def test_more_facets_than_fit_a_row_go_on_in_the_next(tmp_path: Path) -> None:
    big_df = read_experiments(make_job(tmp_path / "job", {"batch_size": [1, 2, 4, 8, 16, 32]}))
    figure = learning_curves(big_df, ["train/loss"], "batch_size", "batch_size")
    assert len(figure.axes) == 6
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2


def test_an_unknown_column_is_refused_with_what_there_is(grid: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"there is no column 'lr' to draw; there are: .*base_lr"):
        learning_curves(grid, ["train/loss"], hue="lr")
    with pytest.raises(ValueError, match=r"there is no column 'base_lr' to draw; there are: epoch, "):
        learning_curves(grid, ["base_lr"])
    with pytest.raises(ValueError, match=r"'test/accuracy' is not a column of stats.csv; there are: epoch, "):
        final_against(grid, "test/accuracy")


def test_main_axes_are_the_learning_rate_and_a_short_axis(grid: pd.DataFrame, tmp_path: Path) -> None:
    assert main_axes(grid) == ("base_lr", "model")
    assert main_axes(grid.iloc[:1]) == (None, None)
    big_df = read_experiments(make_job(tmp_path / "job", {"batch_size": [1, 2], "warmup_steps": list(range(9))}))
    assert main_axes(big_df) == ("batch_size", None)


def test_drawing_needs_no_display_and_leaves_pyplot_alone(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", {"base_lr": [0.1, 1.0]})
    code = f"""
import sys
from src.plots import final_against, learning_curves
from src.results import read_experiments
big_df = read_experiments({str(job)!r})
learning_curves(big_df, ["train/loss"], "base_lr").savefig({str(tmp_path / "a.png")!r})
final_against(big_df, "train/loss").savefig({str(tmp_path / "b.png")!r})
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
