"""`libsvm/<name or path>`: a data set of the LIBSVM site through libsvmdata, or a local file in its format.

The split `test` is the published test file, if there is one (`a9a_test` for `a9a`); for a local file, it is the file
`<path>.t` or `<path>_test` beside it. All other examples are in `train`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from scipy import sparse

from src import families
from src.config import Config
from src.data.files import locked_scratch
from src.data.source import Examples, Source
from src.data.splits import named_splits
from src.hints import did_you_mean

MOST_FEATURES = 2**31 - 1  # what the indices of a sparse matrix hold
_OPEN = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def load_source(name: str, config: Config) -> Source:
    from libsvmdata import ALL_DATASETS

    notes: list[str] = []
    if name in ALL_DATASETS:
        parts = {"train": name} | ({"test": f"{name}_test"} if f"{name}_test" in ALL_DATASETS else {})
        task = ALL_DATASETS[name].task_name
        if task == "multilabel":
            raise ValueError(f"dataset 'libsvm/{name}' has several labels per example, which no loss here supports")
        named = named_splits(config, list(parts))
        read = [_read_published(ALL_DATASETS[parts[split]], config) for split in named]
    elif Path(name).is_file():
        test = _test_file(Path(name))
        parts = {"train": name} | ({"test": str(test)} if test else {})
        task = "regression" if config.loss in families.SQUARED_ERROR else "classification"
        if config.libsvm_task is None:
            notes.append(f"{name} is read as {task}, since loss is {config.loss}; set libsvm_task to choose")
        named = named_splits(config, list(parts))
        read = _read_files([Path(parts[split]) for split in named])
    else:
        hint = did_you_mean(name, ALL_DATASETS, n=3)
        raise ValueError(f"dataset 'libsvm/{name}' is neither a name that libsvmdata knows nor a file{hint}")
    for split, (x, _) in zip(named, read, strict=True):
        if x.shape[0] == 0:
            raise ValueError(f"dataset 'libsvm/{parts[split]}' has no examples")
    return Source(
        dict(zip(named, _examples(read, config), strict=True)),
        task="regression" if (config.libsvm_task or task) == "regression" else "classification",
        shuffle="always" if len(parts) == 1 else "never",
        notes=notes,
    )


def _examples(read: Sequence[tuple[Any, np.ndarray]], config: Config) -> list[Examples]:
    """Matrices of one width, and their labels -> float32 Examples, all dense or all sparse.

    Dense within max_dense_gb, or if dense takes no more memory than sparse (4 bytes per value against 8).
    """
    from sklearn.preprocessing import normalize

    n_values = sum(x.shape[0] * x.shape[1] for x, _ in read)
    n_stored = sum(x.size for x, _ in read)  # of a sparse matrix: its non-zero values
    dense = 4 * n_values <= config.max_dense_gb * 1e9 or 2 * n_stored >= n_values
    splits = []
    x: Any
    for matrix, y in read:
        if isinstance(matrix, np.ndarray):
            x = np.ascontiguousarray(matrix, np.float32)
        else:
            x = matrix.astype(np.float32).tocsr()
        if config.libsvm_normalize:
            x = normalize(x, norm="l2", axis=1, copy=False)  # a row of zeros stays zero
        if dense:
            x = torch.from_numpy(x if isinstance(x, np.ndarray) else x.toarray(order="C"))
        elif isinstance(x, np.ndarray):
            x = sparse.csr_matrix(x)
        splits.append(Examples(x, torch.from_numpy(y)))
    return splits


# --- local files --------------------------------------------------------------------------------------


def _test_file(path: Path) -> Path | None:
    stem = path.with_suffix("") if path.suffix in _OPEN else path
    candidates = (Path(f"{stem}{mark}{suffix}") for mark in (".t", "_test") for suffix in ("", *_OPEN))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _open(path: Path) -> IO[bytes]:
    opener: Any = _OPEN.get(path.suffix, open)
    return opener(path, "rb")


def _read_files(paths: list[Path]) -> list[tuple[sparse.csr_matrix, np.ndarray]]:
    """The files are read together, because all of them show whether features count from 0 or 1."""
    from sklearn.datasets import load_svmlight_files

    try:
        with ExitStack() as stack:
            files = [stack.enter_context(_open(path)) for path in paths]
            arrays = load_svmlight_files(files)
    except (ValueError, OverflowError, OSError, EOFError, lzma.LZMAError) as error:
        names = " and ".join(str(path) for path in paths)
        fault = None if isinstance(error, OSError | EOFError | lzma.LZMAError) else _fault(paths)
        raise ValueError(fault or f"{names} cannot be read as libsvm data: {error}") from None
    read = list(zip(arrays[::2], arrays[1::2], strict=True))
    if any(not np.isfinite(x.data).all() or not np.isfinite(y).all() or x.shape[1] > MOST_FEATURES for x, y in read):
        raise ValueError(_fault(paths))
    return read


def _fault(paths: list[Path]) -> str | None:
    """What is wrong in the first line that cannot be used, with its number."""
    for path in paths:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if problem := _problem(line.split(b"#")[0].split()):
                    return f"{path}, line {number}: {problem}; a line is `label index:value index:value ...`"
    return None


def _problem(words: list[bytes]) -> str:
    last = -1
    try:
        if words and not math.isfinite(float(words[0])):
            return f"the label is {words[0].decode()}"
        for word in words[1:]:
            index, _, value = word.partition(b":")
            if index == b"qid":
                continue
            if not math.isfinite(float(value)):
                return f"feature {int(index)} is {value.decode()}"
            if not last < int(index) <= MOST_FEATURES:
                return (
                    f"feature {int(index)} comes after {last}"
                    if int(index) <= last
                    else f"there is no feature {int(index)}"
                )
            last = int(index)
    except ValueError:
        return f"{b' '.join(words)[:60].decode(errors='replace')!r} cannot be read"
    return ""


# --- published data -----------------------------------------------------------------------------------


def _read_published(dataset: Any, config: Config) -> tuple[Any, np.ndarray]:
    """Matrix and labels of a data set of libsvmdata, from its cache under data_dir/libsvm, which is filled if needed."""
    folder = Path(config.data_dir) / "libsvm"
    if not _is_cached(dataset.dataset_name, folder):
        _fill_cache(dataset, folder, config.data_download)
    try:
        return dataset._load_data(folder / dataset.dataset_name)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{folder / dataset.dataset_name}_X or _y is damaged ({error}); delete both to write them again"
        ) from error


def _is_cached(name: str, folder: Path) -> bool:
    # libsvmdata's own check confuses the files of 'duke breast-cancer' with those of 'breast-cancer'
    return all(any((folder / f"{name}_{part}.{kind}").is_file() for kind in ("npz", "npy")) for part in "Xy")


def _fill_cache(dataset: Any, folder: Path, may_download: bool) -> None:
    """Write the cache of one data set: from a raw file that the user put into `folder`, or else from a download.

    Many experiments of a grid may call this at once: one works, the others wait for its lock. Only complete files are
    moved to the cache, so that an incomplete one is never read.
    """
    name, user_file = dataset.dataset_name, folder / dataset.dataset_file
    try:
        with locked_scratch(folder / name) as scratch:
            if _is_cached(name, folder):
                return
            raw = scratch / user_file.name
            if user_file.is_file():
                raw.symlink_to(user_file.resolve())  # libsvmdata deletes the raw file after reading it
            else:
                _download(dataset, raw, user_file, may_download)
            try:
                dataset._load_file_and_save_data(raw, scratch / name)
            except (ValueError, EOFError) as error:
                raise ValueError(
                    f"{user_file.name} of 'libsvm/{name}' cannot be read as libsvm data: {error}"
                ) from None
            for finished in sorted(scratch.glob(f"{name}_[Xy].np[yz]")):
                finished.replace(folder / finished.name)
    except OSError as error:
        raise ValueError(f"'libsvm/{name}' cannot be cached in {folder}: {error.strerror or error}") from None


def _download(dataset: Any, raw: Path, user_file: Path, may_download: bool) -> None:
    from libsvmdata.abstraction import download

    by_hand = f"get {dataset.dataset_url} by hand and put it at {user_file}"
    if not may_download:
        raise ValueError(
            f"'libsvm/{dataset.dataset_name}' is not in {user_file.parent} and data_download is false; {by_hand}"
        )
    try:
        download(dataset.dataset_url, raw, progressbar=False, verbose=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].removeprefix("Error: ")
        raise ValueError(f"'libsvm/{dataset.dataset_name}' could not be fetched ({reason}); {by_hand}") from None
