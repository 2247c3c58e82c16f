"""Folders that are made once and shared, by the processes of one machine or by machines with one disk."""

from __future__ import annotations

import glob
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`; if it does not exist, `make(scratch)` fills it first. It appears complete or not at all.

    Many experiments of a grid may call this at once: one works, the others wait for its lock. `scratch` is an empty
    folder of the same name, in a hidden folder beside `target`; after `make` it is moved to `target`, and the rest of
    the hidden folder is deleted. If a process is killed, the system releases its lock, and the next process deletes
    its hidden folder.

    Raises ValueError if the disk is full or cannot be written. Every OSError of `make` is reported as such an error,
    so `make` must raise network errors as ValueError; other exceptions pass through.
    """
    if target.exists():
        return target
    try:
        with locked_scratch(target) as folder:
            if not target.exists():
                scratch = folder / target.name  # has the permissions of a new folder, unlike a temporary one
                scratch.mkdir()
                make(scratch)
                scratch.rename(target)
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


@contextmanager
def locked_scratch(target: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target`, for one process at a time; deleted afterwards."""
    hidden = f".{target.name}.part-"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        for stale in target.parent.glob(f"{glob.escape(hidden)}*"):  # of a killed process: we hold the lock
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=hidden, dir=target.parent) as folder:
            yield Path(folder)


def _lock(target: Path) -> AbstractContextManager:
    from filelock import FileLock, Timeout

    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        print(f"waiting for another process that writes {target}", file=sys.stderr)
        return lock.acquire()
