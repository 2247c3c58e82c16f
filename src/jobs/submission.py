"""Bringing a job's experiments into SLURM's queue: as jobs or arrays, up to the user's limit, or drop by drop."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from src import experiment
from src.experiment import Status
from src.jobs import queue, slurm
from src.jobs.slurm import Launch, NoAnswer, QueueFull, SlurmError

PACE = 60  # seconds between two looks into the queue, while more is to be fed into it
_DRAINED = 0.75  # of what filled the queue; below it more is fed in


@dataclass
class Outcome:
    """How far a submission came."""

    left: list[Path]  # not submitted
    job_ids: list[str] = field(default_factory=list)  # of jobs, or of arrays
    error: Exception | None = None  # what ended it early
    why: str = ""  # the same in a sentence


def submit_all(experiments: list[Path], launch: Launch, pace: float | None = None) -> Outcome:
    """Submits the experiments of one job folder, in their order, and notes it in their state.json.

    A limit of SLURM on the number of jobs is filled to the last one. Then it ends, or, with `pace`, looks
    every `pace` seconds whether there is room for more; then a controller that does not answer is waited for too.
    """
    with (
        _interrupts() as interrupted,
        tqdm(total=len(experiments), desc="Submitting", unit="", disable=None, leave=False) as bar,
    ):
        submission = _Submission(experiments, launch, pace, interrupted, bar)
        try:
            submission.run()
        except (SlurmError, OSError) as error:
            submission.outcome.error = error
            submission.outcome.why = f"{submission.outcome.left[0].name}: {error}"
        except KeyboardInterrupt:
            submission.outcome.why = (
                f"Stopped by Ctrl-C; {submission.outcome.left[0].name} may be in the queue, and -r will look."
            )
    return submission.outcome


def job_name(job_folder: Path) -> str:
    """What squeue shows: the job's name, without its date."""
    return job_folder.name[len("yy-mm-dd-") :]


def example_command(experiments: list[Path], launch: Launch) -> list[str]:
    """The first command of a submission."""
    name, folder = job_name(experiments[0].parent), experiments[0]
    if launch.in_arrays:
        first = experiments[: slurm.MAX_ARRAY_SIZE * (launch.pack or 1)]
        return slurm.array_command(first, name, launch, slurm.new_comment(name))
    return slurm.sbatch_command(folder, f"{name}-{folder.name}", launch, str(folder))


class _Submission:
    def __init__(
        self, experiments: list[Path], launch: Launch, pace: float | None, interrupted: Callable[[], bool], bar: tqdm
    ) -> None:
        self.launch = launch
        self.pace = pace
        self.interrupted = interrupted
        self.bar = bar
        self.outcome = Outcome(list(experiments))
        self.has_waited = False
        self.name = job_name(experiments[0].parent)
        self.max_tasks = slurm.max_array_size() if launch.in_arrays and launch.n_tasks(len(experiments)) > 1 else 1

    def run(self) -> None:
        left = self.outcome.left
        if unheard := [folder for folder in left if _is_unheard(folder)]:
            # an earlier submission was killed while sbatch ran, and its job may show in the queue only now
            time.sleep(slurm.WAITS[0])
            self._drop_arrived(unheard)
        # tasks that there may be room for; tasks that there is room for at most; tasks since the last wait
        likely, most, n_taken = self.max_tasks, None, 0
        while left:
            if self.interrupted():
                self.outcome.why = "Stopped by Ctrl-C."
                return
            n_tasks = min(self.launch.n_tasks(len(left)), likely, self.max_tasks)
            batch = left[: n_tasks * (self.launch.pack or 1)]
            try:
                self._submit(batch)
            except QueueFull as error:
                most, likely = n_tasks - 1, n_tasks // 2
                slurm.forget(batch[likely * (self.launch.pack or 1) :])
                if self.pace is None and likely == 0:
                    raise
                if self.pace is not None and likely <= n_taken // 8:  # the last few are not worth their calls
                    slurm.forget(batch)
                    likely, most, n_taken = self._wait_for_room(str(error)), None, 0
            except NoAnswer as error:
                if self.pace is None:
                    raise
                self._wait_for_answer(str(error), batch)
            except SlurmError:
                slurm.forget(batch)
                raise
            else:
                n_taken += n_tasks
                if most is None or n_tasks > most:  # or jobs have ended meanwhile
                    likely, most = 2 * n_tasks, None
                else:  # the half of what there may be room for: the limit is found as in a dictionary
                    most -= n_tasks
                    likely = max(1, (most + 1) // 2)

    def _submit(self, batch: list[Path]) -> None:
        if self.launch.in_arrays:
            # at most N at a time means N of all: one array after the other
            after = self.outcome.job_ids[-1] if self.launch.at_once and self.outcome.job_ids else None
            job_id = slurm.submit_array(batch, self.name, self.launch, after)
        else:
            job_id = slurm.submit(batch[0], f"{self.name}-{batch[0].name}", self.launch)
        self.outcome.job_ids.append(job_id)
        del self.outcome.left[: len(batch)]
        self.bar.update(len(batch))

    def _drop_arrived(self, doubtful: list[Path]) -> None:
        """Takes those off what is left that are in the queue, or were, although we were not told."""
        queued = slurm.queued()
        arrived = {
            folder
            for folder in doubtful
            if slurm.is_queued(folder, queued) or experiment.status(folder) != Status.PENDING
        }
        self.outcome.left[:] = [folder for folder in self.outcome.left if folder not in arrived]
        self.bar.update(len(arrived))

    def _wait_for_room(self, why: str) -> int:
        """Until a part of the user's jobs has left the queue; returns how many."""
        if not self.has_waited:
            self.has_waited = True
            tqdm.write(f"{why}\n{len(self.outcome.left)} more are fed in as the queue empties; Ctrl-C stops that.")
        full, shown = 0, why
        for look in itertools.count():
            try:
                jobs = [job for job in queue.jobs() if not job.ended]
                full = max(full, len(jobs))
                free = full - len(jobs)
                if look and (len(jobs) <= _DRAINED * full or (free and not any(job.waits for job in jobs))):
                    return max(1, free)
                shown = f"{len(jobs)} in the queue"
            except SlurmError as error:
                shown = str(error)
            self._pause(shown)
            if self.interrupted():
                break
        return 1

    def _wait_for_answer(self, why: str, doubtful: list[Path]) -> None:
        """Until SLURM says which of the doubtful it has."""
        while not self.interrupted():
            self._pause(why)
            try:
                slurm.queued()
                # a controller that hung answers this question before it has worked off what was sent to it earlier
                time.sleep(slurm.WAITS[-1])
                return self._drop_arrived(doubtful)
            except SlurmError as error:
                why = str(error)

    def _pause(self, why: str) -> None:
        """Waits for `pace` seconds, and says why; a Ctrl-C ends it."""
        assert self.pace is not None
        self.bar.set_postfix_str(why[:80])
        end = time.monotonic() + self.pace
        while not self.interrupted() and (rest := end - time.monotonic()) > 0:
            time.sleep(min(0.2, rest))


def _is_unheard(folder: Path) -> bool:
    """Whether a submission of it began, and nobody noted a job id."""
    state = experiment.read_state(folder)
    return bool(state.get("comment")) and not state.get("job_id") and experiment.status(folder) == Status.PENDING


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Within it Ctrl-C only sets a flag, so that no submission is left half noted; a second one is at once."""
    seen = False

    def note(number: int, frame: object) -> None:
        nonlocal seen
        if seen:
            raise KeyboardInterrupt
        seen = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: seen
    finally:
        signal.signal(signal.SIGINT, before)
