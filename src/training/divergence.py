"""When a run has gone wrong for good: a loss that is too large or not finite, parameters that are not finite."""

from __future__ import annotations

import math

import torch
from torch import nn

from src.experiment import Diverged


@torch.no_grad()
def is_finite(model: nn.Module) -> bool:
    """Whether every parameter is a finite number; waits for the device."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


def check_divergence(loss: float, max_allowed_loss: float, step: int, model: nn.Module | None = None) -> None:
    """Raises Diverged if the loss is not finite or above the limit, or a parameter of `model` is not finite.

    The parameters are looked at after an epoch: what its last step did to them shows in no train loss.
    """
    if not math.isfinite(loss) or loss > max_allowed_loss:
        raise Diverged(f"train loss {loss:.6g} at step {step} (max_allowed_loss is {max_allowed_loss:g})")
    if model is not None and not is_finite(model):
        raise Diverged(f"a parameter is not finite after step {step}")
