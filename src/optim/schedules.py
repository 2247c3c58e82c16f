"""The learning rate of a step: the schedule (src/schedules.py) and the warm-up."""

from __future__ import annotations

import functools

from src import schedules
from src.config import Config

_parse = functools.cache(schedules.parse_schedule)


def learning_rate(config: Config, step: int, total_steps: int, steps_per_unit: float) -> float:
    """The learning rate of optimizer step `step`, counted from 0, in a run of `total_steps`.

    `steps_per_unit` is the number of optimizer steps in one train_length_unit. During the warm-up, the schedule's value
    is multiplied by a factor that rises linearly to 1.
    """
    warmup = config.warmup_steps
    factor = _parse(config.lr_schedule)(schedules.Moment(step, total_steps, warmup, steps_per_unit))
    if step < warmup:
        factor *= (step + 1) / warmup
    return config.base_lr * factor
