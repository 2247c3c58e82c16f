"""Signals that ask a run to stop: the handler only sets a flag, and the loop acts on it at a step's edge."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar

# Ctrl-C; preemption, scancel or kill; and the two that a time limit is announced with
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StoppedBySignal(KeyboardInterrupt):
    """The run was asked to stop by `signum`, and its state has been saved."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"stopped by {signal.Signals(signum).name}")

    @property
    def exit_code(self) -> int:
        return 128 + self.signum


class StopSignals:
    """Within its block, notes the first stop signal in `received`; a second one acts as it would without us.

    The handlers from before are put back when the last block ends: a program may have several generators
    open at once. In a thread that may not set handlers it does nothing.
    """

    _open: ClassVar[list[StopSignals]] = []
    _previous: ClassVar[dict[int, Any]] = {}

    def __init__(self) -> None:
        self.received: int | None = next((block.received for block in self._open), None)  # what has come already

    def check(self) -> None:
        """Raises StoppedBySignal if a signal has come; called where the state is whole and can be saved."""
        if self.received is not None:
            raise StoppedBySignal(self.received)

    @classmethod
    def _note(cls, signum: int, frame: FrameType | None) -> None:
        for block in cls._open:
            block.received = signum
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            if not self._open:
                self._previous.update({number: signal.signal(number, self._note) for number in STOP_SIGNALS})
            self._open.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self in self._open:
            self._open.remove(self)
            if not self._open:
                for number, handler in self._previous.items():
                    # None: it was not set from Python and cannot be named; the default is what is left
                    signal.signal(number, signal.SIG_DFL if handler is None else handler)
