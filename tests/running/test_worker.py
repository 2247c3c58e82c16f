"""The worker that runs several experiments in forked processes: what a stop signal finds it doing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from src.running import worker


@pytest.fixture
def specs(tmp_path: Path) -> list[Path]:
    """The spec.yaml files of three experiments that nobody runs yet."""
    paths = [tmp_path / str(number) / "spec.yaml" for number in range(3)]
    for path in paths:
        path.parent.mkdir()
        path.write_text("{}\n")
    return paths


def run(path: Path) -> int:
    """In the place of an experiment: leaves a file, and takes its time."""
    (path.parent / "ran").touch()
    time.sleep(60)
    return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_packages_are_imported_starts_nothing(
    specs: list[Path], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(worker, "_warm_up", lambda paths: signal.raise_signal(number))
    assert worker.run_many(specs, run, parallel=2) == 128 + number
    assert not list(specs[0].parent.parent.glob("*/ran")) and not list(specs[0].parent.parent.glob("*/.claim-*"))


def test_a_signal_that_came_before_the_worker_starts_nothing(specs: list[Path]) -> None:
    assert worker.run_many(specs, run, parallel=2, stop_signal=signal.SIGINT) == 130
    assert not list(specs[0].parent.parent.glob("*/ran"))


def test_a_signal_that_comes_while_a_child_is_forked_reaches_it(
    specs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_warm_up", lambda paths: None)
    child_main = worker._child_main

    def signalled(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)  # before it has reset the handlers that it has from its parent
        child_main(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "_child_main", signalled)
    assert worker.run_many(specs[:1], run, parallel=1) == 1
    assert not list(specs[0].parent.parent.glob("*/ran")), "the signal has ended the child"
