"""The command line of train.py: which configs to run, what to print, which exit code to end with.

`read` checks what was typed before torch is imported; `Request.run` is handed the function that runs an experiment.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from src import config as configs
from src import experiment
from src.config import Config, ConfigError
from src.experiment import Status
from src.running import lists, requeue
from src.signals import StopSignals

Generator = Callable[[Config], Iterator[tuple[Any, Any]]]  # train.experiment_generator


@dataclass(frozen=True)
class Request:
    """What the arguments ask for."""

    paths: list[Path]  # of configs
    overrides: list[str]
    parallel: int | None = None  # how many at a time, each in its own process; None: one, in this process
    shared: bool = False  # with other workers
    prepare: bool = False  # only download and check
    signals: StopSignals = field(default_factory=StopSignals)  # a signal that comes while torch is imported is not lost

    def run(self, generator: Generator) -> int:
        """Do it; the exit code is 0 only if all of it is done."""
        try:
            if self.prepare:
                from src.running.prepare import prepare_all

                return prepare_all(self.paths, self.overrides)
            run = functools.partial(run_one, overrides=self.overrides, generator=generator)
            if self.parallel is None:
                exit_code = run(self.paths[0])
            else:
                from src.running.worker import run_many

                exit_code = run_many(self.paths, run, self.parallel, self.shared, self.signals.received)
            if job_id := requeue.job_to_requeue(exit_code):
                requeue.requeue(job_id, [path.parent for path in self.paths])
            return exit_code
        finally:
            self.signals.__exit__(None, None, None)


def read(arguments: list[str]) -> Request:
    """What the arguments ask for. Exits (SystemExit) where it cannot be run, and where nothing is left to do."""
    request = _parse(arguments)
    path = request.paths[0]
    try:
        if path.suffix == experiment.PACK:
            request = replace(request, paths=lists.read(path), parallel=request.parallel or 1, shared=True)
        elif path.suffix == experiment.ARRAY:
            request = replace(request, paths=[lists.own_config(path)])
    except ValueError as error:
        _exit(str(error))
    if problem := _shared_folder(request.paths, request.overrides):
        _exit(problem)
    if request.shared and all(experiment.has_ended(path.parent) for path in request.paths):
        sys.exit(experiment.EXIT_DONE)
    if len(request.paths) > 1 and request.parallel is None:
        request = replace(request, parallel=1)
    if request.parallel is None and not request.prepare:
        config = config_or_exit_code(request.paths[0], request.overrides)
        if isinstance(config, int):
            sys.exit(config)
    request.signals.__enter__()
    return request


def _exit(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(experiment.EXIT_BAD_CONFIG)


def config_or_exit_code(path: Path, overrides: list[str]) -> Config | int:
    """The config to run; or the exit code, after a message, where it cannot be run or is done."""
    try:
        config = configs.load(path, overrides)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return _give_up(path.parent if path.name == experiment.SPEC else None, str(error), experiment.EXIT_BAD_CONFIG)
    if path.name == experiment.SPEC and not any(word.startswith("output_dir=") for word in overrides):
        config = replace(config, output_dir=str(path.parent))  # also after the folder was moved or renamed
    folder = Path(config.output_dir) if config.output_dir is not None else None
    if folder is not None and requeue.is_stalled(folder):
        cause = f"{requeue.MAX_STALLED} restarts in a row without a step of progress; no more are tried"
        print(f"{folder}: failed: {cause}", file=sys.stderr)
        requeue.note(folder, Status.FAILED, cause)
        return experiment.EXIT_FAILED
    if folder is None or config.resume == "never" or not (folder / experiment.DONE).exists():
        return config
    if changes := ", ".join(
        configs.differences(experiment.read_options(folder, experiment.CONFIG), configs.to_dict(config))
    ):
        print(
            f"{folder} is done, with another config ({changes}); "
            "take another output_dir, or resume=never, which deletes what is there",
            file=sys.stderr,
        )
        return experiment.EXIT_BAD_CONFIG
    print(f"{folder} is done already; resume=never deletes it and runs it again")
    return experiment.EXIT_DONE


def run_one(path: Path, overrides: list[str], generator: Generator) -> int:
    """Run the experiment of a config file, print how it ended, return the exit code."""
    config = config_or_exit_code(path, overrides)
    if isinstance(config, int):
        return config
    if config.output_dir is None:  # the record of a run is named for its folder, any other config for its file
        name = path.resolve().parent.name if path.name == experiment.CONFIG else path.stem
        config = replace(config, output_dir=str(experiment.new_run_folder(name)))
    folder = Path(str(config.output_dir))
    print(f"{folder}: started", flush=True)
    try:
        with StopSignals():  # it covers what the generator does before its own block
            for _ in generator(config):
                pass
    except experiment.Diverged as error:
        print(f"{folder}: diverged: {error}", file=sys.stderr)
        return experiment.EXIT_DIVERGED
    except KeyboardInterrupt as error:
        exit_code = getattr(error, "exit_code", 130)
        if requeue.job_to_requeue(exit_code):
            requeue.note(folder, Status.REQUEUED, str(error))
        resume = f"python train.py {folder / experiment.SPEC} resumes it"
        print(f"{folder}: {str(error) or 'interrupted'}; {resume}", file=sys.stderr)
        return exit_code
    except Exception as error:  # any: the traceback is in training.log, the sentence is for the terminal
        reason = str(error) or f"{type(error).__name__}; see {folder / experiment.LOG}"
        print(f"{folder}: failed: {reason}", file=sys.stderr)
        return _give_up(folder, f"{type(error).__name__}: {error}", experiment.EXIT_FAILED)
    figures = experiment.read_state(folder).get("figures", {})
    print("\n  ".join([f"{folder}: done", *(f"{name:24} {value:.6g}" for name, value in figures.items())]), flush=True)
    return experiment.EXIT_DONE


def _shared_folder(paths: list[Path], overrides: list[str]) -> str:
    """What is wrong if several configs would write into one folder; empty if none would."""
    if len(paths) < 2:
        return ""  # and nothing to read: the run reads its config itself
    if any(word.startswith("output_dir=") for word in overrides):
        return "command line: output_dir would be the folder of several experiments; run them one by one"
    seen: dict[str, Path] = {}
    for path in paths:
        folder: str | None = str(path.parent)
        if path.name != experiment.SPEC:
            with contextlib.suppress(ConfigError):  # reported when it is run
                folder = configs.load(path).output_dir
        if folder in seen:
            return f"{path} and {seen[folder]} have one output_dir, {folder}; each experiment needs its own"
        if folder is not None:
            seen[folder] = path
    return ""


def _give_up(folder: Path | None, cause: str, exit_code: int) -> int:
    """Store in state.json why the experiment did not even start, if nothing else has."""
    if folder is not None and (folder / experiment.SPEC).exists() and experiment.status(folder) == Status.PENDING:
        with contextlib.suppress(OSError):  # an unwritable folder is what it may be about; it was printed
            requeue.note(folder, Status.FAILED, cause.splitlines()[0])
    return exit_code


def _parse(arguments: list[str]) -> Request:
    """The request as it was typed: a list is not read yet. Exits, as argparse does, where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        usage="train.py [-h] [--parallel N | --prepare] CONFIG.yaml [CONFIG.yaml ...] [option=value ...]",
        description="Run one experiment, or several, each in its own process. @FILE reads arguments from a file.",
        epilog="The options, their defaults and their meaning: docs/options.md",
        fromfile_prefix_chars="@",
    )
    parser.add_argument("words", nargs="+", metavar="CONFIG.yaml, option=value", help="config files and overrides")
    parser.add_argument("--parallel", type=int, metavar="N", help="run N at a time, each in its own process")
    parser.add_argument("--prepare", action="store_true", help="download and check data and weights, and run nothing")
    options = parser.parse_args(arguments)
    # Names of folders hold '=' too: what ends like a config file is one, unless there is none and it reads like an override.
    endings = (".yaml", ".yml", experiment.ARRAY, experiment.PACK)
    is_config = [word.endswith(endings) and ("=" not in word or Path(word).exists()) for word in options.words]
    paths = [Path(word) for word, yes in zip(options.words, is_config, strict=True) if yes]
    overrides = [word for word, yes in zip(options.words, is_config, strict=True) if not yes]
    if not paths:
        spec = next(
            (Path(word) / experiment.SPEC for word in options.words if (Path(word) / experiment.SPEC).exists()), None
        )
        hint = f"; did you mean {spec}?" if spec else ""
        parser.error(f"no config file (.yaml) among: {' '.join(options.words)}{hint}")
    if options.prepare and (
        options.parallel is not None or any(p.suffix in (experiment.ARRAY, experiment.PACK) for p in paths)
    ):
        parser.error("--prepare takes config files, and neither --parallel nor a list")
    if len(paths) > 1 and any(path.suffix in (experiment.ARRAY, experiment.PACK) for path in paths):
        parser.error(f"a list ({experiment.ARRAY}, {experiment.PACK}) is given alone")
    if options.parallel is not None and options.parallel < 1:
        parser.error("--parallel must be at least 1")
    return Request(paths, overrides, options.parallel, prepare=options.prepare)
