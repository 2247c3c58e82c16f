"""When a run's state is saved, and which weights are kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src import experiment, python_object
from src.config import Config
from src.training import checkpoint
from src.training.best import BestEpoch
from src.training.checkpoint import HasState
from src.training.divergence import is_finite
from src.training.state import TrainState


class Saver:
    """Saves the parts of a run in checkpoint.pt, and the weights that save_freq and save_best_checkpoint ask for.

    `parts` holds all that a step depends on, `model` and `state` among them; None is a part that is off. `saved(step)`
    is called after each checkpoint, `note(text)` with what the log should say.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        record: Mapping[str, Any],
        parts: Mapping[str, Any],
        saved: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        self.config, self.folder, self.record = config, folder, record
        self.parts: Mapping[str, HasState] = {name: part for name, part in parts.items() if part is not None}
        self.model: nn.Module = parts["model"]
        self.state: TrainState = parts["state"]
        self.saved, self.note = saved, note
        self.sources = python_object.sources(config)
        self.code = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in self.sources.items()}
        self.saved_at = time.monotonic()

    def resume(self, device: torch.device) -> bool:
        """Give every part the state of checkpoint.pt; False if there is none. Raises CheckpointError."""
        path = self.folder / experiment.CHECKPOINT
        if not path.exists():
            return False
        earlier = checkpoint.load(path, self.record, self.parts, device)
        for name, fingerprint in self.code.items():
            if earlier.get(name, fingerprint) != fingerprint:
                self.note(f"warning: {self.sources[name]}, the code of {name}, has changed since {path} was saved")
        return True

    @property
    def due(self) -> bool:
        """Whether checkpoint_every_seconds have passed."""
        return time.monotonic() - self.saved_at >= self.config.checkpoint_every_seconds

    @property
    def due_within_epoch(self) -> bool:
        """The same between two steps; with 0 seconds the state is saved at the ends of epochs alone."""
        return self.config.checkpoint_every_seconds > 0 and self.due

    def save(self) -> None:
        """Replace checkpoint.pt; a state that is not finite never replaces a good one."""
        if not is_finite(self.model):
            return
        checkpoint.save(self.folder / experiment.CHECKPOINT, self.record, self.parts, self.code)
        self.saved_at = time.monotonic()
        self.saved(self.state.step)

    def keep_weights(
        self, models: Mapping[str, nn.Module], row: dict[str, Any], best: BestEpoch, is_last: bool
    ) -> None:
        """Write checkpoint-<last|av>-epoch<N>.pt and best_checkpoint.pt, where the config asks for them."""
        epoch = row["epoch"]
        if self.config.save_freq and (is_last or epoch % self.config.save_freq == 0):
            for name, model in models.items():
                checkpoint.save_weights(self.folder / f"checkpoint-{name}-epoch{epoch}.pt", model, row)
        if self.config.save_best_checkpoint and best.is_to_keep:
            checkpoint.save_weights(self.folder / experiment.BEST_CHECKPOINT, models[best.model], row)
            best.kept = best.now
