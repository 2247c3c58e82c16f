"""Scripts in processes that have the heavy packages already: forked from one process that has imported them.

A fresh Python takes five seconds of a core to import torch before train.py does anything; a forked one starts in
20 ms. All else is as at a command line: the file is run as `__main__`, with its arguments, environment, folder
and output, and the process can be signalled and killed. This module imports nothing of the project, so that each
script imports the project anew.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

# What small runs of train.py and report.py import. torch._dynamo: the first optimizer would import it.
_PRELOADED = ["torch", "torch._dynamo", "sklearn.datasets", "pandas", "matplotlib.figure"]


class WarmProcess:
    """Runs `python <arguments>`; the methods are those of subprocess.Popen.

    stdout and stderr go to files until `communicate` returns them or, with inherit_output, where those of this process go.
    """

    def __init__(
        self,
        arguments: list[str],
        cwd: Path,
        env: Mapping[str, str],
        start_new_session: bool = False,
        inherit_output: bool = False,
    ) -> None:
        self.args = arguments
        self._output = [] if inherit_output else [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115
        # a Connection is how multiprocessing hands an open file to a process that it starts
        streams = [Connection(os.dup(number)) for number in ([f.fileno() for f in self._output] or (1, 2))]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self._process = context.Process(target=_run, args=(arguments, cwd, dict(env), start_new_session, streams))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        atexit.register(self.kill)  # else Python waits at its exit for what a failed test has left behind

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end; returns stdout and stderr."""
        self.wait(timeout)
        for file in self._output:
            file.seek(0)
        out, err = (file.read() for file in self._output)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.kill()
        self.wait()


def _run(
    arguments: list[str], cwd: Path, env: dict[str, str], start_new_session: bool, streams: list[Connection]
) -> None:
    """In the forked process: what `python <arguments>` does."""
    gc.freeze()  # without it the first collection copies all pages that are shared with the parent
    multiprocessing.set_start_method(None, force=True)  # a process started by a fork server would start its own there
    if start_new_session:
        os.setsid()
    for number, stream in enumerate(streams, 1):
        os.dup2(stream.fileno(), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    script = Path(arguments[0]).resolve()
    sys.path[:0] = [str(script.parent), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = arguments
    runpy.run_path(str(script), run_name="__main__")
