#!/usr/bin/env python
"""One job, a grid of experiments: python submit_multiple.py jobs/grid.yaml -s submit_2080.sh

    python submit_multiple.py jobs/grid.yaml -d                      say what would happen
    python submit_multiple.py jobs/grid.yaml --local 2               run it on this machine, two at a time
    python submit_multiple.py jobs/grid.yaml -r -s submit_2080.sh    submit again what is not done

Everything that is wrong with a job file is told before anything is written or submitted.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from src import experiment
from src.config import ConfigError
from src.jobs import folders, slurm
from src.jobs.local import run_local
from src.jobs.plan import Plan, count, plan_new, plan_retry

EXIT_DONE, EXIT_FAILED, EXIT_BAD_JOB = 0, 1, 2
T = TypeVar("T")


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        _check_launcher(arguments)
        plan = plan_retry(arguments.job) if arguments.retry else plan_new(arguments.job, arguments.overwrite)
        print(plan)
        if not plan.names:
            print("Nothing to do.")
            return EXIT_DONE
        if arguments.dry_run:
            print(f"Dry run: nothing was written, deleted or submitted.\n{_example_command(plan, arguments)}")
            return EXIT_DONE
        if not _agreed(plan, arguments):
            print("Nothing was written or submitted.")
            return EXIT_FAILED
        experiments = plan.write(lambda names: _progress(names, "Writing"))
        if arguments.local:
            return _run_here(plan.folder, experiments, arguments)
        return _submit(plan.folder, experiments, arguments)
    except ConfigError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return EXIT_BAD_JOB
    except slurm.SlurmError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("\nStopped before anything was submitted.", file=sys.stderr)
        return 128 + signal.SIGINT


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path, help="job specification; with -r also the folder of a job")
    parser.add_argument("-s", "--script", type=Path, help="submit script: run on SLURM, one sbatch an experiment")
    parser.add_argument("--local", type=_positive, metavar="N", help="run on this machine, N experiments at a time")
    parser.add_argument(
        "--grace",
        type=_positive,
        metavar="SECONDS",
        default=slurm.GRACE,
        help="SLURM: how long before the time limit an experiment saves its state and requeues itself (default: 120)",
    )
    parser.add_argument("-d", "--dry-run", action="store_true", help="say what would happen, and do nothing")
    parser.add_argument("-o", "--overwrite", action="store_true", help="delete the job's newest folder and start over")
    parser.add_argument("-r", "--retry", action="store_true", help="start what is neither done nor queued nor running")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args(argv)
    if arguments.script and arguments.local:
        parser.error("-s and --local exclude each other: on SLURM, or on this machine")
    if not (arguments.script or arguments.local or arguments.dry_run):
        parser.error("name a submit script for SLURM (-s submit_2080.sh) or run on this machine (--local 2)")
    if arguments.overwrite and arguments.retry:
        parser.error("-o starts over and -r goes on; choose one")
    return arguments


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def _check_launcher(arguments: argparse.Namespace) -> None:
    if arguments.script is None:
        return
    try:
        text = arguments.script.read_text(errors="replace")
    except OSError as error:
        raise ConfigError([f"{arguments.script}: cannot be read: {error.strerror}"]) from None
    if not text.startswith("#!"):
        raise ConfigError([f"{arguments.script}: is no submit script: sbatch wants a first line like #!/bin/bash"])
    commands = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not commands or not commands[-1].startswith("exec "):
        print(
            f"warning: {arguments.script}: its last command does not begin with exec, so SLURM's warning before the time "
            "limit ends the script and not Python: nothing is saved then; see submit_cpu.sh",
            file=sys.stderr,
        )
    if not shutil.which("sbatch") and not arguments.dry_run:
        raise ConfigError(["sbatch is not found, so this machine submits nothing to SLURM; --local N runs it here"])


def _agreed(plan: Plan, arguments: argparse.Namespace) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(["there is no terminal to ask at, so nothing was done; -y goes on without asking"])
    action = "Run" if arguments.local else "Submit"
    question = f"Delete and {action.lower()}" if plan.delete else action
    try:
        return input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _submit(job_folder: Path, experiments: list[Path], arguments: argparse.Namespace) -> int:
    job_ids: list[str] = []
    stopped = ""
    with _interrupts() as interrupted:
        for folder in _progress(experiments, "Submitting"):
            if interrupted():
                stopped = "Stopped by Ctrl-C."
                break
            try:
                job_ids.append(slurm.submit(folder, arguments.script.resolve(), _job_name(folder), arguments.grace))
            except (slurm.SlurmError, OSError) as error:
                stopped = f"{folder.name}: {error}"
                break
            except KeyboardInterrupt:
                stopped = f"Stopped by Ctrl-C; {folder.name} may be in the queue, and -r will look."
                break
    if not stopped:
        print(f"Submitted {count(len(job_ids))}, from job {job_ids[0]} to job {job_ids[-1]}.")
        print(f"What became of them: python report.py {shlex.quote(str(job_folder))}")
        return EXIT_DONE
    print(stopped, file=sys.stderr)
    last = f", up to {experiments[len(job_ids) - 1].name}" if job_ids else ""
    print(
        f"Submitted: {len(job_ids)}{last}. Not submitted: {len(experiments) - len(job_ids)}, "
        f"from {experiments[len(job_ids)].name} on.\nGo on with: {_retry_command(job_folder, arguments)}",
        file=sys.stderr,
    )
    return EXIT_FAILED


def _run_here(job_folder: Path, experiments: list[Path], arguments: argparse.Namespace) -> int:
    code = run_local(job_folder, experiments, arguments.local)
    counts = dict.fromkeys(experiment.Status, 0)
    for folder in experiments:
        counts[experiment.status(folder)] += 1
    print(f"{count(len(experiments))}: " + ", ".join(f"{n} {status}" for status, n in counts.items() if n))
    if counts[experiment.Status.DONE] == len(experiments):
        return EXIT_DONE
    print(f"Go on with: {_retry_command(job_folder, arguments)}", file=sys.stderr)
    return code or EXIT_FAILED


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


def _job_name(folder: Path) -> str:
    """What squeue shows: the job's name without its date, then the experiment's."""
    return f"{folder.parent.name[len('yy-mm-dd-') :]}-{folder.name}"


def _example_command(plan: Plan, arguments: argparse.Namespace) -> str:
    folder = plan.folder / plan.names[0]
    if arguments.script:
        command = slurm.sbatch_command(
            folder, arguments.script.resolve(), _job_name(folder), str(folder), arguments.grace
        )
    else:
        command = ["python", str(folder.parent / folders.CODE / "train.py"), str(folder / experiment.SPEC)]
    return f"The first experiment would be started by\n    {shlex.join(command)}"


def _retry_command(job_folder: Path, arguments: argparse.Namespace) -> str:
    where = f"--local {arguments.local}" if arguments.local else f"-s {shlex.quote(str(arguments.script))}"
    return f"python submit_multiple.py -r {shlex.quote(str(job_folder))} {where}"


def _progress(items: list[T], action: str) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(items, desc=action, disable=None, leave=False)  # None: only on a terminal


if __name__ == "__main__":
    sys.exit(main())
