"""A job on the private cluster: its file, its experiments, and what a user does with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from helpers import ROOT, run_command
from slurm.cluster import Cluster

from src import experiment
from src.experiment import Status

DEFAULTS = {
    "dataset": "python/toys:Points",
    "data_splits_map": {"train": "train", "test": "test"},
    "model": "linear",
    "averaging": "poly_8",
    "batch_size": 16,
    "train_length": 1,
    "seed_model": 1,
    "seed_training": 2,
}


class Job:
    """A job file in `folder`, to be submitted to a partition of the cluster with `script`."""

    def __init__(self, cluster: Cluster, folder: Path, partition: str = "main", **parameters: Any) -> None:
        self.cluster = cluster
        self.file = folder / "job.yaml"
        self.output_dir = folder / "runs"
        self.script = ROOT / "submit_cpu.sh"
        self.env = cluster.env | {
            "SBATCH_PARTITION": partition,
            "PYTHONPATH": str(Path(__file__).parent),  # the toys
            "OMP_NUM_THREADS": "1",
        }
        details = {"name": "test", "output_dir": str(self.output_dir)}
        self.file.write_text(json.dumps({"job_details": details, "parameters": DEFAULTS | parameters}))

    def submit(self, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        """As a user does at a shell; `path` stands in front of PATH."""
        env = self.env | ({"PATH": f"{path}:{self.env['PATH']}"} if path else {})
        return run_command("submit_multiple.py", self.file, "-s", self.script, "-y", *options, env=env)

    def start(self) -> str:
        """Submit the job's only experiment, and wait until it has trained for an epoch; returns its SLURM job id."""
        submitted = self.submit()
        assert submitted.returncode == 0, submitted.stderr
        self.wait_until(experiment.STATS)
        return str(self.state["job_id"])

    @property
    def experiments(self) -> list[Path]:
        return sorted(spec.parent for spec in self.output_dir.glob(f"*/*/{experiment.SPEC}"))

    @property
    def folder(self) -> Path:
        """Of the only experiment."""
        (folder,) = self.experiments
        return folder

    @property
    def state(self) -> dict[str, Any]:
        return experiment.read_state(self.folder)

    @property
    def log(self) -> str:
        """What SLURM caught of the only experiment."""
        (log,) = self.folder.glob("*.out")
        return log.read_text()

    def wait_until(self, what: Status | str, seconds: float = 60) -> None:
        """Until all experiments have the status, or a file of that name."""

        def reached(folder: Path) -> bool:
            return experiment.status(folder) == what if isinstance(what, Status) else (folder / what).exists()

        try:
            self.cluster.wait_until(
                lambda: all(map(reached, self.experiments)), f"{what} in {self.output_dir}", seconds
            )
        except Exception as error:
            for folder in self.experiments:
                if not reached(folder):
                    error.add_note(f"{folder.name}: {experiment.read_state(folder)}")
                    error.add_note("\n".join(log.read_text()[-1000:] for log in folder.glob("*.out")))
            raise
