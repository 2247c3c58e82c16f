"""What a run decides before it loads anything (folder, device, seeds), and what it finds once data and model exist."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src import config as config_module
from src import experiment, files, yaml_io
from src.code_version import code_version
from src.config import Config, Found
from src.data import Data
from src.data.batches import micro_batch_size
from src.models.counts import count_flops, count_parameters
from src.training.metrics import Metrics

# The packages whose version can change a digit of the results.
PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "libsvmdata", "pillow"),
    *("tensorflow-datasets", "datasets", "transformers", "tokenizers", "open_clip_torch"),
)
THREADS_PER_CORE = 16  # more of them do not end: they wait for each other
LEAST_EVAL_BATCH = 256  # samples of an evaluation batch that is not asked for


@dataclass(frozen=True)
class Setup:
    """What is decided before anything is loaded."""

    folder: Path
    device: torch.device
    seed_model: int
    seed_training: int
    is_done: bool  # by an earlier start; asked once, so that a run has one answer from its beginning to its end


def set_up(config: Config) -> Setup:
    """Make the run's folder, choose its device, and draw the seeds that are null (or take those of its config.yaml).

    Raises ValueError if the device cannot be used, or the folder cannot be written or is in use.
    """
    if config.num_threads > THREADS_PER_CORE * (cores := os.cpu_count() or 1):
        raise ValueError(
            f"num_threads {config.num_threads}: this machine has {cores} cores, and would not come to an end"
        )
    folder = _make_folder(config)
    earlier = experiment.read_options(folder, experiment.CONFIG) if config.resume == "auto" else {}
    return Setup(
        folder,
        choose_device(config.device),
        _seed(config.seed_model, earlier.get("seed_model")),
        _seed(config.seed_training, earlier.get("seed_training")),
        is_done=(folder / experiment.DONE).exists(),
    )


def find(config: Config, setup: Setup, data: Data, model: nn.Module, output_dim: int, metrics: Metrics) -> Found:
    """What config.yaml stores beside the options."""
    batch_size = micro_batch_size(config.batch_size, config.grad_accum_steps)
    sizes = {name: len(split) for name, split in data.splits.items()}
    n_parameters, n_trained = count_parameters(model)
    return Found(
        output_dir=str(setup.folder),
        device=str(setup.device),
        seed_model=setup.seed_model,
        seed_training=setup.seed_training,
        model_input_shape=list(data.input_shape),
        model_output_dim=output_dim,
        eval_batch_size=config.eval_batch_size or max(batch_size, LEAST_EVAL_BATCH),
        host_name=socket.gethostname(),
        data_n_examples=sizes["train"],
        data_split_sizes=sizes,
        data_n_classes=data.n_classes,
        batch_size_accum=batch_size,
        model_n_parameters=n_parameters,
        model_n_trained=n_trained,
        model_flops=count_flops(model, data.input_shape, data.kind == "text"),
        metric_modes=metrics.modes,
        git_commit=code_version(),
        package_versions={"python": platform.python_version(), **_versions()},
    )


def write_record(config: Config, folder: Path, record: Mapping[str, Any]) -> None:
    """Write config.yaml, and spec.yaml where an earlier request in this folder was another one."""
    _write_spec(config, folder)
    files.write_text(folder / experiment.CONFIG, yaml_io.dump(dict(record)))


def choose_device(name: str | None) -> torch.device:
    """The device of that name; without one, cuda where there is one, else cpu. Raises ValueError."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def _seed(*seeds: int | None) -> int:
    """The first that is not null; drawn if all are."""
    return next((seed for seed in seeds if seed is not None), secrets.randbelow(2**31))


def _make_folder(config: Config) -> Path:
    """The run's folder, with its spec.yaml; emptied of an earlier run's results where resume is `never`."""
    if config.output_dir is None:
        name = f"{config.dataset}-{config.model}".replace("/", "_").replace(":", "_")
        folder = experiment.new_run_folder(name)
    else:
        folder = Path(config.output_dir)
    if experiment.runs_here(folder):
        raise ValueError(f"{folder} is being run already, by process {experiment.read_state(folder)['pid']}")
    if strangers := _strangers(folder):
        raise ValueError(
            f"output_dir {folder} has files that are no experiment's, such as {strangers[0]}; name an empty or a new folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_litter(folder)
        (folder / experiment.LOG).touch()
        if config.resume == "never":
            for name in (experiment.DONE, experiment.STATS):
                (folder / name).unlink(missing_ok=True)
            for weights in folder.glob("*checkpoint*.pt"):
                weights.unlink()
        if config.resume == "never" or not (folder / experiment.SPEC).exists():
            _write_spec(config, folder)
    except OSError as error:
        raise ValueError(f"output_dir {folder} cannot be written: {error.strerror}") from None
    return folder


def _strangers(folder: Path) -> list[str]:
    """What is in a folder that is no experiment's: one without spec.yaml, the first file that a run completes."""
    if not folder.is_dir() or (folder / experiment.SPEC).exists():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name != experiment.LOG and path.name[0] != ".")


def _write_spec(config: Config, folder: Path) -> None:
    """Write spec.yaml, what is asked for, unless the file asks for the same already."""
    own = {"output_dir": str(folder.absolute()), "resume": Config().resume}  # it may be run from elsewhere, and again
    asked = config_module.to_dict(config) | own
    with contextlib.suppress(config_module.ConfigError):  # there is none, or one that cannot be run
        if config_module.to_dict(config_module.load(folder / experiment.SPEC)) | own == asked:
            return
    defaults = config_module.to_dict(Config())
    changed = {key: value for key, value in asked.items() if value != defaults[key]}
    files.write_text(folder / experiment.SPEC, yaml_io.dump(changed))


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an optional family that is not installed
    return versions
