"""`train.py --prepare`: downloads and checks what a run needs, and runs nothing."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from src import config as config_module
from src import experiment
from src.config import Config, ConfigError


def prepare_all(paths: list[Path], overrides: list[str]) -> int:
    """Prepare the experiments of config files, a line each; the exit code is 0 only if all are ready."""
    exit_code = experiment.EXIT_DONE
    for number, path in enumerate(paths, 1):
        try:
            ready = prepare_inputs(config_module.load(path, overrides))
            print(f"{path}: {ready} ({number} of {len(paths)})", flush=True)
        except ConfigError as error:
            print(error, file=sys.stderr)
            exit_code = exit_code or experiment.EXIT_BAD_CONFIG
        except KeyboardInterrupt:
            print(f"{path}: interrupted", file=sys.stderr)
            return 130
        except (
            Exception
        ) as error:  # any: a package that downloads may raise anything, and the others are still prepared
            print(f"{path}: not ready: {str(error) or type(error).__name__}", file=sys.stderr)
            exit_code = experiment.EXIT_FAILED
    return exit_code


def prepare_inputs(config: Config) -> str:
    """Load the data and build the model as a run does, on the CPU, which downloads what is missing.

    Returns a sentence about them. Writes no run folder. Raises ValueError where a run could not start.
    """
    from src.data import load_data
    from src.models import build_model, model_inputs, output_dim
    from src.training.process import Process

    config = dataclasses.replace(config, image_memory_gb=0)  # images are not decoded to be kept
    with Process(config.num_threads):
        data = load_data(config, model_inputs(config), seed=0)  # nothing is drawn
        n_outputs = output_dim(config, data.n_classes, data.n_targets)
        build_model(config, data.input_shape, n_outputs, data.class_names, data.sparse)
    sizes = ", ".join(f"{name} {len(split)}" for name, split in data.splits.items())
    return f"{config.dataset} ready: {sizes}; model {config.model} ready"
