"""Writing and reading what a run resumes from (checkpoint.pt), and weights that are kept."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from src import config as config_module
from src.files import replacing
from src.training.process import get_random_states, set_random_states

FORMAT = 2  # raised when an older checkpoint could no longer be read


class CheckpointError(ValueError):
    """A checkpoint that a run cannot resume from; the message says why and what to do."""


class HasState(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


def save(path: Path, record: Mapping[str, Any], parts: Mapping[str, HasState], code: Mapping[str, str]) -> None:
    """Write the state of every part and of the random generators; `path` is replaced whole or not at all.

    `record`: what config.yaml holds. `code`: the fingerprints of the user's own code.
    """
    content = {
        "format": FORMAT,
        "config": dict(record),
        "random": get_random_states(),
        "code": dict(code),
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    _write(path, content)


def save_weights(path: Path, model: nn.Module, row: dict[str, Any]) -> None:
    """Keep a model for later use: a dictionary of `model` (its state_dict) and `stats` (the epoch's figures)."""
    _write(path, {"model": model.state_dict(), "stats": row})


def load(path: Path, record: Mapping[str, Any], parts: Mapping[str, HasState], device: torch.device) -> dict[str, str]:
    """Give every part, and the random generators, the state they had when `path` was saved; returns the `code` of then.

    Raises CheckpointError if the file is damaged, is none of ours, or belongs to a config whose numbers differ.
    """
    content = _read(path, device)
    if changes := ", ".join(config_module.differences(content["config"], record)):
        raise CheckpointError(
            f"{path} was saved by a run with another config ({changes}); "
            "take the old values, another output_dir, or resume=never to start over"
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(content["parts"][name])
    except (RuntimeError, ValueError, KeyError) as error:  # the user's own model or optimizer is another one now
        raise CheckpointError(
            f"{path} does not fit the {name} of today's code ({str(error).splitlines()[-1].strip()}); "
            "take the old code, or start over with resume=never"
        ) from None
    # generator states live on the CPU wherever the tensors of the model were mapped to
    set_random_states(_to_cpu(content["random"]))
    return dict(content.get("code", {}))


def _write(path: Path, content: dict[str, Any]) -> None:
    """Raises OSError, which says so, where the disk is full."""
    # Opened here: after an error torch would leave the file open, and deleting an open file frees no space.
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch hides it behind a sentence about positions
                raise error.__context__ from None
            raise


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    start_over = "move it away, or start over with resume=never"
    try:
        damaged = zipfile.ZipFile(path).testzip()  # torch.load compares no checksum
        content = None if damaged else torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}; {start_over}") from None
    except pickle.UnpicklingError:  # whole, but with objects in it that we never save
        raise CheckpointError(f"{path} was not written by train.py; {start_over}") from None
    except Exception:  # a damaged file can make the readers of zip and pickle raise anything
        damaged = str(path)
    if damaged:
        raise CheckpointError(f"{path} is damaged; {start_over}")
    if (
        not isinstance(content, dict)
        or content.get("format") != FORMAT
        or not {"config", "random", "parts"} <= set(content)
    ):
        raise CheckpointError(f"{path} was not written by this version of train.py; {start_over}")
    return content


def _to_cpu(data: Any) -> Any:
    if isinstance(data, torch.Tensor):
        return data.cpu()
    if isinstance(data, dict):
        return {key: _to_cpu(value) for key, value in data.items()}
    return type(data)(_to_cpu(value) for value in data) if isinstance(data, list | tuple) else data
