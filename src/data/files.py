"""Folders that are made once and shared, by the processes of one machine or by machines with one disk."""

from __future__ import annotations

import glob
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


def prepared(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`; if it is not there, `make(scratch)` fills it first. It is there whole or not at all.

    Many experiments of a grid may come here at once: one works, the others wait for its lock. `scratch` is an
    empty folder of the same name, in a hidden folder beside `target`; once `make` returns it is moved to its
    place, and what else is in the hidden folder is deleted. A process that is killed leaves its hidden folder,
    which the next one deletes, and no lock: the system takes that back.

    Raises ValueError where the disk refuses: it is full, or may not be written. An OSError of `make` is taken
    for such, so what the network does must leave `make` as a ValueError; everything else comes through.
    """
    if target.exists():
        return target
    try:
        with workplace(target) as folder:
            if not target.exists():
                scratch = folder / target.name  # with the permissions of any new folder, as a temporary one has not
                scratch.mkdir()
                make(scratch)
                scratch.rename(target)
    except OSError as error:
        raise ValueError(f"{target} cannot be prepared: {error.strerror or error}") from error
    return target


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target`, for the one process at a time that makes it; deleted afterwards."""
    hidden = f".{target.name}.part-"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        for left in target.parent.glob(f"{glob.escape(hidden)}*"):  # by a process that was killed: we have the lock
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=hidden, dir=target.parent) as folder:
            yield Path(folder)


def _lock(target: Path) -> AbstractContextManager:
    from filelock import FileLock, Timeout

    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        print(f"waiting for another process that prepares {target}", file=sys.stderr)
        return lock.acquire()
