"""Running a job's train.py on this machine: `train.py a/spec.yaml b/spec.yaml ... --parallel N`, in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from src import experiment
from src.jobs import folders

MAX_COMMAND = 100_000  # bytes; systems accept at least 128 kB, and some not more


def run_local(job_folder: Path, experiments: list[Path], n: int) -> int:
    """Runs the experiments, `n` at a time; returns train.py's exit code."""
    return run_train(job_folder, experiments, ["--parallel", str(n)])


def run_train(job_folder: Path, experiments: list[Path], options: list[str]) -> int:
    """Runs the job's own copy of train.py on the specs of the experiments; returns its exit code.

    train.py writes to the same terminal. Ctrl-C reaches it from there, and it saves what runs; a second Ctrl-C ends
    it at once.
    """
    arguments = [*(str(folder / experiment.SPEC) for folder in experiments), *options]
    list_file = job_folder / f".local-{os.getpid()}.txt"
    try:
        if sum(len(os.fsencode(argument)) + 1 for argument in arguments) > MAX_COMMAND:
            list_file.write_text("\n".join(arguments) + "\n", encoding="utf-8")
            arguments = [f"@{list_file}"]
        process = subprocess.Popen([sys.executable, str(job_folder / folders.CODE / "train.py"), *arguments])
        code = _wait(process)
        return code if code >= 0 else 128 - code  # ended by a signal: the number that shells use
    finally:
        list_file.unlink(missing_ok=True)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code. The first Ctrl-C is left to the process, the second one terminates it, the third one kills it."""
    stops = iter([lambda: None, process.terminate, process.kill])

    # no KeyboardInterrupt: if it interrupts wait(), the exit code may be lost
    def stop(number: int, frame: object) -> None:
        next(stops, process.kill)()

    before = signal.signal(signal.SIGINT, stop)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
