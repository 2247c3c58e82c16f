"""The private cluster itself: it leaves nothing behind."""

from __future__ import annotations

import pytest
from slurm.cluster import Cluster, ClusterError


def test_a_cluster_ends_all_that_runs_in_it_and_deletes_its_files(cluster: Cluster) -> None:
    with Cluster() as second:  # beside the one of the session
        job_id = second.command("sbatch", "--parsable", "--output=/dev/null", "--wrap=trap '' TERM; sleep 600")
        second.wait_until(lambda: "sleep" in second.programs(), f"job {job_id} runs")
    assert second.processes() == []
    assert not second.folder.exists()
    assert "slurmctld" in cluster.programs()


def test_a_cluster_whose_start_fails_half_way_ends_what_it_has_started(cluster: Cluster) -> None:
    class Broken(Cluster):
        def _start_slurmd(self, node: str) -> None:
            assert {"munged", "slurmctld"} <= self.programs()
            raise ClusterError("no slurmd")

    broken = Broken()
    with pytest.raises(ClusterError, match="no slurmd"), broken:
        pass
    assert broken.processes() == []
    assert not broken.folder.exists()
