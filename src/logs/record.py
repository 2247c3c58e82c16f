"""What a run tells while it runs: training.log, state.json with its heartbeat, and a progress bar."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from src import experiment, files, processes
from src.config import Config
from src.experiment import Status
from src.logs.resources import process_peak_mb

HEARTBEAT_SECONDS = 2.0  # least time between two writes of state.json


class _LogFile(logging.FileHandler):
    """A line that cannot be written, on a full disk, is left out; it is stats.csv that may not be lost."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Print no traceback for it: it may be one a step."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of the last lines, still in the buffer
            super().close()


class RunRecord:
    """Within its block the experiment is `running`; how the block ends decides what it is afterwards.

    The logger is the run's own: it passes nothing on to loggers of the importing program, and its
    handlers are gone when the block ends.
    """

    def __init__(self, config: Config) -> None:
        assert config.output_dir is not None, "setup.prepare decides it"
        self.folder = Path(config.output_dir)
        self.finished = False  # set once all that the run was to do is on disk
        self.log = logging.getLogger(f"experiment-{id(self)}")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)
        self._to_stdout = config.log_to_stdout
        self._bar: Any = None
        self._beat = 0.0
        earlier = experiment.read_state(self.folder)
        saved_step, grew = earlier.get("saved_step", 0), earlier.get("saved_step", 0) > earlier.get("first_step", 0)
        restarted = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
        self._state: dict[str, Any] = {
            "status": Status.RUNNING,
            "attempt": earlier.get("attempt", 0) + 1,
            "job_id": experiment.slurm_job_id(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_start": processes.process_start(os.getpid()),
            "started": experiment.now(),
            "heartbeat": experiment.now(),
            "cause": None,
            "peak_memory_mb": None,
            "epoch": 0,
            "step": 0,
            "total_steps": None,
            "first_step": saved_step,  # what this attempt starts from
            "saved_step": saved_step,  # of checkpoint.pt
            # restarts by SLURM, in a row, after an attempt that had not saved a further step
            "stalled": earlier.get("stalled", 0) + 1 if restarted and not grew else 0,
        }

    def check_restarts(self, most: int) -> None:
        """Raises RuntimeError if SLURM has started the run again and again, and it came no further."""
        if self._state["stalled"] > most:
            raise RuntimeError(f"{most} restarts in a row without a step of progress; no more are tried")

    def start(self, step: int, total_steps: int, n_parameters: int) -> None:
        """Say where the run starts, and how long it is."""
        self.log.info(
            "attempt %d: step %d of %d; %d parameters", self._state["attempt"], step, total_steps, n_parameters
        )
        self._state |= {"step": step, "total_steps": total_steps}
        self._bar = tqdm(
            total=total_steps, initial=step, unit="step", desc=self.folder.name[:40], dynamic_ncols=True, disable=None
        )  # disable=None: no bar where stderr is no terminal

    def progress(self, step: int) -> None:
        """After each step; cheap, but for a heartbeat every few seconds."""
        self._state["step"] = step
        self._bar.update(step - self._bar.n)
        if time.monotonic() - self._beat > HEARTBEAT_SECONDS:
            self._write_state(durable=False)

    def saved(self, step: int) -> None:
        """checkpoint.pt now holds the state after `step`."""
        self._state["saved_step"] = step

    def epoch_over(self, row: Mapping[str, Any]) -> None:
        """Tell the epoch's losses and accuracies, and keep the heartbeat going."""
        figures = {name: value for name, value in row.items() if name.endswith(("/loss", "/accuracy"))}
        text = "  ".join(f"{name} {value:.6g}" for name, value in figures.items())
        self.log.info("epoch %d over  %s", row["epoch"], text)
        self._state |= {"epoch": row["epoch"], "figures": figures}
        self._bar.set_postfix_str(text)
        self._write_state(durable=False)

    def _write_state(self, *, durable: bool) -> None:
        self._beat = time.monotonic()
        self._state["heartbeat"] = experiment.now()
        experiment.write_state(self.folder, self._state, durable=durable)

    def __enter__(self) -> RunRecord:
        handlers: list[logging.Handler] = [_LogFile(self.folder / experiment.LOG, encoding="utf-8")]
        if self._to_stdout:
            handlers.append(logging.StreamHandler(sys.stdout))
        for handler in handlers:
            handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
            self.log.addHandler(handler)
        (self.folder / experiment.DONE).unlink(missing_ok=True)
        self._write_state(durable=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        status, cause = self._outcome(error)
        if status == Status.FAILED and isinstance(error, Exception):
            self.log.error("failed", exc_info=error)
        else:
            self.log.info("%s%s", status, f": {cause}" if cause else "")
        for handler in self.log.handlers[:]:
            self.log.removeHandler(handler)
            handler.close()
        logging.Logger.manager.loggerDict.pop(self.log.name, None)  # or a long program would collect them
        if self._bar is not None:
            self._bar.close()
        self._state |= {"status": status, "cause": cause, "peak_memory_mb": process_peak_mb()}
        self._write_state(durable=True)
        if status == Status.DONE:
            files.write_text(self.folder / experiment.DONE, "")

    def _outcome(self, error: BaseException | None) -> tuple[Status, str | None]:
        if error is None or (self.finished and isinstance(error, GeneratorExit)):
            return Status.DONE, None
        if isinstance(error, GeneratorExit):
            return Status.FAILED, "closed by the calling program"
        if isinstance(error, experiment.Diverged):
            return Status.DIVERGED, str(error)
        if isinstance(error, KeyboardInterrupt):
            return Status.FAILED, str(error) or "interrupted"
        return Status.FAILED, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
