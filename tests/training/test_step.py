"""One optimizer step."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from src.training.losses import build_loss
from src.training.metrics import build_metrics
from src.training.step import set_lr, train_step

X, Y = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3


def one_step(sizes: list[int]) -> tuple[list[torch.Tensor], float, float, dict[str, float]]:
    """Parameters, loss, gradient norm and metrics after one step on the 12 samples, cut into parts of these sizes."""
    torch.manual_seed(1)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    metrics = build_metrics(None, 3)
    parts = list(zip(X.split(sizes), Y.split(sizes), strict=True))
    loss, norm = train_step(model, model, build_loss("log", 3), optimizer, parts, metrics)
    return [p.detach().clone() for p in model.parameters()], loss.item(), norm.item(), metrics.compute()


@given(st.lists(st.integers(1, 4), min_size=2, max_size=6).filter(lambda sizes: sum(sizes) <= 12))
def test_a_step_is_the_same_however_its_batch_is_cut(sizes: list[int]) -> None:
    whole, parts = one_step([12]), one_step([*sizes, *([12 - sum(sizes)] if sum(sizes) < 12 else [])])
    torch.testing.assert_close(parts[0], whole[0])
    torch.testing.assert_close(torch.tensor(parts[1:3]), torch.tensor(whole[1:3]))
    assert parts[3]["accuracy"] == whole[3]["accuracy"]


def test_a_step_goes_down_the_gradient_whose_norm_it_returns() -> None:
    torch.manual_seed(1)
    before = nn.Linear(4, 3)
    nn.functional.cross_entropy(before(X), Y).backward()
    after, loss, norm, figures = one_step([12])
    for p, moved in zip(before.parameters(), after, strict=True):
        torch.testing.assert_close(moved, (p - 0.5 * p.grad).detach())
    gradient = torch.cat([p.grad.flatten() for p in before.parameters() if p.grad is not None])
    torch.testing.assert_close(norm, gradient.norm().item())
    torch.testing.assert_close(loss, figures["loss"])


def test_the_learning_rate_of_a_group_is_scaled_by_its_layer() -> None:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr_scale": 0.25}], lr=1.0)
    set_lr(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.025]
