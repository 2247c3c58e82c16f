"""experiment_generator, as other programs use it."""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import stats_without_clock
from loguru import logger as loguru_logger

from src import yaml_io
from src.config import Config, ConfigError
from src.experiment import Diverged, Status, read_state, status
from train import experiment_generator

Make = Callable[..., Config]


def run(config: Config) -> pd.DataFrame:
    """The stats after the last epoch."""
    for stats, _ in experiment_generator(config):
        last = stats
    return last


def folder(config: Config) -> Path:
    return Path(str(config.output_dir))


def test_a_run_leaves_a_row_an_epoch_its_config_and_done(small: Make) -> None:
    config = small(averaging="poly_0")
    stats = run(config)
    assert list(stats["epoch"]) == [1, 2, 3]
    assert list(stats["step"]) == [8, 16, 24]  # 120 samples in batches of 16: seven whole ones and a half
    assert list(stats["train/seen_examples"]) == [120, 240, 360]
    pd.testing.assert_frame_equal(stats, pd.read_csv(folder(config) / "stats.csv"), check_dtype=False)
    assert {"test/last/accuracy", "test/av/loss", "train/grad_norm", "train/data_time"} <= set(stats.columns)
    assert status(folder(config)) == Status.DONE
    record = yaml_io.read(folder(config) / "config.yaml").data
    assert (record["data_n_examples"], record["data_n_classes"], record["batch_size_accum"]) == (120, 3, 16)
    assert record["model_input_shape"] == [4] and record["package_versions"]["torch"] == torch.__version__


def test_each_epoch_is_on_disk_before_the_caller_sees_it(small: Make) -> None:
    config = small()
    for stats, _ in experiment_generator(config):
        assert len(pd.read_csv(folder(config) / "stats.csv")) == len(stats)
        assert (folder(config) / "checkpoint.pt").exists()


def test_training_learns(small: Make) -> None:
    stats = run(small(train_length=20))
    assert stats["train/loss"].iloc[-1] < 0.5 * stats["train/loss"].iloc[0]
    assert stats["test/last/accuracy"].iloc[-1] > 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "model": "tiny/lenet",
            "dataset": "sklearn/digits",
            "averaging": "ema_0.9",
            "optim_alg": "adamw",
            "base_lr": 0.01,
        },
        {
            "averaging": "poly_8",
            "grad_accum_steps": 3,
            "steps_per_epoch": 5,
            "lr_schedule": "cosine",
            "warmup_steps": 4,
        },
    ],
)
def test_the_same_config_gives_the_same_bytes(small: Make, tmp_path: Path, changes: dict[str, object]) -> None:
    for name in ("a", "b"):
        run(small(output_dir=str(tmp_path / name), **changes))
    assert stats_without_clock(tmp_path / "a") == stats_without_clock(tmp_path / "b")


def test_other_seeds_give_other_numbers(small: Make, tmp_path: Path) -> None:
    losses = [
        run(small(output_dir=str(tmp_path / f"{model}{training}"), seed_model=model, seed_training=training))[
            "train/loss"
        ]
        for model, training in [(1, 2), (1, 3), (4, 2)]
    ]
    assert len({tuple(loss) for loss in losses}) == 3


def test_a_null_seed_is_drawn_and_its_config_yaml_repeats_the_run(small: Make, tmp_path: Path) -> None:
    from src import config as config_module

    run(small(seed_model=None, seed_training=None, output_dir=str(tmp_path / "first")))
    again = config_module.load(tmp_path / "first" / "config.yaml", [f"output_dir={tmp_path / 'again'}"])
    run(again)
    assert stats_without_clock(tmp_path / "first") == stats_without_clock(tmp_path / "again")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps_per_epoch": 5, "grad_accum_steps": 2, "averaging": "poly_8"},
        {"averaging": "ema_0.9", "averaging_buffers": "recompute", "model": "tiny/resnet_8", "dataset": "sklearn/digits",
         "steps_per_epoch": 4, "data_splits_map": {"train": "train[:10%]", "test": "train[90%:]"}},
        {"early_stopping_patience": 1, "save_best_checkpoint": True, "train_length": 6, "base_lr": 2.0},
    ],
)  # fmt: skip
def test_a_run_stopped_at_any_step_ends_with_the_same_bytes(
    small: Make, tmp_path: Path, changes: dict[str, object]
) -> None:
    run(small(output_dir=str(tmp_path / "whole"), **changes))
    config = small(output_dir=str(tmp_path / "parts"), log_interval=1, **changes)
    n_stops = 0
    for stop_after in (1, 4, 7, 3, 6):
        # a signal that comes while a step runs: the loop sees it at the step's edge
        with stopping_after(stop_after):
            try:
                run(config)
                break
            except KeyboardInterrupt:
                n_stops += 1
                assert status(folder(config)) == Status.FAILED
                assert not (folder(config) / "done").exists()
    if status(folder(config)) != Status.DONE:
        run(config)
    assert n_stops >= 2
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "parts")


class stopping_after:  # noqa: N801 - reads as a sentence
    """Within its block the process gets a stop signal, or several, in the middle of the n-th training step."""

    def __init__(self, n: int, times: int = 1) -> None:
        self.n, self.times = n, times

    def __enter__(self) -> None:
        from src.training import step as step_module

        self.original = torch.nn.utils.get_total_norm
        count = 0

        def counting(*arguments: object, **options: object) -> torch.Tensor:
            nonlocal count
            count += 1
            if count == self.n:
                for _ in range(self.times):
                    signal.raise_signal(signal.SIGINT)
            return self.original(*arguments, **options)  # type: ignore[arg-type]

        step_module.torch.nn.utils.get_total_norm = counting  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        torch.nn.utils.get_total_norm = self.original


def test_breaking_out_of_the_loop_leaves_a_run_that_goes_on(small: Make, tmp_path: Path) -> None:
    run(small(output_dir=str(tmp_path / "whole")))
    config = small(output_dir=str(tmp_path / "parts"), checkpoint_every_seconds=1000)
    for _ in experiment_generator(config):
        break
    assert status(folder(config)) == Status.ENDED
    assert read_state(folder(config))["cause"] == "closed by the calling program"
    steps = [int(stats["step"].iloc[-1]) for stats, _ in experiment_generator(config)]
    assert steps == [16, 24]
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "parts")


def test_a_run_that_ended_but_could_not_say_so_is_done_without_another_step(small: Make) -> None:
    config = small()
    run(config)
    (folder(config) / "done").unlink()  # as if the process had been killed just before it was written
    stats = (folder(config) / "stats.csv").read_bytes()
    assert list(experiment_generator(config)) == []
    assert status(folder(config)) == Status.DONE and (folder(config) / "stats.csv").read_bytes() == stats


def test_a_second_signal_ends_it_at_once_and_saves_no_half_step(small: Make) -> None:
    config = small(log_interval=1)
    for _ in experiment_generator(config):
        break
    before = (folder(config) / "checkpoint.pt").read_bytes()
    with stopping_after(2, times=2), pytest.raises(KeyboardInterrupt) as caught:
        run(config)
    assert type(caught.value) is KeyboardInterrupt
    assert (folder(config) / "checkpoint.pt").read_bytes() == before


def test_a_folder_that_another_process_runs_in_is_refused(small: Make) -> None:
    from src.experiment import write_state
    from src.processes import process_start

    config = small()
    for _ in experiment_generator(config):
        break
    parent = os.getppid()  # alive, and not us
    running = {"status": "running", "pid": parent, "process_start": process_start(parent)}
    write_state(folder(config), read_state(folder(config)) | running)
    with pytest.raises(ValueError, match=f"being run already, by process {parent}"):
        run(config)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"model_output_dim": 2}, "less than the 3 classes"),
    ({"model_output_dim": 2, "dataset": "sklearn/diabetes", "loss": "mse"}, "needs 1 output"),
    ({"dataset": "sklearn/diabetes"}, "is for classification"),
])  # fmt: skip
def test_outputs_that_do_not_fit_the_targets_are_refused(
    small: Make, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(small(**changes))


def test_a_config_that_a_program_made_is_checked_as_well(small: Make) -> None:
    config = dataclasses.replace(small(), optim_alg="sdg", batch_size=0)
    with pytest.raises(ValueError, match=r"batch_size must be at least 1(.|\n)*did you mean 'sgd'"):
        run(config)


def test_a_changed_config_is_not_mixed_with_an_older_checkpoint(small: Make) -> None:
    run(small(train_length=1))
    (folder(small()) / "done").unlink()
    with pytest.raises(ValueError, match=r"base_lr: 0.1 -> 0.2.*resume=never"):
        run(small(train_length=1, base_lr=0.2))
    assert len(run(small(base_lr=0.2, resume="never"))) == 3


def test_a_damaged_checkpoint_is_named_and_nothing_is_lost(small: Make) -> None:
    config = small()
    for _ in experiment_generator(config):
        break
    stats = (folder(config) / "stats.csv").read_bytes()
    path = folder(config) / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoint.pt is damaged"):
        run(config)
    assert (folder(config) / "stats.csv").read_bytes() == stats


# --- what the importing program owns is left alone --------------------------------------------------------


def test_the_importing_programs_random_numbers_are_its_own(small: Make) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(0), np.random.seed(0), torch.manual_seed(0)

    seed()
    expected = [draw() for _ in range(4)]
    seed()
    drawn = [draw() for _ in experiment_generator(small())]
    assert [*drawn, draw()] == expected


def test_what_the_importing_program_draws_changes_no_number(small: Make, tmp_path: Path) -> None:
    dropout = {"model": "python/tests_dropout_model:build"}
    (tmp_path / "tests_dropout_model.py").write_text(
        "from torch import nn\n"
        "def build(num_classes, input_shape):\n"
        "    return nn.Sequential(nn.Dropout(0.5), nn.Linear(input_shape[0], num_classes))\n"
    )
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        run(small(output_dir=str(tmp_path / "quiet"), **dropout))
        for _ in experiment_generator(small(output_dir=str(tmp_path / "noisy"), **dropout)):
            torch.rand(5), np.random.rand(5), random.random()
    finally:
        sys.path.remove(str(tmp_path))
    assert stats_without_clock(tmp_path / "quiet") == stats_without_clock(tmp_path / "noisy")


def test_threads_handlers_and_kernels_are_given_back(small: Make) -> None:
    def settings() -> list[object]:
        signals = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]
        return [*signals, torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()]

    before = settings()
    for _ in experiment_generator(small()):
        assert torch.get_num_threads() == before[4]  # between two epochs too
    assert settings() == before
    with pytest.raises(ValueError):
        run(small(output_dir=str(Path(str(small().output_dir)).parent / "x"), model_input_shape=[7]))
    assert settings() == before


def test_two_experiments_in_one_process_write_logs_of_their_own(small: Make, tmp_path: Path) -> None:
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    first, second = (experiment_generator(small(output_dir=str(tmp_path / name))) for name in ("a", "b"))
    next(first), next(second)  # both at once
    list(first), list(second)
    assert signal.getsignal(signal.SIGINT) == on_ctrl_c
    for name in ("a", "b"):
        text = (tmp_path / name / "training.log").read_text()
        assert text.count("epoch 1 over") == 1 and text.count("epoch 3 over") == 1


def test_the_importing_programs_loguru_sinks_are_left_alone(small: Make) -> None:
    lines: list[str] = []
    sink = loguru_logger.add(lambda message: lines.append(message.record["message"]), format="{message}")
    try:
        loguru_logger.info("before")
        run(small())
        loguru_logger.info("after")
    finally:
        loguru_logger.remove(sink)  # raises if somebody else has removed it
    assert lines == ["before", "after"]


def test_a_caller_that_puts_the_model_into_evaluation_mode_changes_no_number(small: Make, tmp_path: Path) -> None:
    options = {"model": "tiny/resnet_8", "dataset": "sklearn/digits", "steps_per_epoch": 2, "train_length": 2}
    options["data_splits_map"] = {"train": "train[:10%]", "test": "train[90%:]"}
    run(small(output_dir=str(tmp_path / "quiet"), **options))
    for _, model in experiment_generator(small(output_dir=str(tmp_path / "noisy"), **options)):
        model.eval()
    assert stats_without_clock(tmp_path / "quiet") == stats_without_clock(tmp_path / "noisy")


def test_ctrl_c_in_the_callers_code_between_two_epochs_reaches_the_caller(small: Make) -> None:
    config = small()
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        for _ in experiment_generator(config):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT] * 3 and status(folder(config)) == Status.DONE
    with pytest.raises(KeyboardInterrupt) as caught:
        for _ in experiment_generator(small(resume="never")):
            signal.raise_signal(signal.SIGINT)
    assert type(caught.value) is KeyboardInterrupt


def test_a_run_beside_one_of_another_thread_is_rejected(small: Make, tmp_path: Path) -> None:
    first = experiment_generator(small(output_dir=str(tmp_path / "first")))
    next(first)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, small(output_dir=str(tmp_path / "other")))
        with pytest.raises(ValueError, match="another thread of this program"):
            other.result()
        with pytest.raises(ValueError, match="another thread of this program"):
            pool.submit(next, first).result()
    run(small(output_dir=str(tmp_path / "first")))  # it can be resumed
    run(small(output_dir=str(tmp_path / "alone")))
    assert stats_without_clock(tmp_path / "first") == stats_without_clock(tmp_path / "alone")


def test_a_run_may_be_in_any_one_thread(small: Make, tmp_path: Path) -> None:
    run(small(output_dir=str(tmp_path / "main")))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run, small(output_dir=str(tmp_path / "thread"))).result()
    assert stats_without_clock(tmp_path / "main") == stats_without_clock(tmp_path / "thread")


# --- corner cases -------------------------------------------------------------------------------------------


def test_an_integer_where_a_number_is_expected(small: Make) -> None:
    assert run(small(base_lr=1, momentum=0))["train/learning_rate"].iloc[-1] == 1.0


def test_eval_batch_size_changes_no_figure_and_null_is_a_size(small: Make, tmp_path: Path) -> None:
    tables = [
        run(small(output_dir=str(tmp_path / str(size)), eval_batch_size=size)).filter(regex="test/last/(loss|accuracy)")
        for size in (None, 7, 1000)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


def test_mse_on_regression_has_a_loss_and_no_accuracy(small: Make) -> None:
    stats = run(small(dataset="sklearn/diabetes", loss="mse", base_lr=0.01, momentum=0, train_length=20))
    assert not stats.filter(like="accuracy").columns.any()
    # the variance of the targets is about 5,900: a linear model must explain a part of it
    assert stats["test/last/loss"].iloc[-1] < 4500


def test_mse_on_classes_uses_one_hot_targets(small: Make) -> None:
    stats = run(small(loss="square", model_head_init="zero", base_lr=0.0, train_length=1))
    assert stats["test/last/loss"].iloc[0] == pytest.approx(1 / 3)  # outputs 0 against one 1 among three


def test_a_batch_larger_than_the_data_is_all_of_it(small: Make) -> None:
    stats = run(small(batch_size=1000, train_length=2))
    assert list(stats["step"]) == [1, 2] and list(stats["train/seen_examples"]) == [120, 240]


def test_a_run_shorter_than_an_epoch_has_one_row(small: Make, tmp_path: Path) -> None:
    stats = run(small(train_length=3, train_length_unit="step"))
    assert list(stats["epoch"]) == [1] and list(stats["step"]) == [3]
    stats = run(small(output_dir=str(tmp_path / "samples"), train_length=40, train_length_unit="sample"))
    assert list(stats["step"]) == [3]  # 40 samples are two and a half batches of 16


def test_a_run_of_length_zero_evaluates_the_initial_model(small: Make) -> None:
    stats = run(small(train_length=0, model_head_init="zero"))
    assert list(stats["epoch"]) == [0] and stats["test/last/loss"].iloc[0] == pytest.approx(np.log(3))
    assert stats["train/loss"].isna().all()


@pytest.mark.parametrize("loss", ["log", "mse"])
def test_accumulation_leaves_the_training_as_it_is(small: Make, tmp_path: Path, loss: str) -> None:
    # 120 samples in batches of 50: the last batch of a pass has 20, cut into 17 and 3
    figures = [
        run(
            small(
                output_dir=str(tmp_path / str(parts)),
                batch_size=50,
                grad_accum_steps=parts,
                steps_per_epoch=2,
                loss=loss,
            )
        )
        for parts in (1, 3)
    ]
    for column in ("train/loss", "train/grad_norm", "test/last/loss", "train/seen_examples"):
        np.testing.assert_allclose(figures[0][column], figures[1][column], rtol=1e-5)


def test_samples_per_epoch_counts_in_whole_batches(small: Make) -> None:
    assert list(run(small(samples_per_epoch=100, batch_size=32))["step"]) == [4, 8, 12]


def test_early_stopping_ends_the_run_as_done(small: Make) -> None:
    config = small(train_length=50, base_lr=0.0, early_stopping_patience=2)
    stats = run(config)
    assert list(stats["epoch"]) == [1, 2, 3]  # the first is the best, and two more are not better
    assert status(folder(config)) == Status.DONE


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("test/last/loss", "min"), ("test/last/accuracy", "max"), ("test/last/loss", None), ("test/last/accuracy", None)],
)
def test_the_best_checkpoint_follows_the_metric_in_its_direction(small: Make, metric: str, mode: str | None) -> None:
    config = small(
        train_length=8, base_lr=3.0, save_best_checkpoint=True, best_checkpoint_metric=metric, best_checkpoint_mode=mode
    )
    stats = run(config)
    kept = torch.load(folder(config) / "best_checkpoint.pt", weights_only=True)
    values = stats[metric]
    assert kept["stats"]["epoch"] == stats["epoch"][values.idxmin() if "loss" in metric else values.idxmax()]
    assert set(kept["model"]) == {"0.weight", "0.bias"} or len(kept["model"]) == 2


def test_a_part_of_a_columns_name_is_searched_in_the_evaluations(small: Make) -> None:
    config = small(train_length=4, base_lr=3.0, save_best_checkpoint=True, best_checkpoint_metric="accuracy")
    values = run(config)["test/last/accuracy"]
    kept = torch.load(folder(config) / "best_checkpoint.pt", weights_only=True)
    assert kept["stats"]["epoch"] == values.idxmax() + 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"best_checkpoint_metric": "val/.*/accuracy"}, "matches no metric in stats.csv; these are train/loss"),
        ({"best_checkpoint_metric": "train/loss", "train_length": 0}, "these are test/last/loss, test/last/accuracy"),
        ({"best_checkpoint_metric": ".*"}, "matches loss and accuracy; name one of them"),
        ({"best_checkpoint_metric": "av/loss"}, "these are train/loss, train/accuracy, test/last/loss"),
    ],
)
def test_a_metric_that_can_not_say_which_epoch_is_best_is_found_before_the_run(
    small: Make, options: dict[str, Any], sentence: str
) -> None:
    for asked in ({"save_best_checkpoint": True}, {"early_stopping_patience": 2}):
        with pytest.raises(ConfigError, match="best_checkpoint_metric") as caught:
            small(**asked, **options)
        assert sentence in str(caught.value)


def test_the_best_checkpoint_switched_on_at_a_resume_is_the_best_since_then(small: Make) -> None:
    options = {"best_checkpoint_metric": "test/last/loss", "base_lr": 0.0, "train_length": 4}
    for _ in experiment_generator(config := small(early_stopping_patience=9, **options)):
        break
    config = dataclasses.replace(config, save_best_checkpoint=True)
    run(config)  # no epoch improves on the first
    kept = torch.load(folder(config) / "best_checkpoint.pt", weights_only=True)
    assert kept["stats"]["epoch"] == 2


def test_save_freq_keeps_the_last_epoch_too(small: Make) -> None:
    config = small(train_length=3, save_freq=2)
    run(config)
    assert {path.name for path in folder(config).glob("checkpoint-*.pt")} == {
        "checkpoint-last-epoch2.pt",
        "checkpoint-last-epoch3.pt",
    }


def test_weights_are_kept_every_save_freq_epochs(small: Make) -> None:
    config = small(train_length=4, save_freq=2, averaging="poly_0")
    run(config)
    kept = sorted(path.name for path in folder(config).glob("checkpoint-*.pt"))
    assert kept == [
        "checkpoint-av-epoch2.pt",
        "checkpoint-av-epoch4.pt",
        "checkpoint-last-epoch2.pt",
        "checkpoint-last-epoch4.pt",
    ]


@pytest.mark.parametrize("changes", [{"base_lr": 1e30}, {"max_allowed_loss": 1e-3}])
def test_a_loss_out_of_bounds_ends_the_run_as_diverged(small: Make, changes: dict[str, float]) -> None:
    config = small(train_length=5, log_interval=1, loss="mse", **changes)
    with pytest.raises(Diverged, match=r"step \d+"):
        run(config)
    assert status(folder(config)) == Status.DIVERGED
    assert re.search(r"loss .* at step|not finite", read_state(folder(config))["cause"])


def test_evaluate_av_alone_leaves_the_last_iterate_out(small: Make) -> None:
    stats = run(small(averaging="poly_0", evaluate="av"))
    assert "test/av/loss" in stats and "test/last/loss" not in stats


def test_the_running_mean_is_the_mean_of_the_iterates(small: Make) -> None:
    iterates = []
    config = small(averaging="poly_0", steps_per_epoch=1, train_length=6, save_freq=6)
    for _, model in experiment_generator(config):
        iterates.append([p.detach().clone() for p in model.parameters()])
    kept = torch.load(folder(config) / "checkpoint-av-epoch6.pt", weights_only=True)["model"]
    for mean, *values in zip(kept.values(), *iterates, strict=True):
        torch.testing.assert_close(mean, torch.stack(values).mean(0))


def test_a_warm_up_that_is_longer_than_the_run_is_noted_in_the_log(small: Make) -> None:
    for warmup, noted in [(24, False), (25, True)]:
        config = small(warmup_steps=warmup, resume="never")
        run(config)
        log = (folder(config) / "training.log").read_text()
        assert ("warmup_steps 25 is longer than the run, which never reaches base_lr" in log) == noted


# --- a run that is done, and one of long epochs -----------------------------------------------------------------


def test_a_run_that_is_done_yields_its_last_epoch_once_and_changes_nothing(small: Make) -> None:
    config = small()
    for stats, model in experiment_generator(config):
        expected, weights = stats, {name: value.clone() for name, value in model.state_dict().items()}
    before = {path.name: path.read_bytes() for path in folder(config).iterdir() if path.is_file()}
    ((stats, model),) = experiment_generator(config)
    pd.testing.assert_frame_equal(stats, expected)
    torch.testing.assert_close(dict(model.state_dict()), weights)
    assert {path.name: path.read_bytes() for path in folder(config).iterdir() if path.is_file()} == before


def test_a_run_that_is_done_with_another_config_is_an_error(small: Make) -> None:
    run(small())
    with pytest.raises(ValueError, match=r"base_lr: 0.1 -> 0.2.*resume=never"):
        run(small(base_lr=0.2))
    assert status(folder(small())) == Status.DONE


def test_the_state_is_saved_by_the_clock_within_a_long_epoch(
    small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"train_length": 1, "steps_per_epoch": 40}
    run(small(output_dir=str(tmp_path / "whole"), **options))
    config = small(output_dir=str(tmp_path / "parts"), checkpoint_every_seconds=1e-9, **options)
    with stopping_after(31, times=2), pytest.raises(KeyboardInterrupt):  # two: nothing is saved at the end
        run(config)
    assert read_state(folder(config))["saved_step"] == 30
    run(config)
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "parts")
