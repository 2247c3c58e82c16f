"""Averages of the iterates: a second model whose weights are a mean over optimizer steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from src import grammar


def build_average(model: nn.Module, averaging: str | None, buffers: str) -> IterateAverage | None:
    """The average of the option `averaging`, over no iterate yet; None without one. `buffers`: see IterateAverage."""
    if averaging is None:
        return None
    return IterateAverage(model, *grammar.parse_averaging(averaging), buffers=buffers)


class IterateAverage(AveragedModel):
    """torch's AveragedModel with the two averages below. The averaged model is `.module`; it shares nothing with `model`.

    poly: average_t = average_{t-1} + (eta+1)/(eta+t) (iterate_t - average_{t-1}), t = 1, 2, ...; eta = 0 is the plain
    mean (polynomial-decay averaging, Shamir and Zhang 2013). ema: average_t = decay average_{t-1} + (1-decay) iterate_t,
    with average_1 = iterate_1.

    `buffers` is the rule for batch-norm statistics: 'copy' takes the newest, 'average' averages all but the counters,
    'recompute' takes the newest, and the evaluation computes them anew (src/training/batch_norm.py).
    """

    def __init__(self, model: nn.Module, kind: str, parameter: float, buffers: str = "copy") -> None:
        super().__init__(model)
        self._kind, self._parameter, self._average_buffers = kind, parameter, buffers == "average"

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Add the newest iterate to the average, without waiting for a GPU.

        AveragedModel's own version waits, because it copies `n_averaged` to the device at every call. Here this counter
        stays on the CPU: do not move this module to another device.
        """
        averaged: list[Tensor] = list(self.module.parameters())
        newest: list[Tensor] = list(model.parameters())
        copied_to: list[Tensor] = []
        copied_from: list[Tensor] = []
        for old, new in zip(self.module.buffers(), model.buffers(), strict=True):
            if self._average_buffers and old.is_floating_point():
                averaged.append(old)
                newest.append(new)
            else:
                copied_to.append(old)
                copied_from.append(new)
        torch._foreach_lerp_(averaged, newest, self._weight(int(self.n_averaged) + 1))
        if copied_to:
            torch._foreach_copy_(copied_to, copied_from)
        self.n_averaged += 1

    def _weight(self, t: int) -> float:
        """The weight of iterate t, the first being 1, in the average over the first t."""
        if self._kind == "poly":
            return (self._parameter + 1) / (self._parameter + t)
        return 1.0 if t == 1 else 1 - self._parameter
