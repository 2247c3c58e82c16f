"""The command line of submit_multiple.py: its options, and which of them can be combined."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from src.hints import did_you_mean
from src.jobs import sbatch, submission
from src.jobs.causes import MEANING, Cause

SBATCH = ("mem", "time", "partition", "sbatch")  # options of sbatch that may be given here


def read_arguments(argv: list[str] | None, description: str | None) -> argparse.Namespace:
    """The options at the command line (None: this process's); `description` is the head of the help. Exits if they
    cannot be combined."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path, help="job specification; with -r also the folder of a job")
    _add_slurm_options(parser)
    parser.add_argument("--local", type=_positive, metavar="N", help="run on this machine, N experiments at a time")
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="before anything is started: download and check, once and on this machine, the data and weights that are needed",
    )
    parser.add_argument("-d", "--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("-o", "--overwrite", action="store_true", help="delete the job's newest folder and start over")
    parser.add_argument(
        "-r", "--retry", "--rerun", action="store_true", help="start what is neither finished, queued nor running"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--only",
        type=_cause,
        action="append",
        default=[],
        metavar="CAUSE",
        help="with -r: only what ended for this cause; "
        + "; ".join(f"{cause}: {meaning}" for cause, meaning in MEANING.items()),
    )
    parser.add_argument("--reuse", action="store_true", help="copy what another job of output_dir has finished already")
    parser.add_argument(
        "--cancel", action="store_true", help="end the queued and running experiments of a job's folder"
    )
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser.parse_args([re.sub(r"^--\w+", lambda flag: flag[0].replace("_", "-"), text) for text in argv])
    if not arguments.cancel and (problem := _problem(arguments)):
        parser.error(problem)
    return arguments


def _add_slurm_options(parser: argparse.ArgumentParser) -> None:
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
        help="SLURM: if a limit on queued jobs is reached, wait and submit the rest as the queue empties, "
        "which is checked every SECONDS (default: 60)",
    )
    parser.add_argument(
        "--grace",
        type=_positive,
        metavar="SECONDS",
        default=sbatch.GRACE,
        help="SLURM: how long before the time limit an experiment saves its state and requeues itself (default: 120)",
    )
    for option in SBATCH[:-1]:
        parser.add_argument(f"--{option}", help=f"SLURM: this --{option} instead of the submit script's")
    parser.add_argument("--sbatch", metavar="OPTIONS", help="SLURM: further options: --sbatch='--gres=gpu:2 --nice=10'")


def _problem(arguments: argparse.Namespace) -> str:
    """Why the options cannot be combined; empty if they can."""
    if arguments.script and arguments.local:
        return "-s and --local exclude each other: on SLURM, or on this machine"
    if not (arguments.script or arguments.local or arguments.dry_run):
        return "name a submit script for SLURM (-s submit_2080.sh) or run on this machine (--local 2)"
    for option in ("array", "pack", "drip", *SBATCH):
        if getattr(arguments, option) is not None and arguments.local:
            return f"--{option} is for SLURM (-s submit_2080.sh), not for --local {arguments.local}"
    if arguments.parallel and not arguments.pack:
        return "--parallel says how many experiments of a pack run at a time: --pack K --parallel P"
    if (arguments.only and not arguments.retry) or (arguments.reuse and arguments.retry):
        return "--only selects from what -r starts again; --reuse is for a job file, without -r"
    if arguments.overwrite and arguments.retry:
        return "-o starts over and -r resumes; choose one"
    return ""


def _cause(text: str) -> Cause:
    if text not in [*Cause]:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(Cause)}{did_you_mean(text, Cause)}")
    return Cause(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)
