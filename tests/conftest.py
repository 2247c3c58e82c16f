"""Fixtures that tests of several rooms share: small configs and a freshly run grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import run_fresh, start_command
from hypothesis import settings
from slurm_stub import SlurmStub
from warm import WarmProcess

from src import config as config_module
from src.config import Config
from src.jobs import local, sbatch, states

settings.register_profile("any speed", deadline=None)  # a busy machine is no failure
settings.load_profile("any speed")


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Config]:
    """Makes the config of a seeded run of milliseconds: linear on iris, 120 train and 30 test samples."""

    def make(**changes: Any) -> Config:
        values = {
            "output_dir": str(tmp_path / "run"),
            "dataset": "sklearn/iris",
            "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"},
            "model": "linear",
            "batch_size": 16,
            "base_lr": 0.1,
            "train_length": 3,
            "seed_model": 1,
            "seed_training": 2,
            "checkpoint_every_seconds": 0,
        }
        return config_module.build(values | changes)

    return make


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmStub:
    """sbatch and squeue for this test; no waits between two tries."""
    stub = SlurmStub(tmp_path / "bin")
    monkeypatch.setenv("PATH", stub.path)
    monkeypatch.setattr(sbatch, "WAITS", (0, 0))
    monkeypatch.setattr(states, "RECHECK_AFTER", 0)
    return stub


@pytest.fixture
def warm_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """The train.py of a job, which submit_multiple.main starts on this machine, finds torch loaded already."""

    def popen(command: list[str]) -> WarmProcess:
        return start_command(*command[1:], cwd=Path.cwd(), inherit_output=True)

    monkeypatch.setattr(local, "subprocess", SimpleNamespace(Popen=popen))


@pytest.fixture(scope="session")
def demo_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a grid of four short experiments on digits, run by submit_multiple.py --local 2."""
    folder = tmp_path_factory.mktemp("demo")
    job = folder / "grid.yaml"
    job.write_text(
        f"""
job_details: {{name: tiny-demo, output_dir: {folder / "runs"}}}
parameters:
  dataset: sklearn/digits
  data_splits_map: {{train: 'train[:80%]', test: 'train[80%:]'}}
  model: linear
  train_length: 3
  seed_model: 0
  seed_training: 0
  base_lr: [0.1, 0.3]
  momentum: [0, 0.9]
  averaging: poly_8
"""
    )
    done = run_fresh("submit_multiple.py", job, "--local", "2", "-y")
    assert done.returncode == 0, done.stdout + done.stderr
    (job_folder,) = (folder / "runs").iterdir()
    return job_folder
