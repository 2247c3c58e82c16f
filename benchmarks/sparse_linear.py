"""A linear model on sparse data, stored as sparse against stored as dense, at the size of rcv1.

    python benchmarks/sparse_linear.py [ROUNDS]

Makes 20,000 samples of 47,236 features, of which 0.16% are not zero (76 a sample), in a file of libsvm's format
compressed by bzip2, and

1. trains an epoch on it with `python train.py`: prints the peak memory and the seconds of the whole process;
2. times train_batches + train_step on both sides alternately, one thread, sgd with momentum: prints the milliseconds
   of CPU of an optimizer step, and the ratio of each round: median, smallest and largest. The dense data take 3.8 GB,
   8 GB while they are read.
"""

from __future__ import annotations

import bz2
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src import config as configs  # noqa: E402
from src.config import Config  # noqa: E402
from src.data import Data, Examples, load_data  # noqa: E402
from src.data.batches import train_batches  # noqa: E402
from src.models import build_model  # noqa: E402
from src.optim.optimizers import build_optimizer  # noqa: E402
from src.training.losses import build_loss  # noqa: E402
from src.training.metrics import build_metrics  # noqa: E402
from src.training.process import Process, seed_all  # noqa: E402
from src.training.step import train_step  # noqa: E402

SAMPLES, FEATURES, A_ROW = 20_000, 47_236, 76
CASES = ((128, 2), (256, 2), (512, 2), (2048, 2), (128, 53))  # batch size, classes


def make_file(path: Path) -> None:
    """Labels -1 and 1: the side of a random plane that a sample is on."""
    from sklearn.datasets import dump_svmlight_file

    rng = np.random.default_rng(0)
    columns, starts = rng.integers(0, FEATURES, SAMPLES * A_ROW), np.arange(SAMPLES + 1) * A_ROW
    x = sparse.csr_matrix((rng.uniform(0.1, 1, len(columns)), columns, starts), (SAMPLES, FEATURES))
    x.sum_duplicates()
    y = np.where(x @ rng.standard_normal(FEATURES) > 0, 1, -1)
    with bz2.open(path, "wb", compresslevel=1) as file:
        dump_svmlight_file(x, y, file, zero_based=False)


def train(path: Path, folder: Path) -> tuple[float, float]:
    """Peak memory in GB and wall seconds of one epoch with the command line."""
    (folder / "cfg.yaml").write_text(
        f"dataset: libsvm/{path}\ndata_splits_map: {{train: 'train[:90%]', test: 'train[90%:]'}}\nmodel: linear\n"
        f"batch_size: 128\nbase_lr: 10\ntrain_length: 1\noutput_dir: {folder / 'run'}\n"
    )
    start = time.perf_counter()
    command = [sys.executable, "train.py", str(folder / "cfg.yaml")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"train.py ended with {os.waitstatus_to_exitcode(status)}"
    return usage.ru_maxrss / 1e6, time.perf_counter() - start  # Linux gives kB


class Side:
    """Optimizer steps on the data in one form."""

    def __init__(self, data: Data, config: Config, n_classes: int) -> None:
        train = data.splits["train"]
        assert isinstance(train, Examples)
        self.data = Data(
            {"train": Examples(train.x, torch.arange(len(train)) % n_classes)}, n_classes, data.input_shape
        )
        seed_all(0)
        self.model = build_model(config, data.input_shape, n_classes, sparse=self.data.sparse)
        self.optimizer = build_optimizer(config, self.model)
        self.loss_fn = build_loss(config.loss, n_classes, n_classes)
        self.metrics = build_metrics(None, n_classes)
        self.batches = train_batches(self.data.splits["train"], config, torch.device("cpu"), seed=0)

    def step_ms(self, seconds: float) -> float:
        """Milliseconds of CPU a step, over the steps that fit into `seconds`."""
        start, n_steps = time.process_time(), 0
        while time.process_time() - start < seconds:
            train_step(self.model, self.model, self.loss_fn, self.optimizer, next(self.batches), self.metrics)
            n_steps += 1
        return 1000 * (time.process_time() - start) / n_steps


def main(rounds: int = 9) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "made.svm.bz2"
        make_file(path)
        peak, seconds = train(path, Path(name))
        print(f"train.py, one epoch from {path.name}: {peak:.2f} GB at its peak, {seconds:.1f} s", flush=True)

        options = {"dataset": f"libsvm/{path}", "data_splits_map": {"train": "train"}, "seed_training": 0}
        held_sparse = load_data(configs.build(options))
        start = time.perf_counter()
        load_data(configs.build(options))
        print(f"reading the file: {time.perf_counter() - start:.1f} s", flush=True)
        held_dense = load_data(configs.build(options | {"max_dense_gb": 4}))

        with Process(num_threads=1):
            for batch_size, n_classes in CASES:
                config = configs.build(options | {"model": "linear", "batch_size": batch_size})
                sides = [Side(data, config, n_classes) for data in (held_dense, held_sparse)]
                for side in sides:
                    side.step_ms(0.2)  # the first steps make the momentum
                measured = [[side.step_ms(0.5) for side in sides] for _ in range(rounds)]
                columns = [*zip(*measured, strict=True), [dense / held for dense, held in measured]]
                print(f"batch {batch_size}, {n_classes} classes")
                for what, values in zip(("dense", "sparse", "ratio"), columns, strict=True):
                    print(
                        f"  {what:8} {statistics.median(values):8.3f}  ({min(values):.3f} to {max(values):.3f})",
                        flush=True,
                    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
