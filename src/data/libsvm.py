"""`libsvm/<name or path>`: a data set of the LIBSVM site through libsvmdata, or a local file in its format.

A split `test` is the published test file where there is one (`a9a_test` for `a9a`), or the file beside a
local one that is called `<path>.t` or `<path>_test`. Everything else is in `train`.
"""

from __future__ import annotations

import bz2
import difflib
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from scipy import sparse

from src.config import Config
from src.data.files import workplace
from src.data.source import Examples, Source
from src.data.splits import named_splits

_OPEN = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def load_source(name: str, config: Config) -> Source:
    from libsvmdata import ALL_DATASETS

    if name in ALL_DATASETS:
        parts = {"train": name} | ({"test": f"{name}_test"} if f"{name}_test" in ALL_DATASETS else {})
        task = ALL_DATASETS[name].task_name
        if task == "multilabel":
            raise ValueError(f"dataset 'libsvm/{name}' has several labels an example, which no loss here can use")
        named = named_splits(config, list(parts))
        read = [_read_published(ALL_DATASETS[parts[split]], config) for split in named]
    elif Path(name).is_file():
        test = _test_file(Path(name))
        parts = {"train": name} | ({"test": str(test)} if test else {})
        task = "regression" if config.loss in ("mse", "square") else "classification"
        named = named_splits(config, list(parts))
        read = _read_files([Path(parts[split]) for split in named])
    else:
        close = [known for known in ALL_DATASETS if known.startswith(f"{name}.")]  # rcv1.binary, rcv1.multiclass
        close = close[:3] or difflib.get_close_matches(name, ALL_DATASETS, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"dataset 'libsvm/{name}' is neither a name that libsvmdata knows nor a file{hint}")
    for split, (x, _) in zip(named, read, strict=True):
        if x.shape[0] == 0:
            raise ValueError(f"dataset 'libsvm/{parts[split]}' holds no examples")
    return Source(
        dict(zip(named, _examples(read, config), strict=True)),
        task="regression" if task == "regression" else "classification",
        one_split=len(parts) == 1,
    )


def _examples(read: Sequence[tuple[Any, np.ndarray]], config: Config) -> list[Examples]:
    """Matrices of one width, and their labels -> float32 Examples, all dense or all sparse.

    Dense if that keeps the limit, or takes no more memory than sparse would (4 bytes a value against 8).
    """
    from sklearn.preprocessing import normalize

    n_values = sum(x.shape[0] * x.shape[1] for x, _ in read)
    n_stored = sum(x.size for x, _ in read)  # of a sparse matrix: what is not zero
    dense = 4 * n_values <= config.max_dense_gb * 1e9 or 2 * n_stored >= n_values
    splits = []
    x: Any
    for matrix, y in read:
        if isinstance(matrix, np.ndarray):
            x = np.ascontiguousarray(matrix, np.float32)
        else:
            x = matrix.astype(np.float32).tocsr()
        if config.libsvm_normalize:
            x = normalize(x, norm="l2", axis=1, copy=False)  # a row of zeros stays so
        if dense:
            x = torch.from_numpy(x if isinstance(x, np.ndarray) else x.toarray(order="C"))
        elif isinstance(x, np.ndarray):
            x = sparse.csr_matrix(x)
        splits.append(Examples(x, torch.from_numpy(y)))
    return splits


# --- local files --------------------------------------------------------------------------------------


def _test_file(path: Path) -> Path | None:
    stem = path.with_suffix("") if path.suffix in _OPEN else path
    candidates = (Path(f"{stem}{mark}{packed}") for mark in (".t", "_test") for packed in ("", *_OPEN))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _open(path: Path) -> IO[bytes]:
    opener: Any = _OPEN.get(path.suffix, open)
    return opener(path, "rb")


def _read_files(paths: list[Path]) -> list[tuple[sparse.csr_matrix, np.ndarray]]:
    """Read together, because whether features count from 0 or 1 is found from all of them."""
    from sklearn.datasets import load_svmlight_files

    try:
        with ExitStack() as stack:
            files = [stack.enter_context(_open(path)) for path in paths]
            arrays = load_svmlight_files(files)
    except (ValueError, OSError, EOFError, lzma.LZMAError) as error:
        names = " and ".join(str(path) for path in paths)
        raise ValueError(f"{names} cannot be read as libsvm data: {error}") from None
    return list(zip(arrays[::2], arrays[1::2], strict=True))


# --- published data -----------------------------------------------------------------------------------


def _read_published(dataset: Any, config: Config) -> tuple[Any, np.ndarray]:
    """Matrix and labels of one of libsvmdata's data sets, from its cache under data_dir/libsvm, which is filled first."""
    folder = Path(config.data_dir) / "libsvm"
    if not _is_cached(dataset.dataset_name, folder):
        _prepare(dataset, folder, config.data_download)
    try:
        return dataset._load_data(folder / dataset.dataset_name)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{folder / dataset.dataset_name}_X or _y is damaged ({error}); delete both, and they are made again"
        ) from error


def _is_cached(name: str, folder: Path) -> bool:
    # not libsvmdata's own check: it takes the files of 'duke breast-cancer' for those of 'breast-cancer'
    return all(any((folder / f"{name}_{part}.{kind}").is_file() for kind in ("npz", "npy")) for part in "Xy")


def _prepare(dataset: Any, folder: Path, may_download: bool) -> None:
    """Fill the cache of one data set: from a raw file that was put into `folder` by hand, or else by a download.

    Many experiments of a grid may come here at once: one works, the others wait for its lock. The finished files
    are moved to their place, so that a part of one is never read.
    """
    name, placed = dataset.dataset_name, folder / dataset.dataset_file
    try:
        with workplace(folder / name) as scratch:
            if _is_cached(name, folder):
                return
            raw = scratch / placed.name
            if placed.is_file():
                raw.symlink_to(placed.resolve())  # libsvmdata deletes the raw file that it has read
            else:
                _download(dataset, raw, placed, may_download)
            try:
                dataset._load_file_and_save_data(raw, scratch / name)
            except (ValueError, EOFError) as error:
                raise ValueError(f"{placed.name} of 'libsvm/{name}' cannot be read as libsvm data: {error}") from None
            for finished in sorted(scratch.glob(f"{name}_[Xy].np[yz]")):
                finished.replace(folder / finished.name)
    except OSError as error:
        raise ValueError(f"'libsvm/{name}' cannot be prepared in {folder}: {error.strerror or error}") from None


def _download(dataset: Any, raw: Path, placed: Path, may_download: bool) -> None:
    from libsvmdata.abstraction import download

    by_hand = f"get {dataset.dataset_url} by hand and put it at {placed}"
    if not may_download:
        raise ValueError(
            f"'libsvm/{dataset.dataset_name}' is not in {placed.parent} and data_download is false; {by_hand}"
        )
    try:
        download(dataset.dataset_url, raw, progressbar=False, verbose=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].removeprefix("Error: ")
        raise ValueError(f"'libsvm/{dataset.dataset_name}' could not be fetched ({reason}); {by_hand}") from None
