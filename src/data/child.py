"""Forked child processes, for libraries that must not run in the process that trains.

array_record starts threads and takes locks; later forks, such as DataLoader's workers, inherit them broken and
crash. TensorFlow would occupy a GPU, and memory, until the process ends.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from src.signals import STOP_SIGNALS


def start(main: Callable[..., None], *arguments: Any) -> Connection:
    """Fork a process that calls `main(connection, *arguments)`; returns the other end of the connection.

    The process ends when `main` returns, when every copy of the other end is closed, or with this process.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    context.Process(target=_run, args=(ours, theirs, main, arguments), daemon=True).start()
    theirs.close()
    return ours


def call(function: Callable[[], None]) -> None:
    """Call `function` in a child process and wait for it; an exception that it raises is raised here.

    Raises OSError if the child is killed.
    """
    try:
        error = start(_answer, function).recv()
    except EOFError:
        raise OSError("the process that did this was killed; is there enough memory?") from None
    if error is not None:
        raise error


def _run(ours: Connection, theirs: Connection, main: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    ours.close()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # they reach all processes of a job, and the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # but by this one the parent ends its children
    try:
        main(theirs, *arguments)
    except (EOFError, BrokenPipeError):  # the parent has closed its end
        return


def _answer(connection: Connection, function: Callable[[], None]) -> None:
    try:
        function()
        connection.send(None)
    except Exception as error:
        error.add_note(traceback.format_exc())
        connection.send(error)
