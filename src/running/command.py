"""The command line of train.py: which configs to run, what to tell the user, which exit code to end with.

The function that runs an experiment is handed in. Nothing heavy is imported before the configs are checked.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from src import config as config_module
from src import experiment
from src.config import Config, ConfigError
from src.experiment import Status
from src.running import lists, requeue
from src.signals import StopSignals

Generator = Callable[[Config], Iterator[tuple[Any, Any]]]  # train.experiment_generator


def main(arguments: list[str], generator: Generator) -> int:
    """Run what the arguments name; the exit code is 0 only if all of it is done."""
    paths, overrides, parallel, prepare = _parse(arguments)
    if prepare:
        from src.running.prepare import prepare_all

        return prepare_all(paths, overrides)
    shared = paths[0].suffix == lists.PACK
    try:
        if shared:
            paths, parallel = lists.read(paths[0]), parallel or 1
        elif paths[0].suffix == lists.ARRAY:
            paths = [lists.own_config(paths[0])]
    except ValueError as error:
        print(error, file=sys.stderr)
        return experiment.EXIT_BAD_CONFIG
    if problem := _shared_folder(paths, overrides):
        print(problem, file=sys.stderr)
        return experiment.EXIT_BAD_CONFIG
    if len(paths) == 1 and parallel is None:
        exit_code = run_one(paths[0], overrides, generator)
    else:
        from src.running.worker import run_many

        run = functools.partial(run_one, overrides=overrides, generator=generator)
        exit_code = run_many(paths, run, parallel or 1, shared)
    if job_id := requeue.job_to_requeue(exit_code):
        requeue.requeue(job_id, [path.parent for path in paths])
    return exit_code


def run_one(path: Path, overrides: list[str], generator: Generator) -> int:
    """Run the experiment of a config file, tell the user how it ended, return the exit code."""
    try:
        config = config_module.load(path, overrides)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return _give_up(path.parent if path.name == experiment.SPEC else None, str(error), experiment.EXIT_BAD_CONFIG)
    if path.name == experiment.SPEC and not any(word.startswith("output_dir=") for word in overrides):
        config.output_dir = str(path.parent)  # also after the folder was moved or renamed
    if config.output_dir is None:  # the record of a run is named for its folder, any other config for its file
        name = path.resolve().parent.name if path.name == experiment.CONFIG else path.stem
        config.output_dir = str(experiment.new_run_folder(name))
    folder = Path(config.output_dir)
    if config.resume == "auto" and (folder / experiment.DONE).exists():
        if changes := ", ".join(config_module.differences(experiment.earlier_config(folder), config)):
            print(
                f"{folder} is done, with another config ({changes}); "
                "take another output_dir, or resume=never, which deletes what is there",
                file=sys.stderr,
            )
            return experiment.EXIT_BAD_CONFIG
        print(f"{folder} is done already; resume=never deletes it and runs it again")
        return experiment.EXIT_DONE
    _tell(f"{folder}: started")
    final: dict[Any, float] = {}  # stays empty if an earlier attempt had come to the end, all but for saying so
    try:
        with StopSignals():  # a signal that comes while torch is imported is not lost, and kills nothing
            for stats, _ in generator(config):
                final = stats.iloc[-1].filter(regex="/(loss|accuracy)$").dropna().to_dict()
    except experiment.Diverged as error:
        print(f"{folder}: diverged: {error}", file=sys.stderr)
        return experiment.EXIT_DIVERGED
    except KeyboardInterrupt as error:
        exit_code = getattr(error, "exit_code", 130)
        if requeue.job_to_requeue(exit_code):
            requeue.note(folder, Status.REQUEUED, str(error))
        go_on = f"python train.py {folder / experiment.SPEC} goes on"
        print(f"{folder}: {error or 'interrupted'}; {go_on}", file=sys.stderr)
        return exit_code
    except Exception as error:  # any: the traceback is in training.log, the sentence is for the terminal
        print(f"{folder}: failed: {error or type(error).__name__}", file=sys.stderr)
        return _give_up(folder, f"{type(error).__name__}: {error}", experiment.EXIT_FAILED)
    _tell("\n  ".join([f"{folder}: done", *(f"{name:24} {value:.6g}" for name, value in final.items())]))
    return experiment.EXIT_DONE


def _tell(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `train.py cfg.yaml | head -1`: nobody reads on, and that is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _shared_folder(paths: list[Path], overrides: list[str]) -> str:
    """What is wrong if several configs would write into one folder; empty if none would."""
    if len(paths) > 1 and any(word.startswith("output_dir=") for word in overrides):
        return "command line: output_dir would be the folder of several experiments; run them one by one"
    seen: dict[str, Path] = {}
    for path in paths:
        folder: str | None = str(path.parent)
        if path.name != experiment.SPEC:
            with contextlib.suppress(ConfigError):  # told when it is run
                folder = config_module.load(path).output_dir
        if folder in seen:
            return f"{path} and {seen[folder]} have one output_dir, {folder}; each experiment needs its own"
        if folder is not None:
            seen[folder] = path
    return ""


def _give_up(folder: Path | None, cause: str, exit_code: int) -> int:
    """Say in state.json why the experiment did not even start, if nothing else has said so."""
    if folder is not None and folder.is_dir() and experiment.status(folder) == Status.PENDING:
        with contextlib.suppress(OSError):  # an unwritable folder is what it may be about; it was printed
            requeue.note(folder, Status.FAILED, cause.splitlines()[0])
    return exit_code


def _parse(arguments: list[str]) -> tuple[list[Path], list[str], int | None, bool]:
    """The config files, the overrides, N of --parallel N, and whether --prepare is there."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        usage="train.py [-h] [--parallel N | --prepare] CONFIG.yaml [CONFIG.yaml ...] [option=value ...]",
        description="Run one experiment, or several in processes of their own. @FILE reads arguments from a file.",
        epilog="The options, their defaults and their meaning: docs/options.md",
        fromfile_prefix_chars="@",
    )
    parser.add_argument("words", nargs="+", metavar="CONFIG.yaml, option=value", help="config files and overrides")
    parser.add_argument("--parallel", type=int, metavar="N", help="run N at a time, each in a process of its own")
    parser.add_argument("--prepare", action="store_true", help="fetch and check data and weights, and run nothing")
    options = parser.parse_args(arguments)
    # Names of folders hold '=' too: what ends like a config file is one, unless there is none and it reads like an override.
    endings = (".yaml", ".yml", lists.ARRAY, lists.PACK)
    is_config = [word.endswith(endings) and ("=" not in word or Path(word).exists()) for word in options.words]
    paths = [Path(word) for word, yes in zip(options.words, is_config, strict=True) if yes]
    overrides = [word for word, yes in zip(options.words, is_config, strict=True) if not yes]
    if not paths:
        spec = next(
            (Path(word) / experiment.SPEC for word in options.words if (Path(word) / experiment.SPEC).exists()), None
        )
        hint = f"; did you mean {spec}?" if spec else ""
        parser.error(f"no config file (.yaml) among: {' '.join(options.words)}{hint}")
    if options.prepare and (options.parallel is not None or any(p.suffix in (lists.ARRAY, lists.PACK) for p in paths)):
        parser.error("--prepare takes config files, and neither --parallel nor a list")
    if len(paths) > 1 and any(path.suffix in (lists.ARRAY, lists.PACK) for path in paths):
        parser.error(f"a list ({lists.ARRAY}, {lists.PACK}) is given alone")
    if options.parallel is not None and options.parallel < 1:
        parser.error("--parallel must be at least 1")
    return paths, overrides, options.parallel, options.prepare
