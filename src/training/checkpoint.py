"""Saving and loading what a run resumes from (checkpoint.pt), and weights that are kept."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from src import config as config_module
from src.config import Config
from src.experiment import replacing
from src.training.process import get_random_states, set_random_states

FORMAT = 1  # raised when an older checkpoint could no longer be read


class CheckpointError(ValueError):
    """A checkpoint that a run cannot go on from; the message says why and what to do."""


class HasState(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


def save(path: Path, config: Config, parts: Mapping[str, HasState]) -> None:
    """Write the state of every part and of the random generators; `path` is replaced whole or not at all."""
    content = {
        "format": FORMAT,
        "config": config_module.to_dict(config),
        "random": get_random_states(),
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)


def save_weights(path: Path, model: nn.Module, row: dict[str, Any]) -> None:
    """Keep a model for later use: a dictionary of `model` (its state_dict) and `stats` (the epoch's figures)."""
    with replacing(path) as temporary:
        torch.save({"model": model.state_dict(), "stats": row}, temporary)


def load(path: Path, config: Config, parts: Mapping[str, HasState], device: torch.device) -> None:
    """Give every part, and the random generators, the state they had when `path` was saved.

    Raises CheckpointError if the file is damaged, is none of ours, or belongs to a config whose numbers differ.
    """
    content = _read(path, device)
    if changes := ", ".join(config_module.differences(content["config"], config)):
        raise CheckpointError(
            f"{path} was saved by a run with another config ({changes}); "
            "take the old values, another output_dir, or resume=never to start over"
        )
    for name, part in parts.items():
        part.load_state_dict(content["parts"][name])
    # generator states live on the CPU wherever the tensors of the model were mapped to
    set_random_states(_to_cpu(content["random"]))


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    start_over = "move it away, or start over with resume=never"
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged and cannot be read ({reason[:100]}); {start_over}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by this version of train.py; {start_over}")
    return content


def _to_cpu(data: Any) -> Any:
    if isinstance(data, torch.Tensor):
        return data.cpu()
    if isinstance(data, dict):
        return {key: _to_cpu(value) for key, value in data.items()}
    return type(data)(_to_cpu(value) for value in data) if isinstance(data, list | tuple) else data
