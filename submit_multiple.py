#!/usr/bin/env python
"""One job, a grid of experiments: python submit_multiple.py jobs/grid.yaml -s submit_2080.sh

    python submit_multiple.py jobs/grid.yaml -d                      show what would be done
    python submit_multiple.py jobs/grid.yaml --local 2               run it on this machine, two at a time
    python submit_multiple.py jobs/grid.yaml -s submit_2080.sh --prepare    download once, then submit
    python submit_multiple.py jobs/grid.yaml -r -s submit_2080.sh    submit again what is not done
    python submit_multiple.py runs/25-01-31-grid -r --only oom --mem 32G -s submit_2080.sh
    python submit_multiple.py runs/25-01-31-grid --cancel
    python submit_multiple.py jobs/grid.yaml -s submit_2080.sh --array 50            as an array, 50 at a time
    python submit_multiple.py jobs/grid.yaml -s submit_2080.sh --pack 12 --parallel 4    12 in one SLURM job

All problems of a job file are reported before anything is written or submitted.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import src.installed  # noqa: F401
from src import experiment, output
from src.config import ConfigError
from src.jobs import folders, sbatch, submission
from src.jobs.cancel import plan_cancel
from src.jobs.local import run_local
from src.jobs.options import SBATCH, read_arguments
from src.jobs.plan import Plan, existing_folder, plan_new, plan_retry
from src.jobs.prepare import prepare
from src.jobs.slurm_command import SlurmError
from src.jobs.submit_script import check_script
from src.jobs.text import count

EXIT_DONE, EXIT_FAILED, EXIT_BAD_JOB = 0, 1, 2
T = TypeVar("T")


def main(argv: list[str] | None = None) -> int:
    arguments = read_arguments(argv, __doc__)
    try:
        if arguments.cancel:
            return _cancel(arguments)
        if arguments.script is not None:
            check_script(arguments.script, bool(arguments.pack), arguments.dry_run)
        plan = (
            plan_retry(arguments.job, arguments.only)
            if arguments.retry
            else plan_new(arguments.job, arguments.overwrite, arguments.reuse)
        )
        print(plan)
        if not plan.names and not plan.reuse:
            print("Nothing to do.")
            return EXIT_DONE
        if arguments.dry_run:
            print("Dry run: nothing was written, deleted or submitted.")
            if plan.names:
                print(_example_command(plan, arguments))
            return EXIT_DONE
        action = "Run" if arguments.local else "Submit"
        if not _agreed(f"Delete and {action.lower()}" if plan.delete else action, arguments):
            print("Nothing was written or submitted.")
            return EXIT_FAILED
        experiments = plan.write(lambda names: _progress(names, "Writing"))
        if not experiments:
            print("Nothing is left to run.")
            return EXIT_DONE
        if arguments.prepare and (code := prepare(plan.folder, experiments)):
            retry = _retry_command(plan.folder, arguments)
            print(f"Not everything is ready, so nothing was started. Resume with: {retry}", file=sys.stderr)
            print("If the job file has to change, start over with -o.", file=sys.stderr)
            return code
        if arguments.local:
            return _run_here(plan.folder, experiments, arguments)
        return _submit(plan.folder, experiments, arguments)
    except ConfigError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return EXIT_BAD_JOB
    except SlurmError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        name = error.filename2 or error.filename  # of a copy the second: the disk that is full is not the source's
        print(f"{name}: {error.strerror}" if name else error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("\nStopped before anything was submitted.", file=sys.stderr)
        return 128 + signal.SIGINT


def _agreed(question: str, arguments: argparse.Namespace) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(["there is no terminal for the question, so nothing was done; -y skips the question"])
    try:
        return input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _cancel(arguments: argparse.Namespace) -> int:
    plan = plan_cancel(existing_folder(arguments.job))
    print(plan)
    if not plan.job_ids and not plan.pids:
        print("Nothing to cancel.")
        return EXIT_FAILED if plan.problem or plan.elsewhere else EXIT_DONE
    if arguments.dry_run:
        print("Dry run: nothing was cancelled.")
        return EXIT_DONE
    if not _agreed("Cancel", arguments):
        print("Nothing was cancelled.")
        return EXIT_FAILED
    plan.do()
    print(
        f"Cancelled {count(len(plan.active) - len(plan.elsewhere))}. Running ones save their state first; -r resumes them."
    )
    return EXIT_FAILED if plan.elsewhere else EXIT_DONE


def _submit(job_folder: Path, experiments: list[Path], arguments: argparse.Namespace) -> int:
    launch = _launch(arguments)
    result = submission.submit_all(experiments, launch, arguments.drip)
    n_submitted, n_left = len(experiments) - len(result.left), len(result.left)
    if not result.left:
        print(f"Submitted {count(n_submitted)}{_job_ids(result.job_ids, 'array' if launch.in_arrays else 'job')}.")
        print(f"For their state: python report.py {shlex.quote(str(job_folder))}")
        return EXIT_DONE
    print(result.why, file=sys.stderr)
    last = f", up to {experiments[n_submitted - 1].name}" if n_submitted else ""
    print(
        f"Submitted: {n_submitted}{last}. Not submitted: {n_left}, from {result.left[0].name} on.\n"
        f"Resume with: {_retry_command(job_folder, arguments)}",
        file=sys.stderr,
    )
    if isinstance(result.error, sbatch.QueueFull):
        print("With --drip it waits, and submits the rest as the queue empties.", file=sys.stderr)
    return EXIT_FAILED


def _launch(arguments: argparse.Namespace) -> sbatch.Launch:
    named = [f"--{name}={value}" for name in SBATCH[:-1] if (value := getattr(arguments, name))]
    return sbatch.Launch(
        script=arguments.script.resolve(),
        grace=arguments.grace,
        array=arguments.array is not None,
        at_once=arguments.array or None,
        pack=arguments.pack,
        parallel=arguments.parallel or 1,
        options=(*named, *shlex.split(arguments.sbatch or "")),
    )


def _job_ids(job_ids: list[str], what: str) -> str:
    if len(job_ids) < 2:
        return f", as {what} {job_ids[0]}" if job_ids else ""
    return f", from {what} {job_ids[0]} to {what} {job_ids[-1]}"


def _run_here(job_folder: Path, experiments: list[Path], arguments: argparse.Namespace) -> int:
    code = run_local(job_folder, experiments, arguments.local)
    n = Counter(experiment.status(folder) for folder in experiments)
    counts = ", ".join(f"{n[status]} {status}" for status in experiment.Status if n[status])
    print(f"{count(len(experiments))}: {counts}")
    if n[experiment.Status.DONE] == len(experiments):
        return EXIT_DONE
    print(f"Resume with: {_retry_command(job_folder, arguments)}", file=sys.stderr)
    return code or EXIT_FAILED


def _example_command(plan: Plan, arguments: argparse.Namespace) -> str:
    experiments = [plan.folder / name for name in plan.names]
    what = "experiment"
    if arguments.script:
        launch = _launch(arguments)
        command = submission.example_command(experiments, launch)
        what = "array" if launch.in_arrays else what
    else:
        command = ["python", str(plan.folder / folders.CODE / "train.py"), str(experiments[0] / experiment.SPEC)]
    return f"The first {what} would be started by\n    {shlex.join(command)}"


def _retry_command(job_folder: Path, arguments: argparse.Namespace) -> str:
    """The command that resumes a job with the same options."""
    words = ["python", "submit_multiple.py", "-r", str(job_folder)]
    words += ["--local", str(arguments.local)] if arguments.local else ["-s", str(arguments.script)]
    if arguments.grace != sbatch.GRACE:
        words += ["--grace", str(arguments.grace)]
    words += ["--prepare"] if arguments.prepare else []
    for option in ("array", "pack", "parallel", "drip"):
        value = getattr(arguments, option)
        if value is not None:
            words += [f"--{option}", *([str(value)] if value else [])]
    words += [f"--{option}={getattr(arguments, option)}" for option in SBATCH if getattr(arguments, option)]
    return shlex.join(words)


def _progress(items: list[T], action: str) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(items, desc=action, disable=None, leave=False)  # None: only on a terminal


if __name__ == "__main__":
    output.outlive_reader()
    sys.exit(main())
