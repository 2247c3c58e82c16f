"""Deciding what is submitted to SLURM next: jobs or arrays, up to the user's limit, or all as the queue empties."""

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
from src.jobs import sbatch, slurm_queue
from src.jobs.sbatch import Launch, NoAnswer, QueueFull
from src.jobs.slurm_command import SlurmError

PACE = 60  # seconds between two looks at the queue, while experiments wait to be submitted
_DRAINED = 0.75  # share of the full queue; below it more is submitted


@dataclass
class Result:
    """How far a submission came."""

    left: list[Path]  # not submitted
    job_ids: list[str] = field(default_factory=list)  # of jobs, or of arrays
    error: Exception | None = None  # what ended it early
    why: str = ""  # the same in a sentence


def submit_all(experiments: list[Path], launch: Launch, pace: float | None = None) -> Result:
    """Submits the experiments of one job folder, in their order, and records it in their state.json.

    It submits as many as a limit of SLURM on the number of jobs allows, then returns. With `pace` it checks every
    `pace` seconds whether more fit, until all are submitted; it also waits for a controller that does not answer.
    """
    with (
        _interrupts() as interrupted,
        tqdm(total=len(experiments), desc="Submitting", unit="", disable=None, leave=False) as bar,
    ):
        submission = _Submission(experiments, launch, pace, interrupted, bar)
        result = submission.result
        try:
            submission.run()
        except (SlurmError, OSError) as error:
            result.error, result.why = error, f"{result.left[0].name}: {error}"
        except KeyboardInterrupt:
            result.why = f"Stopped by Ctrl-C; {result.left[0].name} may be in the queue; -r checks that."
    return result


def example_command(experiments: list[Path], launch: Launch) -> list[str]:
    """The first command of a submission."""
    first = experiments[: slurm_queue.MAX_ARRAY_SIZE * (launch.pack or 1) if launch.in_arrays else 1]
    return sbatch.command(first, launch, sbatch.new_comment(first, launch))


def is_queued(folder: Path, names: set[str]) -> bool:
    """Whether the experiment is in the queue with these names: by its job id, or by its comment if an earlier
    submission was killed before it could record the id."""
    state = experiment.read_state(folder)
    return state.get("job_id") in names or state.get("comment") in names


class _Submission:
    def __init__(
        self, experiments: list[Path], launch: Launch, pace: float | None, interrupted: Callable[[], bool], bar: tqdm
    ) -> None:
        self.launch = launch
        self.pace = pace
        self.interrupted = interrupted
        self.bar = bar
        self.result = Result(list(experiments))
        self.has_waited = False
        in_arrays = launch.in_arrays and launch.n_tasks(len(experiments)) > 1
        self.max_tasks = slurm_queue.max_array_size() if in_arrays else 1

    def run(self) -> None:
        left, pack = self.result.left, self.launch.pack or 1
        if doubtful := [folder for folder in left if _is_unacknowledged(folder)]:
            # an earlier submission was killed while sbatch ran, and its job may appear in the queue only now
            time.sleep(sbatch.WAITS[0])
            self._skip_accepted(doubtful)
        # numbers of tasks: to try next; that fit at most (None: not known); accepted since the last wait
        attempt, most, n_accepted = self.max_tasks, None, 0
        while left:
            if self.interrupted():
                self.result.why = "Stopped by Ctrl-C."
                return
            n_tasks = min(self.launch.n_tasks(len(left)), attempt, self.max_tasks)
            batch = left[: n_tasks * pack]
            try:
                self._submit(batch)
            except QueueFull as error:
                most, attempt = n_tasks - 1, n_tasks // 2
                sbatch.clear_submission(batch[attempt * pack :])
                if self.pace is None and attempt == 0:
                    raise
                if self.pace is not None and attempt <= n_accepted // 8:  # the last few are not worth their calls
                    sbatch.clear_submission(batch)
                    attempt, most, n_accepted = self._wait_for_room(str(error)), None, 0
            except NoAnswer as error:
                if self.pace is None:
                    raise
                self._wait_for_answer(str(error), batch)
            except SlurmError:
                sbatch.clear_submission(batch)
                raise
            else:
                n_accepted += n_tasks
                if most is None or n_tasks > most:  # or jobs have ended in the meantime
                    attempt, most = 2 * n_tasks, None
                else:  # the limit is found by bisection
                    most -= n_tasks
                    attempt = max(1, (most + 1) // 2)

    def _submit(self, batch: list[Path]) -> None:
        # "at most N at a time" holds for all arrays together, so they run one after the other
        after = self.result.job_ids[-1] if self.launch.at_once and self.result.job_ids else None
        self.result.job_ids.append(sbatch.submit(batch, self.launch, after))
        del self.result.left[: len(batch)]
        self.bar.update(len(batch))

    def _skip_accepted(self, doubtful: list[Path]) -> None:
        """Removes from what is left the experiments that SLURM has accepted although sbatch did not report it."""
        names = slurm_queue.queued_names()
        accepted = {f for f in doubtful if is_queued(f, names) or experiment.status(f) != Status.PENDING}
        self.result.left[:] = [folder for folder in self.result.left if folder not in accepted]
        self.bar.update(len(accepted))

    def _wait_for_room(self, why: str) -> int:
        """Waits until a part of the user's jobs has left the queue; returns how many."""
        if not self.has_waited:
            self.has_waited = True
            tqdm.write(f"{why}\n{len(self.result.left)} more are submitted as the queue empties; Ctrl-C stops that.")
        full, shown = 0, why
        for look in itertools.count():
            try:
                jobs = [job for job in slurm_queue.jobs() if not job.ended]
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
        """Waits until SLURM reports which of the doubtful experiments it has."""
        while not self.interrupted():
            self._pause(why)
            try:
                slurm_queue.jobs()
                time.sleep(sbatch.WAITS[-1])  # as in sbatch.py: the controller may process earlier requests only now
                return self._skip_accepted(doubtful)
            except SlurmError as error:
                why = str(error)

    def _pause(self, why: str) -> None:
        """Waits for `pace` seconds and shows why; Ctrl-C ends the wait."""
        assert self.pace is not None
        self.bar.set_postfix_str(why[:80])
        end = time.monotonic() + self.pace
        while not self.interrupted() and (rest := end - time.monotonic()) > 0:
            time.sleep(min(0.2, rest))


def _is_unacknowledged(folder: Path) -> bool:
    """Whether an earlier submission of it began, and no job id was recorded."""
    state = experiment.read_state(folder)
    return bool(state.get("comment")) and not state.get("job_id") and experiment.status(folder) == Status.PENDING


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Within it the first Ctrl-C only sets a flag, so that no submission is left half recorded; the second one raises."""
    interrupted = False

    def note(number: int, frame: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, before)
