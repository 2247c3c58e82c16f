"""Submitting experiments by sbatch, one as a job or many as an array, and recording it in their state.json.

In an array each task is one experiment, or a pack of several. The state.json of an experiment has its job's id, and
its comment, which is known before sbatch has returned the id:

    one job         job_id 123      comment C
    array task 4    job_id 123_4    comment C_4
    in a pack       job_id 123      comment C      any task of the array may run it, and then writes 123_4
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src import experiment, files
from src.experiment import Status
from src.jobs import folders, slurm_queue
from src.jobs.slurm_command import SlurmError, reason, run

WAITS = (2.0, 4.0)  # seconds before the second and the third try of sbatch
GRACE = 120  # seconds

_JOB_ID = re.compile(r"Submitted batch job (\d+)|^(\d+)(?:;\S+)?$", re.MULTILINE)  # the second: sbatch --parsable
_LIMIT = re.compile(r"\b(?:QOS|Assoc)\w+")  # the name of the limit, which not every SLURM reports
_NO_ANSWER = re.compile(r"timed out|no answer in|unable to contact|connection|communication", re.IGNORECASE)


class QueueFull(SlurmError):
    """SLURM accepts no more jobs of the user now."""


class NoAnswer(SlurmError):
    """SLURM does not answer: whether it has accepted a job is not known."""


@dataclass(frozen=True)
class Launch:
    """How experiments are submitted to SLURM."""

    script: Path
    grace: int = GRACE  # seconds before the time limit at which an experiment saves its state and requeues itself
    array: bool = False  # as arrays instead of one job each
    at_once: int | None = None  # how many tasks of an array may run at a time
    pack: int | None = None  # experiments for each task of an array
    parallel: int = 1  # how many experiments of a pack run at a time
    options: tuple[str, ...] = ()  # further options of sbatch; they override those in the script

    @property
    def in_packs(self) -> bool:
        return self.pack is not None

    @property
    def in_arrays(self) -> bool:
        return self.array or self.in_packs

    def n_tasks(self, n_experiments: int) -> int:
        return -(-n_experiments // (self.pack or 1))


def submit(experiments: list[Path], launch: Launch, after: str | None = None) -> str:
    """Submits experiments of one job folder as one array, or a single one as a job; returns the job id.

    The id is also written to their state.json. A failing sbatch is retried, but only after squeue was searched for
    the comment: a controller that is too slow to answer may have accepted the job. Raises SlurmError.

    `after`: an array that has to end before this one starts.
    """
    comment = new_comment(experiments, launch)
    tasks = [""] * len(experiments)
    if launch.in_arrays:
        specs = task_list(experiments[0].parent, comment, launch.in_packs)
        specs.parent.mkdir(exist_ok=True)
        files.write_text(specs, "".join(f"{folder / experiment.SPEC}\n" for folder in experiments))
    if launch.in_arrays and not launch.in_packs:
        tasks = [f"_{i}" for i in range(len(experiments))]
    _record_comments(experiments, [comment + task for task in tasks])
    job_id = _submit(command(experiments, launch, comment, after), comment)
    _record_job_ids(experiments, [job_id + task for task in tasks])
    return job_id


def command(experiments: list[Path], launch: Launch, comment: str, after: str | None = None) -> list[str]:
    """The command that submits the experiments. In an array the script gets their list instead of a spec.yaml."""
    job_folder = experiments[0].parent
    options, arguments = [], [str(experiments[0] / experiment.SPEC)]
    output = str(experiments[0]).replace("%", "%%") + "/%j.out"  # % starts sbatch's own placeholders
    if launch.in_arrays:
        at_once = f"%{launch.at_once}" if launch.at_once else ""
        options.append(f"--array=0-{launch.n_tasks(len(experiments)) - 1}{at_once}")
        options += [f"--dependency=afterany:{after}"] if after else []
        arguments = [str(task_list(job_folder, comment, launch.in_packs))]
        arguments += ["--parallel", str(launch.parallel)] if launch.in_packs else []
        output = str(job_folder / folders.SLURM).replace("%", "%%") + "/%A_%a.out"
    return [
        "sbatch",
        f"--job-name={_job_name(experiments, launch)}",
        f"--output={output}",
        f"--error={output}",
        "--open-mode=append",  # a requeued job continues its log
        "--requeue",
        # B: only the batch script, which the submit scripts replace by Python with `exec`; USR2, as NCCL may use USR1
        f"--signal=B:USR2@{launch.grace}",
        f"--comment={comment}",
        *launch.options,
        *options,
        str(launch.script),
        *arguments,
    ]


def task_list(job_folder: Path, comment: str, in_packs: bool) -> Path:
    """The file that lists the experiments of an array: `.array`, of which each task runs its own line, or `.pack`,
    whose lines the tasks share."""
    return (
        job_folder / folders.SLURM / f"{comment.rpartition(' ')[2]}{experiment.PACK if in_packs else experiment.ARRAY}"
    )


def new_comment(experiments: list[Path], launch: Launch) -> str:
    """A unique name for a submission, by which squeue finds it even if sbatch never returned the job id."""
    return f"{_job_name(experiments, launch)} {uuid.uuid4().hex[:8]}"


def was_submitted(state: dict[str, Any]) -> bool:
    """Whether a state.json belongs to an experiment that was submitted to SLURM."""
    return bool(state.get("job_id") or state.get("comment"))


def clear_submission(experiments: list[Path]) -> None:
    """Removes job id and comment from the state.json of experiments that SLURM did not accept."""
    for folder in experiments:
        if was_submitted(state := experiment.read_state(folder)):
            experiment.write_state(folder, state | {"job_id": None, "comment": None}, durable=False)


def _job_name(experiments: list[Path], launch: Launch) -> str:
    """The name that squeue shows: the job folder's, without its date; for a single experiment with the experiment's."""
    name = experiments[0].parent.name[len("yy-mm-dd-") :]
    return name if launch.in_arrays else f"{name}-{experiments[0].name}"


def _record_comments(experiments: list[Path], comments: list[str]) -> None:
    """To be called before sbatch: if this process is killed now, the comment shows that the experiment is queued.
    And the job may start, and write its own state, before sbatch has returned."""
    for folder, comment in zip(experiments, comments, strict=True):
        state = experiment.read_state(folder) | {"status": Status.PENDING, "job_id": None, "comment": comment}
        experiment.write_state(folder, state, durable=False)


def _record_job_ids(experiments: list[Path], job_ids: list[str]) -> None:
    for folder, job_id in zip(experiments, job_ids, strict=True):
        if experiment.status(folder) == Status.PENDING:
            experiment.write_state(folder, experiment.read_state(folder) | {"job_id": job_id}, durable=False)


def _submit(command: list[str], comment: str) -> str:
    """The id of the job that the command submits, in up to three tries."""
    for wait in (*WAITS, None):
        result = run(command)
        if result.returncode == 0 and (found := _JOB_ID.search(result.stdout)):
            return found[1] or found[2]
        if _is_full(result.stderr):
            raise QueueFull(reason(result))
        try:
            job_id = slurm_queue.find_job(comment)
            if job_id is None and wait is not None:
                # After a hang a controller answers squeue before it has processed the requests from before.
                time.sleep(wait)
                job_id = slurm_queue.find_job(comment)
        except SlurmError as error:
            raise NoAnswer(
                f"sbatch failed: {reason(result)}; whether the job is queued is not known: {error}"
            ) from None
        if job_id is not None:
            return job_id
    kind = NoAnswer if _NO_ANSWER.search(result.stderr) else SlurmError
    raise kind(f"sbatch failed {len(WAITS) + 1} times: {reason(result)}")


def _is_full(error: str) -> bool:
    """Whether sbatch failed because too many jobs are queued, and not because of what this one asks for."""
    if limits := _LIMIT.findall(error):
        return any("Submit" in limit for limit in limits)
    return "job submit limit" in error or "Resource temporarily unavailable" in error
