"""One optimizer step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.training.losses import Loss
from src.training.meter import Meter


def train_step(
    model: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    micro_batches: list[tuple[Tensor, Tensor]],
    meter: Meter,
) -> tuple[Tensor, Tensor]:
    """One step on the average loss of a batch, given as the list of its micro-batches.

    Each micro-batch adds its samples' share, so that the gradient is that of the whole batch, however
    it is cut. Adds the losses to `meter`. Returns the batch's average loss and
    the gradient's Euclidean norm, scalars that are still on the device.
    """
    optimizer.zero_grad(set_to_none=True)
    batch_size = sum(len(y) for _, y in micro_batches)
    batch_loss = torch.zeros((), device=micro_batches[0][1].device)
    for x, y in micro_batches:
        outputs = model(x)
        losses = loss(outputs, y)
        share = losses.sum() / batch_size
        share.backward()
        batch_loss += share.detach()
        meter.add(losses, outputs, y)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    optimizer.step()
    return batch_loss, norm
