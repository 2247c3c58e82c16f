"""The scripts' standard output, whose reader may go away: `python train.py cfg.yaml | head -1`."""

from __future__ import annotations

import io
import os
import sys


def outlive_reader() -> None:
    """Print to nowhere from the moment that nobody reads standard output: that is no failure of what is running."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = sys.stdout.encoding
        sys.stdout = _Outliving(sys.stdout.detach(), encoding=encoding, errors="backslashreplace", line_buffering=True)


class _Outliving(io.TextIOWrapper):
    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            return self._discard(len(text))

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._discard(0)

    def _discard(self, written: int) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return written
