"""What is decided before anything is loaded: folder, device, seeds, and the record of where it runs."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import socket
from pathlib import Path

import torch

from src import config as config_module
from src import experiment, files, yaml_io
from src.code_version import code_version
from src.config import Config

# The packages whose version can change a digit of the results.
PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "libsvmdata", "pillow"),
    *("tensorflow-datasets", "datasets", "transformers", "tokenizers", "open_clip_torch"),
)


def prepare(config: Config) -> tuple[Config, Path, torch.device]:
    """A copy of the config in which folder, device and seeds are decided, and the first two. Makes the folder.

    Seeds that are null are drawn, or taken from the folder's config.yaml when a run is gone on with.
    Raises ValueError if the device is not there, or the folder cannot be written or is in use.
    """
    asked = {key: value for key, value in config_module.to_dict(config).items() if key not in config_module.FILLED}
    config = config_module.build(asked)  # a program may have made it without a check
    if config.output_dir is None:
        name = f"{config.dataset}-{config.model}".replace("/", "_").replace(":", "_")
        config.output_dir = str(experiment.new_run_folder(name))
    folder = Path(config.output_dir)
    if experiment.runs_here(folder):
        raise ValueError(f"{folder} is being run already, by process {experiment.read_state(folder)['pid']}")
    defaults = config_module.to_dict(Config()) | {"resume": config.resume}
    spec = {key: value for key, value in config_module.to_dict(config).items() if value != defaults[key]}
    spec["output_dir"] = str(folder.absolute())  # the spec may be run from elsewhere
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_litter(folder)
        (folder / experiment.LOG).touch()
        if config.resume == "never" or not (folder / experiment.SPEC).exists():
            files.write_text(folder / experiment.SPEC, yaml_io.dump(spec))
    except OSError as error:
        raise ValueError(f"output_dir {folder} cannot be written: {error.strerror}") from None
    if config.resume == "never":
        for name in (experiment.DONE, experiment.CHECKPOINT, experiment.BEST_CHECKPOINT, experiment.STATS):
            (folder / name).unlink(missing_ok=True)
    _choose_seeds(config, folder)
    device = choose_device(config.device)
    config.device = str(device)
    config.host_name = socket.gethostname()
    config.git_commit = code_version()
    config.package_versions = {"python": platform.python_version(), **_versions()}
    return config, folder, device


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


def _choose_seeds(config: Config, folder: Path) -> None:
    earlier = experiment.earlier_config(folder) if config.resume == "auto" else {}
    for key in ("seed_model", "seed_training"):
        if getattr(config, key) is None:
            setattr(config, key, earlier.get(key, secrets.randbelow(2**31)))


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an optional family that is not installed
    return versions
