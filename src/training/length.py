"""How long a run is, in optimizer steps, whatever unit its config counts in."""

from __future__ import annotations

from dataclasses import dataclass

from src.config import Config
from src.data.batches import steps_per_pass


@dataclass(frozen=True)
class Length:
    """`steps_per_unit` optimizer steps are one train_length_unit, the unit that schedules count in too."""

    steps_per_epoch: int
    total_steps: int
    steps_per_unit: float

    @property
    def n_epochs(self) -> int:
        """Evaluations of the run; the last epoch may be shorter, and a run without a step has one too."""
        return max(1, steps_per_pass(self.total_steps, self.steps_per_epoch))

    def epoch_end(self, epoch: int) -> int:
        """The step after which epoch 1, 2, ... is over."""
        return min(epoch * self.steps_per_epoch, self.total_steps)


def run_length(config: Config, n_examples: int) -> Length:
    """The length of a run on n_examples; parts of a batch count as a step."""
    per_epoch = config.steps_per_epoch or steps_per_pass(config.samples_per_epoch or n_examples, config.batch_size)
    if config.train_length_unit == "epoch":
        return Length(per_epoch, config.train_length * per_epoch, per_epoch)
    if config.train_length_unit == "step":
        return Length(per_epoch, config.train_length, 1)
    return Length(per_epoch, steps_per_pass(config.train_length, config.batch_size), 1 / config.batch_size)
