"""Packs on a real SLURM: several experiments in a job, shared out among jobs on two nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from slurm.cluster import Cluster
from slurm.jobs import Job

from src import experiment
from src.experiment import Status

MakeJob = Callable[..., Job]


def test_packs_on_two_nodes_share_108_experiments_and_a_failing_or_killed_one_harms_no_other(
    cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job(model="python/toys:unlucky", seed_model=list(range(108)))
    text = job.script.read_text()
    job.script = job.file.with_name("submit.sh")
    job.script.write_text(text.replace("#SBATCH --cpus-per-task=2", "#SBATCH --cpus-per-task=4"))  # a node for each
    submitted = job.submit("--pack", "12", "--parallel", "4", "--array", "2")
    assert submitted.returncode == 0, submitted.stderr
    array = submitted.stdout.split(", as array ")[1].split(".")[0]

    def accounted() -> list[str]:
        return cluster.command("sacct", "-nPX", f"--jobs={array}", "--format=jobid,state,nodelist").splitlines()

    cluster.wait_until(lambda: array not in cluster.command("squeue", "-h", "-o", "%F"), "all packs ended", seconds=300)
    states = {folder.name: experiment.read_state(folder) for folder in job.experiments}
    failed = [folder.name for folder in job.experiments if experiment.status(folder) != Status.DONE]
    assert len(states) == 108
    assert failed == ["013_seed_model=13", "026_seed_model=26"]
    assert [states[name]["cause"] for name in failed] == ["RuntimeError: made to fail", "killed by SIGKILL"]
    assert {state["attempt"] for name, state in states.items() if name != failed[0]} == {1}, "one was run twice"
    cluster.wait_until(lambda: len(accounted()) == 9, "sacct knows all packs")  # 108 / 12
    ran = Counter(state["job_id"] for state in states.values())
    nodes = {row.split("|")[0]: row.split("|")[2] for row in accounted()}
    assert {nodes[job_id] for job_id in ran} == {"n1", "n2"}, ran
    assert not list(job.experiments[0].parent.glob("*/.claim*"))
