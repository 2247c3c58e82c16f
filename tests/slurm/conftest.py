"""The cluster that all tests of this folder share, and jobs on it. Skipped where SLURM is not installed."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm.cluster import Cluster, missing_programs
from slurm.jobs import Job


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed here ({', '.join(missing)} not found); `make test-slurm` installs it")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that even then the cluster is stopped
    with Cluster() as cluster:
        yield cluster
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def big_grid(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """108 experiments in the shape of jobs/linear-classifier-example.yaml, submitted and perhaps not yet done."""
    job = Job(
        cluster,
        tmp_path_factory.mktemp("big-grid"),
        "background",
        LIST_rates=[
            {"base_lr": [0.1, 0.3, 1, 3, 10, 30], "momentum": 0.0},
            {"base_lr": [0.01, 0.03, 0.1, 0.3, 1, 3], "momentum": [0.9, 0.99]},
        ],
        batch_size=[4, 8, 16, 32, 64, 128],
    )
    submitted = job.submit()
    assert submitted.returncode == 0, submitted.stderr
    return job


@pytest.fixture(scope="session", autouse=True)
def _big_grid_in_the_background(request: pytest.FixtureRequest) -> None:
    """Its minutes of computing pass while the other tests wait for SLURM."""
    if any("big_grid" in item.fixturenames for item in request.session.items):  # type: ignore[attr-defined]
        request.getfixturevalue("big_grid")


@pytest.fixture
def make_job(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Makes a job of the test's own; what is left of it when the test is over is cancelled."""
    yield functools.partial(Job, cluster, tmp_path)
    for partition in ("main", "killable", "closed"):
        cluster.command("scancel", f"--partition={partition}", "--me")
    cluster.wait_until(lambda: not cluster.command("squeue", "-h", "-p", "main,killable,closed"), "the queue is empty")
