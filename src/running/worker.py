"""Several experiments, N at a time, each in a process forked from this one, which has imported torch once.

A fresh process pays seconds of imports for each experiment; a forked one starts in some 50 ms. This
process must therefore import everything heavy and compute nothing: a thread pool or a CUDA context that
exists before a fork does not survive it.

Workers may share experiments: each claims an experiment before it runs it (src/running/claims.py).
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from src import experiment
from src.experiment import Status
from src.running import claims, requeue
from src.running.claims import Claim
from src.signals import STOP_SIGNALS, stop_signals

SAMPLED = 100  # configs that are searched for what to import
LOCAL_OUTPUT = "local.out"  # what an experiment prints

# What almost every experiment imports. torch._dynamo: the first optimizer would import it, 0.6 s in each child.
_PRELOAD = ("torch", "torch._dynamo", "sklearn.datasets", "pandas", "src.data", "src.models", "src.optim.optimizers")


def run_many(
    paths: list[Path],
    run: Callable[[Path], int],
    parallel: int,
    shared: bool = False,
    stop_signal: int | None = None,
) -> int:
    """Run each config file by `run(path) -> exit code`, `parallel` at a time.

    A failing experiment harms no other. A stop signal is passed on to all that run, which save their state;
    nothing new is started then (nor if `stop_signal` has come already). An experiment that another worker runs is
    skipped. With `shared` it counts as done, and one that has failed since it was submitted is not retried; else it
    counts as failed. Returns 0 if all are done, 1 if some failed, 128 + signal if it was stopped with something left.
    """
    return _Worker(paths, run, parallel, shared, stop_signal).work()


def _warm_up(paths: list[Path]) -> None:
    modules = list(_PRELOAD)
    if any("timm/" in path.read_text(errors="replace") for path in paths if path.is_file()):
        modules.append("timm")
    for module in modules:
        importlib.import_module(module)


class _Worker:
    """Keeps N children busy, shows their progress, and passes stop signals on."""

    def __init__(
        self, paths: list[Path], run: Callable[[Path], int], parallel: int, shared: bool, stop_signal: int | None
    ) -> None:
        self.waiting = paths[::-1]
        self.run = run
        self.shared = shared
        self.children: dict[Any, _Child] = {}  # by the sentinel that becomes ready when the process ends
        self.free_rows = list(range(min(parallel, len(paths)), 0, -1))  # of the terminal, below the total
        self.total = tqdm(total=len(paths), desc="experiments", unit="", dynamic_ncols=True, disable=None)
        self.n_failed = 0
        self.n_stopped = 0
        self.is_warm = False
        self.stop_signal = stop_signal

    def work(self) -> int:
        handlers = {s: signal.signal(s, self._stop) for s in stop_signals()}
        try:
            while self.children or (self.waiting and self.stop_signal is None):
                while self.waiting and self.free_rows and self.stop_signal is None:
                    self._start(self.waiting.pop())
                for sentinel in wait(list(self.children), timeout=0.5):
                    self._finish(self.children.pop(sentinel))
                for child in self.children.values():
                    child.show()
                    if child.claim is not None and not child.claim.is_kept():
                        child.lose()
        finally:
            for s, handler in handlers.items():
                signal.signal(s, handler)
            self.total.close()
        if self.stop_signal is not None and (self.waiting or self.n_stopped):
            return 128 + self.stop_signal
        return experiment.EXIT_FAILED if self.n_failed else experiment.EXIT_DONE

    def _start(self, path: Path) -> None:
        # an experiment's folder is known from its spec.yaml; any other config has its folder made when it runs
        folder = path.parent if path.name == experiment.SPEC and path.exists() else None
        claim = None
        if folder is not None and os.access(folder, os.W_OK):  # else the run itself reports what is wrong
            claim = self._claim(folder)
            if claim is None:
                self.total.update()
                return
        if not self.is_warm:  # only now: a pack whose experiments are all done needs no imports
            _warm_up([path, *self.waiting[-SAMPLED:]])
            self.is_warm = True
            if self.stop_signal is not None:  # it came during the seconds that the imports take
                self.waiting.append(path)
                if claim is not None:
                    claim.release()
                return
        child = _Child(path, folder, claim, self.run, self.free_rows.pop())
        self.children[child.process.sentinel] = child
        if self.stop_signal is not None and not child.signalled:  # it came while the child was made
            child.send(self.stop_signal)

    def _claim(self, folder: Path) -> Claim | None:
        """None if the experiment is not ours to run."""
        if self.shared and experiment.has_ended(folder):
            return None
        claim = claims.take(folder)
        if claim is None and not self.shared:
            tqdm.write(f"{folder.name}: another process runs it")
            self.n_failed += 1
        if claim is not None and self.shared and experiment.has_ended(folder):  # while we took it
            claim.release()
            return None
        return claim

    def _finish(self, child: _Child) -> None:
        code = child.finish()
        self.n_failed += code != experiment.EXIT_DONE
        self.n_stopped += code != experiment.EXIT_DONE and self.stop_signal is not None
        self.free_rows.append(child.row)
        self.total.update()
        self.total.set_postfix_str(f"{self.n_failed} failed" if self.n_failed else "")

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """The first signal is passed on, so that each experiment saves its state; the second one kills them."""
        number = signum if self.stop_signal is None else signal.SIGKILL
        self.stop_signal = self.stop_signal or signum
        for child in self.children.values():
            child.send(number)


class _Child:
    """One experiment in a forked process, and its line on the terminal."""

    def __init__(
        self, path: Path, folder: Path | None, claim: Claim | None, run: Callable[[Path], int], row: int
    ) -> None:
        self.row = row
        self.folder = folder
        self.claim = claim
        self.is_lost = False
        self.signalled: int | None = None  # the signal that it was stopped with
        self.name = folder.name if folder else path.name
        self.started = time.monotonic()
        self.process = multiprocessing.get_context("fork").Process(
            target=_child_main, args=(path, run, folder, os.getpid())
        )
        # A signal that comes while the child has still our handlers would be lost: it waits until the child has its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
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

    def send(self, number: int) -> None:
        """Send it a signal to stop."""
        self.signalled = number
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self.pid, self.signalled)

    def lose(self) -> None:
        """Kill it: another worker considered us dead and runs the experiment, and two must not write into one folder."""
        self.is_lost = True
        self.send(signal.SIGKILL)

    def finish(self) -> int:
        """Its exit code, after it has ended; prints the outcome, and stores it for a process that was killed."""
        self.process.join()
        self.bar.close()
        code = self.process.exitcode or 0
        state = experiment.read_state(self.folder) if self.folder else {}
        if self.is_lost:
            state = {
                "status": "lost",
                "cause": f"no heartbeat for {claims.DEAD_AFTER:.0f} s, and another process took it",
            }
        elif code < 0:
            stopped = (
                self.signalled == -code != signal.SIGKILL
            )  # by us, before it could handle signals: it can be resumed
            again = stopped and requeue.job_to_requeue(128 - code)
            state |= {
                "status": Status.REQUEUED if again else Status.FAILED,
                "cause": f"{'stopped' if stopped else 'killed'} by {signal.Signals(-code).name}",
            }
            if self.folder:
                experiment.write_state(self.folder, state)
        if self.claim is not None:
            self.claim.release()
        how = "done"
        if code != experiment.EXIT_DONE and state.get("cause"):
            how = f"{state['status']}: {state['cause']}"
        elif code != experiment.EXIT_DONE:
            how = f"failed with exit code {code}" + (f", see {self.folder / _output_name()}" if self.folder else "")
        tqdm.write(f"{self.name}: {how} ({time.monotonic() - self.started:.1f} s)")
        return code


def _output_name() -> str:
    """Under SLURM an experiment's output has the name that it has in a job for itself."""
    job_id = experiment.slurm_job_id()
    return f"{job_id}.out" if job_id else LOCAL_OUTPUT


def _stop_without(worker: int) -> None:
    """Stop this process when the worker has died: its claim is no longer touched, and another worker would run the
    experiment as well. (Linux's PDEATHSIG may come several times, and the second one kills.)"""
    while os.getppid() == worker:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _child_main(path: Path, run: Callable[[Path], int], folder: Path | None, worker: int) -> None:
    os.setpgid(0, 0)  # Ctrl-C reaches the worker alone, which passes it on once
    threading.Thread(target=_stop_without, args=(worker,), daemon=True).start()
    for number in stop_signals():
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if folder is not None:
        with (folder / _output_name()).open("a") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
    code = run(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not sys.exit: the exit handlers of the parent, such as open progress bars, are not ours
