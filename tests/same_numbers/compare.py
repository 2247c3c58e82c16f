"""Shows that a refactoring changes no number: python tests/same_numbers/compare.py

Runs the twelve small seeded experiments of cases.py and compares the stats.csv of each, without the columns that a
clock decides, with its file in recorded/. Prints a table; exits with 1 if a number differs. Takes half a minute.

    compare.py --only resumed --only tfds_wrn   compares these cases only
    compare.py --record                         writes the files anew, after a change that is meant to change numbers

The last digits of a number depend on the CPU and on the versions of packages. On a machine of the kind that
recorded/machine.json describes, the files must be equal byte by byte. On any other machine the script prints a warning,
and numbers may differ as ALLOWED says. To compare two checkouts byte by byte on any machine, record the older one there:

    compare.py --code OLD --recorded FOLDER --record   runs src, train.py and the makers in tests/ of the checkout OLD
    compare.py --recorded FOLDER                       runs the same cases with the code of this checkout
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from cases import CASES, COMMON, Case  # noqa: E402

RECORDED = HERE / "recorded"
MACHINE = "machine.json"
PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "libsvmdata", "pillow", "tensorflow-datasets"),
    *("datasets", "transformers", "tokenizers", "open_clip_torch"),
)
# How far a metric may be from its recorded value on another kind of machine; all else must be equal.
ALLOWED = {
    "loss": {"rel_tol": 1e-3},
    "grad_norm": {"rel_tol": 1e-2},
    "accuracy": {"abs_tol": 0.05},  # one example of the smallest split
    "learning_rate": {"rel_tol": 1e-9},
}


# --- running ------------------------------------------------------------------------------------------


def run(name: str) -> str:
    """The stats.csv of a case, without the columns of the clock. `src`, `train` and `helpers` must be importable."""
    from helpers import stats_without_clock

    case = CASES[name]
    n_attempts = 1 + len(case.broken_after) + case.n_signals
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as work, contextlib.ExitStack() as stack:
        folder = Path(work)
        options = COMMON | {"data_dir": work, "output_dir": str(folder / "run")} | case.make(stack, folder)
        attempt = _by_command if case.command else _by_generator
        for number in range(1, n_attempts + 1):
            attempt(case, options)
            if (folder / "run" / "done").exists() != (number == n_attempts):
                raise RuntimeError(f"case {name} must be done after attempt {n_attempts}; check attempt {number}")
        return stats_without_clock(folder / "run")


def _by_generator(case: Case, options: dict[str, Any]) -> None:
    """Runs until the end, until the model's signal stops it, or until an epoch after which the caller breaks out."""
    from src import config as configs
    from train import experiment_generator

    signals = [KeyboardInterrupt] if case.n_signals else []
    with (
        contextlib.suppress(*signals),
        contextlib.closing(experiment_generator(configs.build(options))) as epochs,
    ):
        for stats, _ in epochs:
            if len(stats) in case.broken_after:
                break


def _by_command(case: Case, options: dict[str, Any]) -> None:
    """Runs until the end by `python train.py`; an option on the command line takes the place of the file's."""
    import train

    script, config = Path(train.__file__), Path(options["data_dir"], "case.yaml")
    config.write_text(json.dumps(options | {"base_lr": 0.5}))  # JSON is YAML
    command = [sys.executable, script, config, f"base_lr={options['base_lr']}"]
    subprocess.run(command, cwd=script.parent, stdout=subprocess.DEVNULL, check=True)


# --- comparing ----------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What the digits of a run on a CPU depend on, beside the code."""
    import torch

    cpu = torch.cpu.get_capabilities()
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": cpu["cpu_name"],
        "caches": f"{cpu.get('l1d_cache_size')} {cpu.get('l2_cache_size')}",  # libraries choose block sizes by them
        "instructions": " ".join(sorted(name for name, present in cpu.items() if present is True)),
        "kernels of torch": torch.backends.cpu.get_cpu_capability(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def other_machine(recorded: Path) -> str:
    """A warning if this machine is not of the kind that the files were recorded on, else nothing."""
    then, now = json.loads((recorded / MACHINE).read_text()), machine()
    differing = ", ".join(key for key in then | now if then.get(key) != now.get(key))
    return differing and (
        f"This machine differs from that of {recorded / MACHINE} in {differing}, so that a loss may differ by "
        f"{ALLOWED['loss']['rel_tol']:g} of its value, a gradient norm by {ALLOWED['grad_norm']['rel_tol']:g} of its "
        f"value and an accuracy by {ALLOWED['accuracy']['abs_tol']:g}."
    )


def first_difference(recorded: str, found: str, exact: bool) -> str:
    """The first cell, row by row, in which two files differ, if not `exact` by more than is allowed; else nothing."""
    import pandas as pd

    then, now = (pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False) for text in (recorded, found))
    if list(then) != list(now):
        return f"columns: {' '.join(now)}; recorded: {' '.join(then)}"
    for row in range(min(len(then), len(now))):
        for column in then:
            old, new = then[column][row], now[column][row]
            if old != new and (exact or not _is_close(old, new, column)):
                return f"row {row + 1}, {column}: {new}; recorded: {old}"
    return "" if len(then) == len(now) else f"{len(now)} rows; recorded: {len(then)}"


def _is_close(old: str, new: str, column: str) -> bool:
    allowed = ALLOWED.get(column.rpartition("/")[2])
    return allowed is not None and "" not in (old, new) and math.isclose(float(old), float(new), **allowed)


# --- the command --------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the recorded files instead of comparing")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--code", type=Path, default=HERE.parent.parent, metavar="FOLDER", help="another checkout")
    parser.add_argument("--recorded", type=Path, default=RECORDED, metavar="FOLDER", help="other recorded files")
    options = parser.parse_args(arguments)
    code, recorded = options.code.resolve(), options.recorded
    sys.path[:0] = [str(code), str(code / "tests")]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any of its users is imported

    other = other_machine(recorded) if (recorded / MACHINE).exists() else ""
    if options.record:
        if options.only and other:
            parser.error("--record --only: the files in a folder must be of one machine; record all cases")
        recorded.mkdir(parents=True, exist_ok=True)
        (recorded / MACHINE).write_text(json.dumps(machine(), indent=2) + "\n")
    elif other:
        print(other)
    differences = 0
    print(f"{'case':16}{'data; model; what else it covers':70}{'rows':>6}{'seconds':>9}  result")
    for name in options.only or CASES:
        start, file = time.perf_counter(), recorded / f"{name}.csv"
        with contextlib.redirect_stdout(sys.stderr):  # what libraries print
            found = run(name)
        if options.record:
            file.write_text(found)
            result = "recorded"
        else:
            difference = first_difference(file.read_text(), found, exact=not other)
            differences += bool(difference)
            result = difference or ("within what is allowed" if other else "identical")
        rows, seconds = found.count("\n") - 1, time.perf_counter() - start
        print(f"{name:16}{CASES[name].covers:70}{rows:6}{seconds:9.1f}  {result}", flush=True)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
