"""Kills runs at random instants, resumes them, and compares every number: python tests/faults/campaign.py

Runs of different kinds, all seeded. Each is run once undisturbed. Then it is started again and again in
another folder, and killed (SIGKILL) at a random instant, half of them while checkpoint.pt is being written;
at last it is let run to its end. After every kill the rows of stats.csv must be those of the
undisturbed run, and no fewer than before; at the end the file must be the same, byte for byte, but for the
columns that a clock decides. Exit code 1 if an epoch was lost or a file differs.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

from helpers import stats_without_clock  # noqa: E402
from tqdm import tqdm  # noqa: E402

from src import experiment, yaml_io  # noqa: E402

DIGITS = {"dataset": "sklearn/digits", "data_splits_map": {"train": "train[:60%]", "test": "train[60%:]"}}
KINDS: dict[str, dict[str, Any]] = {
    "linear, sgd": {"model": "linear", "train_length": 60, "checkpoint_every_seconds": 0},
    "lenet, ema": {"model": "tiny/lenet", "averaging": "ema_0.9", "train_length": 8, "checkpoint_every_seconds": 0},
    "batch norm recomputed": {
        "model": "tiny/resnet_8", "averaging": "poly_8", "averaging_buffers": "recompute", "train_length": 3,
        "steps_per_epoch": 5, "checkpoint_every_seconds": 0,
    },
    "accumulation, adam": {
        "model": "tiny/lenet", "optim_alg": "adamw", "base_lr": 0.003, "grad_accum_steps": 3, "steps_per_epoch": 7,
        "train_length": 15, "warmup_steps": 20, "lr_schedule": "cosine", "checkpoint_every_seconds": 0,
    },
    "early stopping, best": {
        "model": "tiny/lenet", "train_length": 40, "early_stopping_patience": 3, "save_best_checkpoint": True,
        "checkpoint_every_seconds": 0,
    },
    "loader, augmentation": {
        "dataset": "python/toys:NoisyDigits", "data_splits_map": {"train": "train", "test": "test"},
        "model": "linear", "num_workers": 2, "train_length": 6, "checkpoint_every_seconds": 0,
    },
    "dropout, seldom saved": {"model": "python/toys:dropout_net", "train_length": 40, "checkpoint_every_seconds": 0.2},
    "long epochs, by clock": {
        "model": "linear", "train_length": 3, "steps_per_epoch": 1500, "checkpoint_every_seconds": 0.1,
        "best_checkpoint_metric": "loss", "save_best_checkpoint": True,
    },
    "grid, --parallel 2": {"model": "linear", "averaging": "poly_8", "train_length": 40, "checkpoint_every_seconds": 0},
    "large, slow to save": {
        "model": "python/toys:wide_net", "data_splits_map": {"train": "train[:10%]", "test": "train[90%:]"},
        "train_length": 8, "checkpoint_every_seconds": 0,
    },
}  # fmt: skip


@dataclass
class Tally:
    """What became of the runs of one kind."""

    runs: int = 0
    kills: int = 0
    kills_while_saving: int = 0
    lost_epochs: int = 0
    differing: int = 0
    complaints: list[str] = field(default_factory=list)

    def row(self, name: str) -> str:
        numbers = (self.runs, self.kills, self.kills_while_saving, self.lost_epochs, self.differing)
        return f"{name:24}" + "".join(f"{number:>12}" for number in numbers)


def redirect(output: Path) -> None:
    """Send what this process prints to a file."""
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def train(config: dict[str, Any], output: Path) -> None:
    """In a forked process: run the experiment to its end."""
    redirect(output)
    from src import config as config_module
    from train import experiment_generator

    for _ in experiment_generator(config_module.build(config)):
        pass


def work(specs: list[str], output: Path) -> None:
    """In a forked process: run the experiments in a worker, two at a time."""
    redirect(output)
    import train

    train.main([*specs, "--parallel", "2"])


def start(config: dict[str, Any]) -> multiprocessing.process.BaseProcess:
    folder = Path(config["output_dir"])
    process = multiprocessing.get_context("fork").Process(target=train, args=(config, folder.with_suffix(".txt")))
    process.start()
    return process


def kill(process: multiprocessing.process.BaseProcess, folder: Path, after: float, while_saving: bool) -> bool:
    """SIGKILL after so many seconds or, if asked to, when a checkpoint is next being written; whether one was."""
    deadline = time.monotonic() + after
    while time.monotonic() < deadline and process.is_alive():
        time.sleep(0.001)
    while while_saving and process.is_alive() and not any(folder.glob(".checkpoint.pt.*")):
        time.sleep(0.0002)
    process.kill()
    process.join()
    return any(folder.glob(".checkpoint.pt.*"))  # its temporary file is left behind


def rows(folder: Path) -> list[str]:
    """The epochs that can be read from stats.csv."""
    return stats_without_clock(folder).splitlines()[1:] if (folder / "stats.csv").exists() else []


def campaign(kinds: dict[str, dict[str, Any]], n_kills: int, seed: int, folder: Path) -> dict[str, Tally]:
    """Runs of the kinds in turn, until there were `n_kills` kills."""
    chance = random.Random(seed)
    tallies = {name: Tally() for name in kinds}
    configs = {name: {"seed_model": 1, "seed_training": 2, "base_lr": 0.05, **DIGITS, **kinds[name]} for name in kinds}
    with tqdm(total=n_kills, unit="kill", disable=None) as bar:
        expected, seconds = {}, {}
        for name, config in configs.items():
            began = time.monotonic()
            whole = start({**config, "output_dir": str(folder / "whole" / name)})
            whole.join()
            assert whole.exitcode == 0, (folder / "whole" / f"{name}.txt").read_text()
            expected[name], seconds[name] = rows(folder / "whole" / name), time.monotonic() - began
        number = 0
        while sum(tally.kills for tally in tallies.values()) < n_kills:
            name = list(configs)[number % len(configs)]
            number += 1
            play = one_grid if "--parallel" in name else one_run
            play(configs[name], folder / f"{number}", expected[name], seconds[name], tallies[name], chance, bar)
    return tallies


def one_run(
    config: dict[str, Any],
    folder: Path,
    expected: list[str],
    seconds: float,
    tally: Tally,
    chance: random.Random,
    bar: Any,
) -> None:
    """Start a run, kill it some times, let it end, compare."""
    tally.runs += 1
    config = {**config, "output_dir": str(folder)}
    finished = 0
    for _ in range(chance.randint(2, 6)):
        process = start(config)
        saving = kill(process, folder, chance.uniform(0.05, 0.7 * seconds), chance.random() < 0.5)
        if process.exitcode != -signal.SIGKILL:  # it had come to its end before
            break
        bar.update()
        finished = after_kill(folder, expected, finished, saving, tally)
    start(config).join()
    at_the_end(folder, expected, tally)


def one_grid(
    config: dict[str, Any],
    folder: Path,
    expected: list[str],
    seconds: float,
    tally: Tally,
    chance: random.Random,
    bar: Any,
) -> None:
    """The same for four experiments in a worker, whose children are killed and which is started again after its end."""
    folders = [folder / str(number) for number in range(4)]
    for one in folders:
        one.mkdir(parents=True)
        (one / "spec.yaml").write_text(yaml_io.dump({**config, "output_dir": str(one)}))
    finished, n_kills = dict.fromkeys(folders, 0), chance.randint(4, 8)
    for _ in range(2 + n_kills):  # no endless loop if something is wrong
        if all((one / "done").exists() for one in folders):
            break
        arguments = ([str(one / "spec.yaml") for one in folders], folder.with_suffix(".txt"))
        worker = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        worker.start()
        while worker.is_alive():
            time.sleep(chance.uniform(0, 0.5 * seconds))
            running = [one for one in folders if experiment.runs_here(one)]
            if running and n_kills > 0:
                one = chance.choice(running)
                pid = experiment.read_state(one)["pid"]
                os.kill(pid, signal.SIGKILL)
                while experiment.runs_here(one) and experiment.read_state(one)["pid"] == pid:
                    time.sleep(0.001)  # until the worker has noticed
                saving = (one / f".checkpoint.pt.{pid}.tmp").exists()
                bar.update()
                n_kills -= 1
                finished[one] = after_kill(one, expected, finished[one], saving, tally)
        worker.join()
    tally.runs += len(folders)
    for one in folders:
        at_the_end(one, expected, tally)


def after_kill(folder: Path, expected: list[str], finished: int, saving: bool, tally: Tally) -> int:
    """Count a kill and what it lost. Takes and returns how many epochs are known to have been finished."""
    tally.kills += 1
    tally.kills_while_saving += saving
    now, log = rows(folder), folder / "training.log"
    told = re.findall(r"epoch (\d+) over", log.read_text()) if log.exists() else []  # written after the row
    finished = max([finished, *map(int, told)])
    if len(now) < finished or now != expected[: len(now)]:
        tally.lost_epochs += max(finished - len(now), 1)
        tally.complaints.append(f"{folder}: after a kill stats.csv had {len(now)} of {finished} rows, or others")
    return max(finished, len(now))


def at_the_end(folder: Path, expected: list[str], tally: Tally) -> None:
    """Compare with the undisturbed run; nothing half-written may be left either."""
    if rows(folder) != expected or not (folder / "done").exists() or any(folder.glob(".*.tmp")):
        tally.differing += 1
        tally.complaints.append(f"{folder}: {experiment.read_state(folder)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    for module in ("torch._dynamo", "sklearn.datasets"):  # once, for all processes that are forked
        importlib.import_module(module)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "whole").mkdir()
        tallies = campaign({name: KINDS[name] for name in options.kinds}, options.kills, options.seed, Path(folder))
    heads = ("runs", "kills", "in a save", "lost epochs", "differing")
    print(f"{'kind':24}" + "".join(f"{head:>12}" for head in heads))
    for name, tally in tallies.items():
        print(tally.row(name))
    total = Tally(
        *(
            sum(getattr(t, key) for t in tallies.values())
            for key in ("runs", "kills", "kills_while_saving", "lost_epochs", "differing")
        )
    )
    print(total.row("all"))
    for tally in tallies.values():
        print(*tally.complaints, sep="\n", end="\n" if tally.complaints else "")
    return int(total.lost_epochs + total.differing > 0)


if __name__ == "__main__":
    sys.exit(main())
