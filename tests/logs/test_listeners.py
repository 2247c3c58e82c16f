"""What hears of a run, and when."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from src import logs
from src.config import Config
from src.experiment import Diverged, Status
from src.logs.listeners import Listener, Listeners, Outcome
from src.signals import StoppedBySignal
from train import experiment_generator

Make = Callable[..., Config]


class Recorder(Listener):
    """Notes the events of a run in their order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def opened(self) -> None:
        self.events.append(("opened", None))

    def started(self, start: Any) -> None:
        self.events.append(("started", (start.step, start.total_steps, start.metrics)))

    def step(self, step: int, values: Any) -> None:
        self.events.append(("step", (step, sorted(values))))

    def epoch(self, row: Any) -> None:
        self.events.append(("epoch", row["epoch"]))

    def saved(self, step: int) -> None:
        self.events.append(("saved", step))

    def closed(self, outcome: Outcome) -> None:
        self.events.append(("closed", outcome.status))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Hears of the runs of this test, beside what hears of every run."""
    recorder = Recorder()

    def with_recorder(config: Config, folder: Path) -> Listeners:
        return Listeners(*logs.build_listeners(config, folder).listeners, recorder)

    monkeypatch.setattr(train, "build_listeners", with_recorder)
    return recorder


def test_a_run_is_heard_of_from_its_opening_to_its_end(small: Make, recorder: Recorder) -> None:
    for _ in experiment_generator(small(train_length=2, steps_per_epoch=2, log_interval=2)):
        pass
    logged = ["epoch", "loss", "lr"]
    assert recorder.events == [
        ("opened", None),
        ("started", (0, 4, ("loss", "accuracy"))),
        ("step", (1, [])),
        ("step", (2, logged)),
        ("saved", 2),
        ("epoch", 1),
        ("step", (3, [])),
        ("step", (4, logged)),
        ("saved", 4),
        ("epoch", 2),
        ("closed", Status.DONE),
    ]


def test_a_run_whose_data_cannot_be_read_is_closed_as_failed(small: Make, recorder: Recorder) -> None:
    with pytest.raises(ValueError):
        next(experiment_generator(small(data_splits_map={"train": "train[:5000]"})))
    assert recorder.events == [("opened", None), ("closed", Status.FAILED)]


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (None, Status.DONE, None),
        (GeneratorExit(), Status.ENDED, "closed by the calling program"),
        (Diverged("train loss nan"), Status.DIVERGED, "train loss nan"),
        (StoppedBySignal(15), Status.FAILED, "stopped by SIGTERM"),
        (KeyboardInterrupt(), Status.FAILED, "interrupted"),
        (ValueError("one\ntwo"), Status.FAILED, "ValueError: one"),
        (torch.cuda.OutOfMemoryError("out of memory"), Status.FAILED, "OutOfMemoryError: out of memory"),
    ],
)
def test_how_a_run_ended_follows_from_the_exception(
    error: BaseException | None, status: Status, cause: str | None
) -> None:
    outcome = Outcome.of(error)
    assert (outcome.status, outcome.cause) == (status, cause)


def test_listeners_are_closed_in_the_reverse_order_and_only_those_that_were_opened() -> None:
    closed = []

    class Named(Listener):
        def __init__(self, name: str) -> None:
            self.name = name

        def opened(self) -> None:
            if self.name == "broken":
                raise OSError("no room")

        def closed(self, outcome: Outcome) -> None:
            closed.append(self.name)

    with Listeners(Named("first"), Named("second")):
        pass
    assert closed == ["second", "first"]
    closed.clear()
    with pytest.raises(OSError), Listeners(Named("first"), Named("broken"), Named("third")):
        raise AssertionError("the block is not entered")
    assert closed == ["first"]


def test_the_log_has_levels_and_a_failure_its_traceback_without_values(small: Make, tmp_path: Path) -> None:
    secret = "a_folder_that_holds_a_secret"
    (tmp_path / "failing_model.py").write_text(
        f"def build(num_classes, input_shape):\n    token = {secret!r}\n    raise RuntimeError('no model today')\n"
    )
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(RuntimeError):
            next(experiment_generator(small(model="python/failing_model:build")))
    finally:
        sys.path.remove(str(tmp_path))
    log = (tmp_path / "run" / "training.log").read_text()
    assert "| ERROR    | failed" in log and "RuntimeError: no model today" in log and "Traceback" in log
    assert f"'{secret}'" not in log.replace(f"token = '{secret}'", "")
    assert json.loads((tmp_path / "run" / "state.json").read_text())["cause"] == "RuntimeError: no model today"


def test_the_log_is_printed_as_well_where_asked(small: Make, capsys: pytest.CaptureFixture[str]) -> None:
    config = small(log_to_stdout=True, train_length=1)
    for _ in experiment_generator(config):
        pass
    assert capsys.readouterr().out == (Path(str(config.output_dir)) / "training.log").read_text()
