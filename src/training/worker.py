"""Several experiments, N at a time, each in a process forked from this one, which has imported torch once.

A fresh process pays seconds of imports for each experiment; a forked one starts in some 50 ms. This
process must therefore import everything heavy and compute nothing: a thread pool or a CUDA context that
exists before a fork does not survive it.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from src import experiment
from src.experiment import Status
from src.training.signals import STOP_SIGNALS

LOCAL_OUTPUT = "local.out"  # what an experiment prints, beside its training.log

# What almost every experiment imports. torch._dynamo: the first optimizer would import it, 0.6 s in each child.
_PRELOAD = ("torch", "torch._dynamo", "sklearn.datasets", "pandas", "src.data", "src.models", "src.optim.optimizers")


def run_many(paths: list[Path], run: Callable[[Path], int], parallel: int) -> int:
    """Run each config file by `run(path) -> exit code`, `parallel` at a time.

    A failing experiment harms no other. A stop signal is passed on to all that run, which save their state;
    nothing new is started then. Returns 0 if all are done, 1 if some failed, 128 + signal if it was stopped.
    """
    return _Worker(paths, run, parallel).work()


def _warm_up(paths: list[Path]) -> None:
    from src import torchvision_cpu

    modules = list(_PRELOAD)
    if any("timm/" in path.read_text(errors="replace") for path in paths if path.is_file()):
        torchvision_cpu.mend()
        modules.append("timm")
    for module in modules:
        importlib.import_module(module)


class _Worker:
    """Keeps N children busy, shows how they do, and passes stop signals on."""

    def __init__(self, paths: list[Path], run: Callable[[Path], int], parallel: int) -> None:
        self.waiting = paths[::-1]
        self.run = run
        self.children: dict[Any, _Child] = {}  # by the sentinel that tells of their end
        self.free_rows = list(range(min(parallel, len(paths)), 0, -1))  # of the terminal, below the total
        self.total = tqdm(total=len(paths), desc="experiments", unit="", dynamic_ncols=True, disable=None)
        self.n_failed = 0
        self.stop_signal: int | None = None

    def work(self) -> int:
        handlers = {s: signal.signal(s, self._stop) for s in (*STOP_SIGNALS, signal.SIGHUP)}
        try:
            _warm_up(self.waiting)
            while self.children or (self.waiting and self.stop_signal is None):
                while self.waiting and self.free_rows and self.stop_signal is None:
                    child = _Child(self.waiting.pop(), self.run, self.free_rows.pop())
                    self.children[child.process.sentinel] = child
                for sentinel in wait(list(self.children), timeout=0.5):
                    self._finish(self.children.pop(sentinel))
                for child in self.children.values():
                    child.show()
        finally:
            for s, handler in handlers.items():
                signal.signal(s, handler)
            self.total.close()
        if self.stop_signal is not None:
            return 128 + self.stop_signal
        return experiment.EXIT_FAILED if self.n_failed else experiment.EXIT_DONE

    def _finish(self, child: _Child) -> None:
        self.n_failed += child.finish() != experiment.EXIT_DONE
        self.free_rows.append(child.row)
        self.total.update()
        self.total.set_postfix_str(f"{self.n_failed} failed" if self.n_failed else "")

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """The first signal is passed on, so that each experiment saves its state; the second one kills them."""
        number = signum if self.stop_signal is None else signal.SIGKILL
        self.stop_signal = self.stop_signal or signum
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(child.pid, signal.SIGTERM if number == signal.SIGHUP else number)


class _Child:
    """One experiment in a forked process, and its line on the terminal."""

    def __init__(self, path: Path, run: Callable[[Path], int], row: int) -> None:
        self.row = row
        # an experiment's folder is known from its spec.yaml; any other config has its folder made when it runs
        self.folder = path.parent if path.name == experiment.SPEC else None
        self.name = self.folder.name if self.folder else path.name
        self.started = time.monotonic()
        self.process = multiprocessing.get_context("fork").Process(target=_child_main, args=(path, run, self.folder))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid
        self.bar = tqdm(position=row, leave=False, desc=self.name[:40], unit="step", dynamic_ncols=True, disable=None)

    def show(self) -> None:
        state = experiment.read_state(self.folder) if self.folder else {}
        if state.get("pid") == self.pid and state.get("total_steps"):
            self.bar.total = state["total_steps"]
            figures = {name: value for name, value in state.get("figures", {}).items() if not name.startswith("train/")}
            self.bar.set_postfix_str("  ".join(f"{name} {value:.4g}" for name, value in list(figures.items())[-2:]))
            self.bar.update(state["step"] - self.bar.n)
            self.bar.refresh()

    def finish(self) -> int:
        """Its exit code, after it has ended; tells about it, and notes the death of one that could not."""
        self.process.join()
        self.bar.close()
        code = self.process.exitcode or 0
        state = experiment.read_state(self.folder) if self.folder else {}
        if code < 0:
            state |= {"status": Status.FAILED, "cause": f"killed by {signal.Signals(-code).name}"}
            if self.folder:
                experiment.write_state(self.folder, state)
        how = "done"
        if code != experiment.EXIT_DONE and state.get("cause"):
            how = f"{state['status']}: {state['cause']}"
        elif code != experiment.EXIT_DONE:
            how = f"failed with exit code {code}" + (f", see {self.folder / LOCAL_OUTPUT}" if self.folder else "")
        tqdm.write(f"{self.name}: {how} ({time.monotonic() - self.started:.1f} s)")
        return code


def _child_main(path: Path, run: Callable[[Path], int], folder: Path | None) -> None:
    os.setpgid(0, 0)  # Ctrl-C reaches the worker alone, which passes it on once
    for number in (*STOP_SIGNALS, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if folder is not None:
        with (folder / LOCAL_OUTPUT).open("a") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
    code = run(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not sys.exit: the exit handlers of the parent, such as open progress bars, are not ours
