"""Giving experiments to SLURM: one as a job, many as an array, and asking which are queued.

In an array each task is one experiment, or a pack of some. What stands in the state.json of an experiment
names its place in the queue, before and after sbatch has told the job's id:

    one job         job_id 123      comment C
    array task 4    job_id 123_4    comment C_4
    in a pack       job_id 123      comment C      any task of the array may run it, and then notes 123_4
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from src import experiment, files
from src.experiment import Status
from src.jobs import queue
from src.jobs.queue import SlurmError, run, said

WAITS = (2.0, 4.0)  # seconds before the second and the third try of sbatch
GRACE = 120  # seconds
FOLDER = "slurm"  # in the job's folder: which experiments an array or a pack is of, and what SLURM caught of its tasks
MAX_ARRAY_SIZE = 1001  # SLURM's default

_JOB_ID = re.compile(r"Submitted batch job (\d+)|^(\d+)(?:;\S+)?$", re.MULTILINE)  # the second: sbatch --parsable
_LIMIT = re.compile(r"\b(?:QOS|Assoc)\w+")  # which limit it is; not told by every SLURM
_NO_ANSWER = re.compile(r"timed out|no answer in|unable to contact|connection|communication", re.IGNORECASE)


class QueueFull(SlurmError):
    """SLURM takes no more jobs of the user now."""


class NoAnswer(SlurmError):
    """SLURM does not answer: whether it has taken a job is not known."""


@dataclass(frozen=True)
class Launch:
    """How experiments are given to SLURM."""

    script: Path
    grace: int = GRACE  # seconds before the time limit at which an experiment saves its state and requeues itself
    array: bool = False  # as arrays, not a job each
    at_once: int | None = None  # how many tasks of an array may run at a time
    pack: int | None = None  # experiments for each task of an array
    parallel: int = 1  # how many experiments of a pack run at a time
    options: tuple[str, ...] = ()  # further options of sbatch; they win over those in the script

    @property
    def in_arrays(self) -> bool:
        return self.array or self.pack is not None

    def n_tasks(self, n_experiments: int) -> int:
        return -(-n_experiments // (self.pack or 1))


def submit(folder: Path, job_name: str, launch: Launch) -> str:
    """Queues one experiment as a job of its own, notes the job id in its state.json and returns it.

    A failing sbatch is tried again, but never blindly: a controller that is too slow to answer may have
    accepted the job, so squeue is first searched for its comment. Raises SlurmError.
    """
    comment = new_comment(job_name)
    _note_comment([folder], [comment])
    job_id = _submit(sbatch_command(folder, job_name, launch, comment), comment)
    _note_job_ids([folder], [job_id])
    return job_id


def submit_array(folders: list[Path], job_name: str, launch: Launch, after: str | None = None) -> str:
    """Queues experiments of one job folder as one array; returns its job id. As `submit` otherwise.

    `after`: an array that has to end before this one starts.
    """
    comment = new_comment(job_name)
    command = array_command(folders, job_name, launch, comment, after)
    tasks = Path(command[-1] if launch.pack is None else command[-3])
    tasks.parent.mkdir(exist_ok=True)
    files.write_text(tasks, "".join(f"{folder / experiment.SPEC}\n" for folder in folders))
    in_packs = launch.pack is not None
    _note_comment(folders, [comment if in_packs else f"{comment}_{i}" for i in range(len(folders))])
    job_id = _submit(command, comment)
    _note_job_ids(folders, [job_id if in_packs else f"{job_id}_{i}" for i in range(len(folders))])
    return job_id


def sbatch_command(folder: Path, job_name: str, launch: Launch, comment: str) -> list[str]:
    """The command that queues the experiment in `folder`."""
    return [*_sbatch(job_name, launch, comment, folder, "%j"), str(launch.script), str(folder / experiment.SPEC)]


def array_command(
    folders: list[Path], job_name: str, launch: Launch, comment: str, after: str | None = None
) -> list[str]:
    """The command that queues the experiments as an array.

    Its script gets, in the place of a spec.yaml, the list of the experiments: `.array`, of which each task
    runs its own line, or `.pack`, which the tasks share out among themselves.
    """
    logs = folders[0].parent / FOLDER
    most = f"%{launch.at_once}" if launch.at_once else ""
    tasks = logs / f"{comment.rpartition(' ')[2]}.{'array' if launch.pack is None else 'pack'}"
    return [
        *_sbatch(job_name, launch, comment, logs, "%A_%a"),
        f"--array=0-{launch.n_tasks(len(folders)) - 1}{most}",
        *([f"--dependency=afterany:{after}"] if after else []),
        str(launch.script),
        str(tasks),
        *([] if launch.pack is None else ["--parallel", str(launch.parallel)]),
    ]


def new_comment(job_name: str) -> str:
    """What a submission is known by, also if nobody hears the job's id."""
    return f"{job_name} {uuid.uuid4().hex[:8]}"


def max_array_size() -> int:
    """How many tasks an array may have, as this cluster says; SLURM's default if it does not say."""
    result = run(["scontrol", "show", "config"])
    said_so = re.findall(r"\bMaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", result.stdout)
    return min((int(a or b) for a, b in said_so), default=MAX_ARRAY_SIZE)


def queued() -> set[str]:
    """What the user's jobs that wait or run are known by: job ids and comments, of arrays and of their tasks.

    One squeue call. Raises SlurmError if it does not answer.
    """
    return {name for job in queue.jobs() if not job.ended for name in job.names}


def was_submitted(folder: Path) -> bool:
    """Whether the experiment was ever given to SLURM."""
    state = experiment.read_state(folder)
    return bool(state.get("job_id") or state.get("comment"))


def is_queued(folder: Path, queued: set[str]) -> bool:
    """Whether the experiment is in the queue: by its job id, or by its comment if a submission was killed
    before it could note the id."""
    state = experiment.read_state(folder)
    return state.get("job_id") in queued or state.get("comment") in queued


def _sbatch(job_name: str, launch: Launch, comment: str, logs: Path, log_name: str) -> list[str]:
    output = str(logs).replace("%", "%%") + f"/{log_name}.out"  # % starts sbatch's own placeholders
    return [
        "sbatch",
        f"--job-name={job_name}",
        f"--output={output}",
        f"--error={output}",
        "--open-mode=append",  # a requeued job goes on with its log
        "--requeue",
        # B: the batch script, in whose place the submit scripts put Python by `exec`; USR2, as NCCL may use USR1
        f"--signal=B:USR2@{launch.grace}",
        f"--comment={comment}",
        *launch.options,
    ]


def _note_comment(folders: list[Path], comments: list[str]) -> None:
    """Before sbatch: should we be killed now, the comment tells that the experiment is queued. And it may
    start, and write its own state, before sbatch has returned."""
    for folder, comment in zip(folders, comments, strict=True):
        state = experiment.read_state(folder) | {"status": Status.PENDING, "job_id": None, "comment": comment}
        experiment.write_state(folder, state, durable=False)


def _note_job_ids(folders: list[Path], job_ids: list[str]) -> None:
    for folder, job_id in zip(folders, job_ids, strict=True):
        if experiment.status(folder) == Status.PENDING:
            experiment.write_state(folder, experiment.read_state(folder) | {"job_id": job_id}, durable=False)


def forget(folders: list[Path]) -> None:
    """Say of experiments that SLURM would not take that they are in no queue."""
    for folder in folders:
        if was_submitted(folder):
            state = experiment.read_state(folder) | {"job_id": None, "comment": None}
            experiment.write_state(folder, state, durable=False)


def _submit(command: list[str], comment: str) -> str:
    for wait in (*WAITS, None):
        result = run(command)
        if result.returncode == 0 and (found := _JOB_ID.search(result.stdout)):
            return found[1] or found[2]
        if _is_full(result.stderr):
            raise QueueFull(said(result))
        try:
            job_id = _find(comment)
            if job_id is None and wait is not None:
                # A controller that hung answers this question before it has worked off what was sent to it earlier.
                time.sleep(wait)
                job_id = _find(comment)
        except SlurmError as error:
            raise NoAnswer(
                f"sbatch failed: {said(result)}; whether the job is queued all the same is not known: {error}"
            ) from None
        if job_id is not None:
            return job_id
    kind = NoAnswer if _NO_ANSWER.search(result.stderr) else SlurmError
    raise kind(f"sbatch failed {len(WAITS) + 1} times: {said(result)}")


def _is_full(refusal: str) -> bool:
    """Whether sbatch was refused because too many jobs are queued, and not for what this one asks for."""
    if limits := _LIMIT.findall(refusal):
        return any("Submit" in limit for limit in limits)
    return "job submit limit" in refusal or "Resource temporarily unavailable" in refusal


def _find(comment: str) -> str | None:
    """The id of the job or array with that comment, if it waits or runs, or has just ended."""
    return next((job.job_id.partition("_")[0] for job in queue.jobs() if job.comment == comment), None)
