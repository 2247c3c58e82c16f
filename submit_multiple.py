#!/usr/bin/env python
"""One job, a grid of experiments: python submit_multiple.py jobs/grid.yaml -s submit_2080.sh

    python submit_multiple.py jobs/grid.yaml -d                      say what would happen
    python submit_multiple.py jobs/grid.yaml --local 2               run it on this machine, two at a time
    python submit_multiple.py jobs/grid.yaml -r -s submit_2080.sh    submit again what is not done
    python submit_multiple.py runs/25-01-31-grid -r --only oom --mem 32G -s submit_2080.sh
    python submit_multiple.py runs/25-01-31-grid --cancel
    python submit_multiple.py jobs/grid.yaml -s submit_2080.sh --array 50            as an array, 50 at a time
    python submit_multiple.py jobs/grid.yaml -s submit_2080.sh --pack 12 --parallel 4    12 in one SLURM job

Everything that is wrong with a job file is told before anything is written or submitted.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from src import experiment
from src.config import ConfigError
from src.jobs import folders, slurm, submission
from src.jobs.cancel import plan_cancel
from src.jobs.causes import MEANING, Cause
from src.jobs.local import run_local
from src.jobs.plan import Plan, count, existing_folder, plan_new, plan_retry

EXIT_DONE, EXIT_FAILED, EXIT_BAD_JOB = 0, 1, 2
SBATCH = ("mem", "time", "partition", "sbatch")  # options of sbatch that may be given here
T = TypeVar("T")


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        if arguments.cancel:
            return _cancel(arguments)
        _check_launcher(arguments)
        plan = (
            plan_retry(arguments.job, arguments.only)
            if arguments.retry
            else plan_new(arguments.job, arguments.overwrite, arguments.reuse)
        )
        print(plan)
        if not plan.names and not plan.reuse:
            print("Nothing to do.")
            return EXIT_DONE
        if arguments.dry_run and not plan.names:
            print("Dry run: nothing was written, deleted or submitted.")
            return EXIT_DONE
        if arguments.dry_run:
            print(f"Dry run: nothing was written, deleted or submitted.\n{_example_command(plan, arguments)}")
            return EXIT_DONE
        action = "Run" if arguments.local else "Submit"
        if not _agreed(f"Delete and {action.lower()}" if plan.delete else action, arguments):
            print("Nothing was written or submitted.")
            return EXIT_FAILED
        experiments = plan.write(lambda names: _progress(names, "Writing"))
        if not experiments:
            print("Nothing is left to run.")
            return EXIT_DONE
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
    parser.add_argument("-s", "--script", type=Path, help="submit script: run on SLURM, a job for each experiment")
    parser.add_argument(
        "--array",
        type=_positive,
        metavar="N",
        nargs="?",
        const=0,
        help="SLURM: as job arrays, which takes few calls; with N at most N experiments (or packs) run at a time",
    )
    parser.add_argument(
        "--pack",
        type=_positive,
        metavar="K",
        help="SLURM: one job for K experiments, which it runs in processes forked from one that has imported torch",
    )
    parser.add_argument(
        "--parallel", type=_positive, metavar="P", help="P experiments of a pack at a time (default: 1)"
    )
    parser.add_argument(
        "--drip",
        type=_positive,
        metavar="SECONDS",
        nargs="?",
        const=submission.PACE,
        help="SLURM: when a limit on queued jobs is reached, stay, look every SECONDS and feed in the rest (default: 60)",
    )
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
    parser.add_argument(
        "--only",
        type=Cause,
        choices=[*Cause],
        action="append",
        default=[],
        metavar="CAUSE",
        help="with -r: only what ended for this cause; "
        + "; ".join(f"{cause}: {meaning}" for cause, meaning in MEANING.items()),
    )
    parser.add_argument("--reuse", action="store_true", help="copy what another job of output_dir has finished already")
    parser.add_argument("--cancel", action="store_true", help="end what a job's folder has queued or running")
    for option in SBATCH[:-1]:
        parser.add_argument(f"--{option}", help=f"SLURM: this --{option} instead of the submit script's")
    parser.add_argument("--sbatch", metavar="OPTIONS", help="SLURM: further options: --sbatch='--gres=gpu:2 --nice=10'")
    arguments = parser.parse_args(argv)
    if arguments.cancel:
        return arguments
    if arguments.script and arguments.local:
        parser.error("-s and --local exclude each other: on SLURM, or on this machine")
    if not (arguments.script or arguments.local or arguments.dry_run):
        parser.error("name a submit script for SLURM (-s submit_2080.sh) or run on this machine (--local 2)")
    for option in ("array", "pack", "drip", *SBATCH):
        if getattr(arguments, option) is not None and arguments.local:
            parser.error(f"--{option} is for SLURM (-s submit_2080.sh); --local {arguments.local} says it all")
    if arguments.parallel and not arguments.pack:
        parser.error("--parallel says how many experiments of a pack run at a time: --pack K --parallel P")
    if (arguments.only and not arguments.retry) or (arguments.reuse and arguments.retry):
        parser.error("--only chooses among what -r starts again; --reuse is for a job file, without -r")
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
    if arguments.pack and '"$@"' not in text and "${@}" not in text:
        raise ConfigError(
            [f'{arguments.script}: does not hand "$@" on to train.py, and --pack needs that; see submit_cpu.sh']
        )
    if not shutil.which("sbatch") and not arguments.dry_run:
        raise ConfigError(["sbatch is not found, so this machine submits nothing to SLURM; --local N runs it here"])


def _agreed(question: str, arguments: argparse.Namespace) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(["there is no terminal to ask at, so nothing was done; -y goes on without asking"])
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
    print(f"Cancelled {count(len(plan.active) - len(plan.elsewhere))}; what ran saves its state first, and -r goes on.")
    return EXIT_FAILED if plan.elsewhere else EXIT_DONE


def _submit(job_folder: Path, experiments: list[Path], arguments: argparse.Namespace) -> int:
    outcome = submission.submit_all(experiments, _launch(arguments), arguments.drip)
    n_submitted, n_left = len(experiments) - len(outcome.left), len(outcome.left)
    if not outcome.left:
        print(f"Submitted {count(n_submitted)}{_job_ids(outcome.job_ids, arguments)}.")
        print(f"What became of them: python report.py {shlex.quote(str(job_folder))}")
        return EXIT_DONE
    print(outcome.why, file=sys.stderr)
    last = f", up to {experiments[n_submitted - 1].name}" if n_submitted else ""
    print(
        f"Submitted: {n_submitted}{last}. Not submitted: {n_left}, from {outcome.left[0].name} on.\n"
        f"Go on with: {_retry_command(job_folder, arguments)}",
        file=sys.stderr,
    )
    if isinstance(outcome.error, slurm.QueueFull):
        print("With --drip it stays, and feeds in the rest as the queue empties.", file=sys.stderr)
    return EXIT_FAILED


def _launch(arguments: argparse.Namespace) -> slurm.Launch:
    return slurm.Launch(
        script=arguments.script.resolve(),
        grace=arguments.grace,
        array=arguments.array is not None,
        at_once=arguments.array or None,
        pack=arguments.pack,
        parallel=arguments.parallel or 1,
        options=tuple(_sbatch_options(arguments)),
    )


def _sbatch_options(arguments: argparse.Namespace) -> list[str]:
    """What is asked for at the command line, and goes before what the submit script asks for."""
    named = [f"--{name}={value}" for name in SBATCH[:-1] if (value := getattr(arguments, name))]
    return [*named, *shlex.split(arguments.sbatch or "")]


def _job_ids(job_ids: list[str], arguments: argparse.Namespace) -> str:
    what = "array" if arguments.array is not None or arguments.pack else "job"
    if len(job_ids) < 2:
        return f", as {what} {job_ids[0]}" if job_ids else ""
    return f", from {what} {job_ids[0]} to {what} {job_ids[-1]}"


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


def _example_command(plan: Plan, arguments: argparse.Namespace) -> str:
    experiments = [plan.folder / name for name in plan.names]
    if arguments.script:
        command = submission.example_command(experiments, _launch(arguments))
        what = "array" if _launch(arguments).in_arrays else "experiment"
    else:
        command = ["python", str(plan.folder / folders.CODE / "train.py"), str(experiments[0] / experiment.SPEC)]
        what = "experiment"
    return f"The first {what} would be started by\n    {shlex.join(command)}"


def _retry_command(job_folder: Path, arguments: argparse.Namespace) -> str:
    """What goes on with a job, in the same way."""
    words = ["python", "submit_multiple.py", "-r", str(job_folder)]
    words += ["--local", str(arguments.local)] if arguments.local else ["-s", str(arguments.script)]
    if arguments.grace != slurm.GRACE:
        words += ["--grace", str(arguments.grace)]
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
    sys.exit(main())
