"""Records of array_record and TFRecord files, the formats of tfds/ data, by position, in any process."""

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
    has read a record, the DataLoader workers that it starts may crash. So only processes that start no others read
    the files: these workers, and for each other process a reader, its own child process.
    """

    _AHEAD = 256  # records that are requested at once, at most, when they are read in order

    def __init__(self, files: Sequence[Any]) -> None:
        """`files`: tensorflow-datasets' FileInstructions."""
        self._files = list(files)
        self._n = sum(file.take for file in files)
        self._source: Any = None  # in a DataLoader worker
        self._reader: Any = None  # in any other process: the connection to the reader of process _pid
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
        for _ in range(2):  # the reader may be dead, from a signal to all processes of a job
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
        self.__init__(state["files"])  # type: ignore[misc]  # another process opens its own files


def _open(files: Sequence[Any]) -> Any:
    module = require("array_record.python.array_record_data_source", "array-record", "reading array_record files")
    return module.ArrayRecordDataSource(files)


def _serve(connection: Connection, files: Sequence[Any]) -> None:
    """Main function of a reader: answers (start, stop) with these records, up to the first one that cannot be read; if
    that is record `start`, with its error."""
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
        except Exception as error:  # the library raises errors of any type for a damaged file
            answer = records or error
        connection.send(answer)


class TFRecords:
    """The records of TFRecord files. They have no index, so one is made from the lengths of the records.

    TensorFlow reads such files only sequentially, and keeps them in memory to shuffle them. A record has four fields:
    length (uint64), its checksum (uint32), data, checksum (uint32);
    https://www.tensorflow.org/tutorials/load_data/tfrecord. The checksums are not verified.
    """

    def __init__(self, paths: Sequence[Path], lengths: Sequence[int]) -> None:
        """`lengths`: the number of records in each file. Raises ValueError for a file with another number."""
        from tqdm import tqdm

        with ThreadPoolExecutor(16) as pool:  # on a shared disk, most of the time is waiting
            offsets = pool.map(_record_offsets, paths, lengths)
            self._offsets = list(tqdm(offsets, "index of TFRecord files", len(paths), disable=sum(lengths) < 100_000))
        self._paths, self._ends = list(paths), np.cumsum(lengths)

    def __getitem__(self, index: int) -> bytes:
        number = int(np.searchsorted(self._ends, index, side="right"))
        offsets = self._offsets[number]
        with self._paths[number].open("rb") as file:
            file.seek(offsets[index - self._ends[number]])  # counted from the file's end
            (length,) = struct.unpack("<Q", file.read(8))
            return file.read(4 + length)[4:]


def _record_offsets(path: Path, expected: int) -> np.ndarray:
    """The offset of each record in a TFRecord file, int64 (expected,)."""
    offsets, offset, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while offset + 16 <= size:
            offsets.append(offset)
            file.seek(offset)
            offset += 16 + struct.unpack("<Q", file.read(8))[0]
    if offset != size or len(offsets) != expected:
        raise ValueError(f"{path} is damaged: it should have {expected} records; delete its folder to write it again")
    return np.array(offsets, dtype=np.int64)
