"""--prepare: data and weights are downloaded once, on this machine, before anything of a job is started."""

from __future__ import annotations

from pathlib import Path

from src import experiment
from src.jobs.identity import needs
from src.jobs.local import run_train
from src.jobs.text import count


def prepare(job_folder: Path, experiments: list[Path]) -> int:
    """Downloads and checks what the experiments need, with the job's own copy of the code; returns train.py's exit code.

    Of the experiments that need the same data and weights only the first is checked.
    """
    firsts: dict[str, Path] = {}
    for folder in experiments:
        firsts.setdefault(needs(experiment.read_options(folder)), folder)
    same = ": the others need the same data and weights" if len(firsts) < len(experiments) else ""
    print(f"Preparing {len(firsts)} of {count(len(experiments))}{same}.", flush=True)
    return run_train(job_folder, list(firsts.values()), ["--prepare"])
