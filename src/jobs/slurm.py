"""Talking to SLURM: submitting one experiment, and asking what is queued."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

from src import experiment
from src.experiment import Status

WAITS = (2.0, 4.0)  # seconds before the second and the third try of sbatch
GRACE = 120  # seconds
TIMEOUT = 120  # seconds; a controller that hangs answers sbatch after 10 s, a bad SLURM_CONF after 60 s

_JOB_ID = re.compile(r"Submitted batch job (\d+)|^(\d+)(?:;\S+)?$", re.MULTILINE)  # the second: sbatch --parsable

# A job that is submitted from inside another would inherit its SLURM_* variables, CPU binding included.
# What people set in their shell's start file says where they may compute, and stays.
_KEPT = ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS")
_SCRUBBED = ("SLURM_", "SBATCH_", "SQUEUE_")  # SQUEUE_STATES would hide jobs from us


class SlurmError(RuntimeError):
    """SLURM refused or did not answer; the message says what it said."""


def submit(folder: Path, script: Path, job_name: str, grace: int = GRACE) -> str:
    """Queues one experiment, notes the job id in its state.json and returns it.

    `grace`: seconds before the time limit at which the experiment is told to save its state and requeue itself.

    A failing sbatch is tried again, but never blindly: a controller that is too slow to answer may have
    accepted the job, so squeue is first searched for its comment. Raises SlurmError.
    """
    comment = f"{job_name} {uuid.uuid4().hex[:8]}"
    # Before sbatch: should we be killed now, the comment tells that the job is queued. And the job may
    # start, and write its own state, before sbatch has returned.
    state = experiment.read_state(folder) | {"status": Status.PENDING, "job_id": None, "comment": comment}
    experiment.write_state(folder, state, durable=False)
    job_id = _submit(sbatch_command(folder, script, job_name, comment, grace), comment)
    state = experiment.read_state(folder)
    if experiment.status(folder) == Status.PENDING:
        experiment.write_state(folder, {**state, "job_id": job_id}, durable=False)
    return job_id


def sbatch_command(folder: Path, script: Path, job_name: str, comment: str, grace: int = GRACE) -> list[str]:
    """The command that queues the experiment in `folder`."""
    output = str(folder).replace("%", "%%") + "/%j.out"  # % starts sbatch's own placeholders
    return [
        "sbatch",
        f"--job-name={job_name}",
        f"--output={output}",
        f"--error={output}",
        "--open-mode=append",  # a requeued job goes on with its log
        "--requeue",
        # B: the batch script, in whose place the submit scripts put Python by `exec`; USR2, as NCCL may use USR1
        f"--signal=B:USR2@{grace}",
        f"--comment={comment}",
        str(script),
        str(folder / experiment.SPEC),
    ]


def queued() -> set[str]:
    """The ids, and the comments, of the user's jobs that wait or run. One squeue call.

    Raises SlurmError if squeue does not answer.
    """
    comments = _comments()
    return {*comments, *comments.values()} - {""}


def was_submitted(folder: Path) -> bool:
    """Whether the experiment was ever given to SLURM."""
    state = experiment.read_state(folder)
    return bool(state.get("job_id") or state.get("comment"))


def is_queued(folder: Path, queued: set[str]) -> bool:
    """Whether the experiment is in the queue: by its job id, or by its comment if a submission was killed
    before it could note the id."""
    state = experiment.read_state(folder)
    return state.get("job_id") in queued or state.get("comment") in queued


def _submit(command: list[str], comment: str) -> str:
    for wait in (*WAITS, None):
        result = _run(command)
        if result.returncode == 0 and (found := _JOB_ID.search(result.stdout)):
            return found[1] or found[2]
        try:
            job_id = _find(comment)
            if job_id is None and wait is not None:
                # A controller that hung answers this question before it has worked off what was sent to it earlier.
                time.sleep(wait)
                job_id = _find(comment)
        except SlurmError as error:
            raise SlurmError(
                f"sbatch failed: {_said(result)}; whether the job is queued all the same is not known: {error}"
            ) from None
        if job_id is not None:
            return job_id
    raise SlurmError(f"sbatch failed {len(WAITS) + 1} times: {_said(result)}")


def _find(comment: str) -> str | None:
    """The id of the queued job with that comment."""
    return next((job_id for job_id, said in _comments().items() if said == comment), None)


def _comments() -> dict[str, str]:
    """Job id -> comment, for all jobs of the user that wait or run."""
    result = _run(["squeue", "--me", "--noheader", "--format=%i %k"])
    if result.returncode != 0:
        raise SlurmError(f"squeue does not answer: {_said(result)}")
    rows = (line.strip().partition(" ") for line in result.stdout.splitlines() if line.strip())
    return {job_id: comment.strip() for job_id, _, comment in rows}


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SCRUBBED)}
    environment["EXPERIMENT_PYTHON"] = sys.executable  # what the submit scripts start
    try:
        # A session of its own: Ctrl-C must not reach an sbatch whose job may be accepted already.
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {TIMEOUT} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} cannot be started: {error.strerror}")


def _said(result: subprocess.CompletedProcess[str]) -> str:
    lines = (result.stderr + result.stdout).strip().splitlines()
    return " ".join(line.strip() for line in lines) or f"exit code {result.returncode}"
