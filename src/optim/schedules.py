"""Learning-rate schedules, each a pure function of the optimizer step."""

from __future__ import annotations

import functools
import math

from src import grammar
from src.config import Config

_parse = functools.cache(grammar.parse_schedule)


def learning_rate(config: Config, step: int, total_steps: int, steps_per_unit: float) -> float:
    """The learning rate of optimizer step `step`, counted from 0, in a run of `total_steps`.

    `steps_per_unit` is the number of optimizer steps in one train_length_unit, the unit of the times in step schedules,
    which count from the start of the run. poly and cosine fall from the end of the warm-up to the end of the run.
    During warm-up the rate rises linearly to the first value of the schedule.
    """
    schedule = _parse(config.lr_schedule)
    warmup = config.warmup_steps
    done = max(0, step - warmup) / max(1, total_steps - warmup)  # fraction of the steps after warm-up
    factor = 1.0
    if schedule.kind == "poly":
        factor = (1 - done) ** schedule.power
    elif schedule.kind == "cosine":
        factor = (1 + math.cos(math.pi * done)) / 2
    elif schedule.kind in ("step", "multistep"):
        # Steps are whole numbers, so a millionth hides only the rounding of time * steps_per_unit.
        reached = [(step + 1e-6) / (time * steps_per_unit) for time in schedule.times]
        drops = math.floor(reached[0]) if schedule.kind == "step" else sum(part >= 1 for part in reached)
        factor = schedule.factor**drops
    if step < warmup:
        factor *= (step + 1) / warmup
    return config.base_lr * factor
