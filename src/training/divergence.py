"""When a run has gone wrong for good: a loss that is too large or not finite, parameters that are not finite."""

from __future__ import annotations

import math

import torch
from torch import nn

from src.experiment import Diverged


def check_loss(loss: float, max_allowed_loss: float, step: int) -> None:
    """Raises Diverged if the loss is not finite or above the limit."""
    if not math.isfinite(loss) or loss > max_allowed_loss:
        raise Diverged(f"train loss {loss:.6g} at step {step} (max_allowed_loss is {max_allowed_loss:g})")


@torch.no_grad()
def is_finite(model: nn.Module) -> bool:
    """Whether every parameter is a finite number; waits for the device."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


def check_finite(model: nn.Module, step: int) -> None:
    """Raises Diverged if a parameter is not finite: the last step of an epoch shows in no train loss."""
    if not is_finite(model):
        raise Diverged(f"a parameter is not finite after step {step}")
