"""Small data written the way the real libraries expect them, so that their own loading code runs without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src import config as configs
from src.config import Config


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """A checked Config whose data_dir is the test's own folder."""

    def make(**options: Any) -> Config:
        return configs.build({"data_dir": str(tmp_path / "data"), "seed_training": 0, "num_workers": 0} | options)

    return make


def write_libsvm(path: Path, x: Any, y: Any) -> Path:
    from sklearn.datasets import dump_svmlight_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        dump_svmlight_file(x, y, file, zero_based=False)
    return path


@pytest.fixture
def libsvm_file() -> Callable[[Path, Any, Any], Path]:
    """Writes x (n, features) and labels y in libsvm's format; returns the path."""
    return write_libsvm


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str, Any, Any], None]:
    """Puts data into libsvmdata's cache under the name of a published data set."""

    def fill(name: str, x: Any, y: Any) -> None:
        from libsvmdata import ALL_DATASETS

        raw = write_libsvm(tmp_path / "data" / "libsvm" / "raw", x, y)
        ALL_DATASETS[name]._load_file_and_save_data(raw, raw.parent / name)

    return fill


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module of the user's own where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text) and None


@pytest.fixture
def numbers() -> Callable[[int, int], np.ndarray]:
    """A seeded (n, features) matrix without zeros."""
    return lambda n, features: np.random.default_rng(0).uniform(0.5, 2.0, (n, features))
