"""Jobs for tests: their files, submitting them to the stub of SLURM, and what their experiments leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers import ROOT
from slurm_stub import SlurmStub

import submit_multiple
from src import experiment, yaml_io
from src.experiment import Status
from src.jobs import folders


def write_job(tmp_path: Path, name: str = "grid", **parameters: Any) -> Path:
    defaults = {
        "dataset": "sklearn/iris",
        "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"},
        "model": "linear",
        "train_length": 1,
        "seed_model": 1,
        "seed_training": 1,
    }
    path = tmp_path / f"{name}.yaml"
    details = {"name": name, "output_dir": str(tmp_path / "runs")}
    path.write_text(yaml_io.dump({"job_details": details, "parameters": defaults | parameters}))
    return path


def submit(*arguments: str | Path) -> int:
    return submit_multiple.main([*map(str, arguments), "-s", str(ROOT / "submit_cpu.sh"), "-y"])


def newest(tmp_path: Path, name: str = "grid") -> Path:
    folder = folders.find_job_folder(tmp_path / "runs", name)
    assert folder is not None
    return folder


def finish(folder: Path, status: Status = Status.DONE) -> None:
    """Leaves behind what an experiment does that has ended with this status."""
    experiment.write_state(folder, experiment.read_state(folder) | {"status": status})
    if status == Status.DONE:
        (folder / experiment.DONE).touch()


def started(stub: SlurmStub, since: int) -> list[str]:
    """The experiments that sbatch was called for, after its first `since` calls."""
    return [Path(call[-1]).parent.name for call in stub.calls[since:]]
