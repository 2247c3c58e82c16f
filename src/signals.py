"""Signals that ask a run to stop: the handler only sets a flag, and the loop acts on it between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, ClassVar

# Ctrl-C; preemption, scancel or kill; a closed terminal; and the two that announce a time limit
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def stop_signals() -> list[signal.Signals]:
    """The stop signals that this process acts on: under nohup all but SIGHUP."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (ignored and number == signal.SIGHUP)]


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

    SIGHUP stays ignored where it is, as nohup asks for. Blocks may be nested: a run's inside that of the command line,
    which covers the seconds of importing torch. What the outer one has received, the inner one acts on. In a thread that
    may not set handlers it does nothing.
    """

    _innermost: ClassVar[StopSignals | None] = None

    def __init__(self) -> None:
        self.received: int | None = None
        self._outer: StopSignals | None = None
        self._previous: dict[int, Any] = {}

    def check(self) -> None:
        """Raises StoppedBySignal if a signal has come; called where the state is whole and can be saved."""
        if self.received is not None:
            raise StoppedBySignal(self.received)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Within this block the handlers from before are in force."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._outer, StopSignals._innermost = StopSignals._innermost, self
            if self._outer is not None and self._outer.received is not None:
                self.received = self._outer.received
            else:
                self._previous = {number: signal.signal(number, self._note) for number in stop_signals()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if StopSignals._innermost is self:
            StopSignals._innermost = self._outer
        for number, handler in self._previous.items():
            # None: it was not set from Python and cannot be named; the default is what is left
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        for number in self._previous:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
