"""The records of array_record and TFRecord files by position, in any process: what tfds/ data are stored in."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch.utils.data import get_worker_info

from src.data import child
from src.optional import require


class Records(Protocol):
    def __getitem__(self, index: int) -> bytes: ...


class ArrayRecords:
    """The records of array_record files.

    The library that reads them keeps a thread and locks, which a forked process inherits broken: once a process
    has read a record, the DataLoader workers that it starts may crash. So only processes that start no others
    read the files: those workers, and for every other process a reader of its own, which it asks.
    """

    _AHEAD = 256  # most records that are asked for at once when they are read one after another

    def __init__(self, files: Sequence[Any]) -> None:
        """`files`: tensorflow-datasets' FileInstructions."""
        self._files = list(files)
        self._n = sum(file.take for file in files)
        self._source: Any = None  # in a DataLoader worker
        self._reader: Any = None  # elsewhere: the connection to the reader of process _pid
        self._pid = 0
        self._lock = threading.Lock()
        self._first, self._block = 0, list[bytes]()

    def __getitem__(self, index: int) -> bytes:
        if get_worker_info() is not None:
            if self._source is None:
                self._source = _open(self._files)
            return self._source[index]
        with self._lock:
            if not self._first <= index < self._first + len(self._block):
                follows = index == self._first + len(self._block)
                count = min(2 * len(self._block), self._AHEAD, self._n - index) if follows else 1
                self._first, self._block = index, self._ask(index, index + max(count, 1))
            return self._block[index - self._first]

    def _ask(self, start: int, stop: int) -> list[bytes]:
        for _ in range(2):  # a signal to all processes of a job may have ended the reader
            if self._reader is None or self._pid != os.getpid():
                self._reader, self._pid = child.start(_serve, self._files), os.getpid()
            try:
                self._reader.send((start, stop))
                answer = self._reader.recv()
            except (EOFError, OSError):
                self._reader = None
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise OSError(f"the process that reads {self._files[0].filename} was killed twice; is there enough memory?")

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["files"])  # type: ignore[misc]  # nothing that is open goes to another process


def _open(files: Sequence[Any]) -> Any:
    module = require("array_record.python.array_record_data_source", "array-record", "reading array_record files")
    return module.ArrayRecordDataSource(files)


def _serve(connection: Connection, files: Sequence[Any]) -> None:
    """The life of a reader: answers (start, stop) with these records, up to the first that cannot be read, or
    with what is wrong with the first."""
    source: Any = None
    while True:
        records: list[bytes] = []
        answer: list[bytes] | Exception = records
        try:
            for index in range(*connection.recv()):
                source = _open(files) if source is None else source
                records.append(source[index])
        except EOFError:
            raise
        except Exception as error:  # whatever the library says of a damaged file
            answer = records or error
        connection.send(answer)


class TFRecords:
    """The records of TFRecord files, which have no index: one is made by hopping over the records unread.

    TensorFlow reads such files from front to back only; to read them in a shuffled order it would have to hold
    them in memory. A record is four fields: length (uint64), its checksum (uint32), data, checksum (uint32);
    https://www.tensorflow.org/tutorials/load_data/tfrecord. The checksums are not looked at.
    """

    def __init__(self, paths: Sequence[Path], lengths: Sequence[int]) -> None:
        """`lengths`: how many records each file should hold. Raises ValueError for a file that does not."""
        from tqdm import tqdm

        with ThreadPoolExecutor(16) as pool:  # on a shared disk nearly all the time is waiting
            starts = pool.map(_record_starts, paths, lengths)
            self._starts = list(tqdm(starts, "index of TFRecord files", len(paths), disable=sum(lengths) < 100_000))
        self._paths, self._ends = list(paths), np.cumsum(lengths)

    def __getitem__(self, index: int) -> bytes:
        number = int(np.searchsorted(self._ends, index, side="right"))
        starts = self._starts[number]
        with self._paths[number].open("rb") as file:
            file.seek(starts[index - self._ends[number]])  # counted from the file's end
            (length,) = struct.unpack("<Q", file.read(8))
            return file.read(4 + length)[4:]


def _record_starts(path: Path, expected: int) -> np.ndarray:
    """Where each record of a TFRecord file begins, int64 (expected,)."""
    starts, place, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while place + 16 <= size:
            starts.append(place)
            file.seek(place)
            place += 16 + struct.unpack("<Q", file.read(8))[0]
    if place != size or len(starts) != expected:
        raise ValueError(f"{path} is damaged: it should hold {expected} records; delete its folder to prepare it again")
    return np.array(starts, dtype=np.int64)
