"""What a run needs of its process, and gives back: random states, threads, kernels, number formats, signal handlers.

A program that imports `experiment_generator` draws its own random numbers between two epochs. `Process`
keeps the two apart: inside its block the run's settings are in force, inside `outside()` the program's.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import torch

from src.signals import StopSignals


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators (those of all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_random_states() -> dict[str, Any]:
    """The states of the global generators, as plain data and tensors that torch.load reads with weights_only."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


# torch's defaults, for matrix products, cuDNN, and each backend that has a precision for float32
RUN_PRECISION = {"matmul": "highest", "cudnn_tf32": True, "backends": ("ieee", "tf32", "tf32", "ieee", "ieee", "ieee")}
_torch: Any = torch.backends  # its types lack the parts of cudnn and mkldnn
BACKENDS = (
    *(_torch.cuda.matmul, _torch.cudnn.conv, _torch.cudnn.rnn),
    *(_torch.mkldnn.matmul, _torch.mkldnn.conv, _torch.mkldnn.rnn),
)


def _get_precision() -> dict[str, Any]:
    """How exact float32 is. torch has two interfaces; the flags of the older one cannot be read after use of the newer."""
    precision: dict[str, Any] = {"backends": tuple(backend.fp32_precision for backend in BACKENDS)}
    with contextlib.suppress(RuntimeError):
        precision["matmul"] = torch.get_float32_matmul_precision()
    with contextlib.suppress(RuntimeError):
        precision["cudnn_tf32"] = torch.backends.cudnn.allow_tf32
    return precision


def _set_precision(precision: dict[str, Any]) -> None:
    if "matmul" in precision:
        torch.set_float32_matmul_precision(precision["matmul"])
    if "cudnn_tf32" in precision:
        torch.backends.cudnn.allow_tf32 = precision["cudnn_tf32"]
    for backend, name in zip(BACKENDS, precision["backends"], strict=True):
        backend.fp32_precision = name


class Process:
    """Within its block, the run's number of threads, deterministic kernels, float32 without TF32 in matrix products,
    and stop signals; at the end, all as before.

    Random states, threads and handlers are the process's, so the runs of a process take turns in one thread. Raises
    ValueError where a run of another thread is open.
    """

    _open: ClassVar[list[Process]] = []

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self.signals = StopSignals()
        self._thread = threading.get_ident()
        self._other: dict[str, Any] = {}

    def _check_thread(self) -> None:
        if any(process._thread != threading.get_ident() for process in (self, *self._open)):
            raise ValueError(
                "experiment_generator runs in another thread of this program, and torch's random numbers are shared "
                "by all threads; run experiments one after another in one thread, or in processes"
            )

    def _swap(self) -> None:
        """Put the other side's settings and random states in force, and remember this side's."""
        this = _get_settings()
        _set_settings(self._other)
        self._other = this

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Within this block the importing program's settings, random states and signal handlers are in force."""
        self._swap()
        try:
            with self.signals.outside():
                yield
                self._check_thread()
        finally:
            self._swap()

    def __enter__(self) -> Process:
        self._check_thread()
        # cuBLAS reads this once, at its first use; without it deterministic matrix products raise an error
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self._other = _get_settings()
        torch.set_num_threads(self.num_threads)
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_default_dtype(torch.float32)
        _set_precision(RUN_PRECISION)
        self.signals.__enter__()
        self._open.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.remove(self)
        self.signals.__exit__(kind, error, tb)
        _set_settings(self._other)


def _get_settings() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "dtype": torch.get_default_dtype(),
        "precision": _get_precision(),
        "random": get_random_states(),
    }


def _set_settings(settings: dict[str, Any]) -> None:
    torch.set_num_threads(settings["threads"])
    torch.backends.cudnn.benchmark = settings["benchmark"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(settings["deterministic"], warn_only=settings["warn_only"])
    torch.set_default_dtype(settings["dtype"])
    _set_precision(settings["precision"])
    set_random_states(settings["random"])
