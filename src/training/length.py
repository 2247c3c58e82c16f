"""How long a run is, in optimizer steps, whatever unit its config counts in."""

from __future__ import annotations

from dataclasses import dataclass

from src.config import Config
from src.data.batches import steps_per_pass


@dataclass(frozen=True)
class Length:
    """Steps of an epoch and of the run. `unit` is the train_length_unit; a pass visits n_examples in batches."""

    steps_per_epoch: int
    total_steps: int
    unit: str
    n_examples: int
    batch_size: int

    @property
    def n_epochs(self) -> int:
        """Evaluations of the run; the last epoch may be shorter, and a run without a step has one too."""
        return max(1, steps_per_pass(self.total_steps, self.steps_per_epoch))

    def epoch_end(self, epoch: int) -> int:
        """The step after which epoch 1, 2, ... is over."""
        return min(epoch * self.steps_per_epoch, self.total_steps)

    def steps_per_unit(self, step: int) -> float:
        """Optimizer steps in one train_length_unit, the unit that schedules count in too.

        For samples it is the mean over the first `step` steps, so that step / steps_per_unit(step) samples are seen.
        """
        if self.unit == "epoch":
            return self.steps_per_epoch
        if self.unit == "step":
            return 1
        passes, rest = divmod(step, steps_per_pass(self.n_examples, self.batch_size))
        seen = passes * self.n_examples + rest * self.batch_size
        return step / seen if seen else 1 / self.batch_size


def run_length(config: Config, n_examples: int) -> Length:
    """The length of a run on n_examples; a part of a batch is a step."""
    n_steps = steps_per_pass(n_examples, config.batch_size)
    per_epoch = config.steps_per_epoch or (
        steps_per_pass(config.samples_per_epoch, config.batch_size) if config.samples_per_epoch else n_steps
    )
    total = config.train_length
    if config.train_length_unit == "epoch":
        total *= per_epoch
    elif config.train_length_unit == "sample":
        passes, rest = divmod(config.train_length, n_examples)
        total = passes * n_steps + steps_per_pass(rest, config.batch_size)
    return Length(per_epoch, total, config.train_length_unit, n_examples, config.batch_size)
