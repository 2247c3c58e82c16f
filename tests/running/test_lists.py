"""What the tasks of a SLURM array run: `train.py NAME.array`, and `train.py NAME.pack`, which they share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers import run_command, start_command, wait_until
from warm import WarmProcess

from src import yaml_io
from src.experiment import Status, read_state, status

_MODELS = """
import os, signal, torch

def fails(num_classes, input_shape):
    raise RuntimeError("made to fail")

def is_killed(num_classes, input_shape):
    os.kill(os.getpid(), signal.SIGKILL)

class Slow(torch.nn.Linear):
    def __init__(self, num_classes, input_shape):
        super().__init__(*input_shape, num_classes)

    def forward(self, x):
        import time
        if self.training and not os.path.exists(os.environ["HURRY"]):
            time.sleep(0.1)
        return super().forward(x)
"""


class SlurmJob:
    """A job folder, and the environment of a SLURM array's task in it; its scontrol notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n')
        (folder / "bin" / "scontrol").chmod(0o755)
        (folder / "my_models.py").write_text(_MODELS)
        (folder / "slurm").mkdir()
        self.experiments: list[Path] = []

    def experiment(self, **changes: Any) -> Path:
        folder = self.folder / f"{len(self.experiments)}_x"
        folder.mkdir()
        options = {
            "dataset": "sklearn/iris", "data_splits_map": {"train": "train"}, "model": "linear", "train_length": 1,
            "seed_model": 0, "seed_training": 0, "log_interval": 1,
        }  # fmt: skip
        (folder / "spec.yaml").write_text(yaml_io.dump(options | changes))
        self.experiments.append(folder)
        return folder

    def list(self, suffix: str) -> Path:
        path = self.folder / "slurm" / f"1234{suffix}"
        path.write_text("".join(f"{folder}/spec.yaml\n" for folder in self.experiments))
        return path

    def environment(self, task: int, restarts: int = 0) -> dict[str, str]:
        slurm = {
            "SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_NAME": "grid",
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(self.folder),
            "HURRY": str(self.folder / "hurry"),
        }  # fmt: skip
        return os.environ | slurm | ({"SLURM_RESTART_COUNT": str(restarts)} if restarts else {})

    def start(self, pack: Path, task: int, restarts: int = 0) -> WarmProcess:
        return start_command("train.py", pack, "--parallel", "2", env=self.environment(task, restarts))

    def statuses(self) -> list[Status]:
        return [status(folder) for folder in self.experiments]


@pytest.fixture
def job(tmp_path: Path) -> SlurmJob:
    return SlurmJob(tmp_path)


def test_a_task_of_an_array_runs_the_experiment_in_its_line_under_its_name_and_with_its_log(job: SlurmJob) -> None:
    job.experiment()
    own = job.experiment()
    log = job.folder / "slurm" / "7_1.out"
    log.write_text("from before Python\n")
    for restarts in (0, 1):  # a requeued task finds all that already
        done = run_command("train.py", job.list(".array"), env=job.environment(1, restarts))
        assert done.returncode == 0, done.stderr
    assert job.statuses() == [Status.PENDING, Status.DONE]
    assert read_state(own)["job_id"] == "7_1"
    with log.open("a") as written:
        written.write("of SLURM, at the end\n")
    assert (own / "7_1.out").read_text() == "from before Python\nof SLURM, at the end\n"
    assert (job.folder / "asked").read_text() == "update JobId=7_1 JobName=grid-1_x\n" * 2


@pytest.mark.parametrize(("task", "said"), [(5, "is 5, and must be 0 to 0"), (None, "is not set")])
def test_a_list_that_holds_nothing_for_the_task_is_told(job: SlurmJob, task: int | None, said: str) -> None:
    job.experiment()
    env = os.environ if task is None else job.environment(task)
    done = run_command("train.py", job.list(".array"), env=dict(env))
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_list_is_given_alone_and_has_to_be_there(job: SlurmJob) -> None:
    spec = job.experiment() / "spec.yaml"
    assert "is given alone" in run_command("train.py", job.list(".pack"), spec).stderr
    assert "cannot be read" in run_command("train.py", job.folder / "no.pack").stderr


def test_two_packs_share_their_list_and_a_member_that_fails_or_is_killed_harms_no_other(job: SlurmJob) -> None:
    for number in range(12):
        models = {3: "python/my_models:fails", 7: "python/my_models:is_killed"}
        job.experiment(model=models.get(number, "python/my_models:Slow"), train_length=20)
    pack = job.list(".pack")
    packs = [job.start(pack, task) for task in (0, 1)]
    wait_until(lambda: {read_state(folder).get("job_id") for folder in job.experiments} >= {"7_0", "7_1"}, *packs)
    (job.folder / "hurry").touch()
    outputs = [process.communicate(timeout=120)[0] for process in packs]
    expected = [Status.FAILED if number in (3, 7) else Status.DONE for number in range(12)]
    assert job.statuses() == expected
    states = [read_state(folder) for folder in job.experiments]
    assert {state["attempt"] for number, state in enumerate(states) if number != 3} == {1}, "one was run twice"
    assert "made to fail" in states[3]["cause"] and states[7]["cause"] == "killed by SIGKILL"
    assert {state["job_id"] for state in states} == {"7_0", "7_1"}, outputs
    assert sorted(process.returncode for process in packs) in ([0, 1], [1, 1])
    assert not list(job.folder.glob("*/.claim*"))
    # what has failed waits for its user
    assert run_command("train.py", pack, env=job.environment(2)).returncode == 0
    assert job.statuses() == expected
    # a member's output is called as if it had a job of its own
    assert all(
        (folder / f"{state['job_id']}.out").exists() for folder, state in zip(job.experiments, states, strict=True)
    )


def test_a_pack_that_is_stopped_or_killed_goes_on_with_what_is_left(job: SlurmJob) -> None:
    for _ in range(4):
        job.experiment(model="python/my_models:Slow", train_length=30)
    pack, first_two = job.list(".pack"), job.experiments[:2]

    with job.start(pack, 3) as process:  # SLURM warns it of the time limit
        wait_until(lambda: all((folder / "stats.csv").exists() for folder in first_two), process)
        process.send_signal(signal.SIGUSR2)
        assert process.wait(timeout=120) == 128 + signal.SIGUSR2
    assert job.statuses() == [Status.REQUEUED] * 2 + [Status.PENDING] * 2
    assert (job.folder / "asked").read_text() == "requeue 7_3\n"
    assert not list(job.folder.glob("*/.claim*"))

    saved = [read_state(folder)["saved_step"] for folder in first_two]
    with job.start(pack, 3, restarts=1) as process:
        wait_until(
            lambda: all(read_state(folder)["step"] > step + 2 for folder, step in zip(first_two, saved, strict=True)),
            process,
        )
        process.kill()
    wait_until(lambda: job.statuses()[:2] == [Status.FAILED] * 2)  # without their worker they save their state, and end
    (job.folder / "hurry").touch()
    assert [read_state(folder)["cause"] for folder in first_two] == ["stopped by SIGTERM"] * 2

    with job.start(pack, 1) as process:  # another pack takes over what the dead one held
        assert process.wait(timeout=120) == 0
    assert job.statuses() == [Status.DONE] * 4
    assert [read_state(folder)["attempt"] for folder in job.experiments] == [3, 3, 1, 1]
    assert all(read_state(folder)["first_step"] > step for folder, step in zip(first_two, saved, strict=True))
