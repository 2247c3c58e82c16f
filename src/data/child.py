"""Processes forked from the one that trains, for libraries that must not run in it.

array_record starts threads and takes locks that later forks, such as DataLoader's workers, inherit broken and
crash on; TensorFlow would take a GPU, and memory for good.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def start(life: Callable[..., None], *arguments: Any) -> Connection:
    """Fork a process that does `life(connection, *arguments)`; returns the other end of the connection.

    The process ends when `life` returns, when nobody holds the other end any more, or with this one.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    context.Process(target=_live, args=(ours, theirs, life, arguments), daemon=True).start()
    theirs.close()
    return ours


def call(function: Callable[[], None]) -> None:
    """Call `function` in a process of its own and wait for it; what it raises is raised here.

    Raises OSError if the process is killed.
    """
    try:
        error = start(_answer, function).recv()
    except EOFError:
        raise OSError("the process that did this was killed; is there enough memory?") from None
    if error is not None:
        raise error


def _live(ours: Connection, theirs: Connection, life: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    ours.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # with it a process ends its children when it ends
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # they reach all processes of a job, and the one that asks decides
    try:
        life(theirs, *arguments)
    except (EOFError, BrokenPipeError):  # nobody asks any more
        return


def _answer(connection: Connection, function: Callable[[], None]) -> None:
    try:
        function()
        connection.send(None)
    except Exception as error:
        error.add_note(traceback.format_exc())
        connection.send(error)
