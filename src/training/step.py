"""One optimizer step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.training.forward import Forward, forward_batch
from src.training.losses import Loss
from src.training.metrics import Metrics


def train_step(
    model: nn.Module,
    forward: Forward,
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    micro_batches: list[tuple[Tensor, Tensor]],
    metrics: Metrics,
) -> tuple[Tensor, Tensor]:
    """One step on the mean loss of a batch, given as the list of its micro-batches; adds them to `metrics`.

    Each micro-batch adds its samples' share, so that the gradient is that of the whole batch, however it is
    cut. Returns the batch's mean loss and the gradient's Euclidean norm, scalars that are still on the device.
    """
    optimizer.zero_grad(set_to_none=True)
    batch_size = sum(len(y) for _, y in micro_batches)
    batch_loss = torch.zeros((), device=micro_batches[0][1].device)
    for x, y in micro_batches:
        share = forward_batch(forward, loss_fn, metrics, x, y).sum() / batch_size
        share.backward()
        batch_loss += share.detach()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    optimizer.step()
    return batch_loss, norm


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each parameter group, times its `lr_scale` (less than 1 with layer_decay)."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
