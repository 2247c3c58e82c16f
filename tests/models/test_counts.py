"""count_parameters and count_flops against formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from src import config as configs
from src.models import build_model
from src.models.counts import count_flops, count_parameters


def build(name: str, shape: tuple[int, ...], **options: object) -> nn.Module:
    return build_model(configs.build({"model": name, **options}), shape, 5)


def test_parameters_are_all_and_those_that_are_trained() -> None:
    assert count_parameters(build("linear", (4,))) == (25, 25)
    model = build("tiny/resnet_8", (3, 32, 32), model_freeze="backbone")
    assert count_parameters(model) == (sum(p.numel() for p in model.parameters()), 64 * 5 + 5)


def test_a_multiply_add_is_two_operations() -> None:
    assert count_flops(build("linear", (4, 8)), (4, 8)) == 2 * 32 * 5
    assert count_flops(nn.Conv2d(3, 7, 3, padding=1), (3, 10, 12)) == 2 * (10 * 12) * (3 * 3 * 3) * 7


def test_published_networks_have_their_published_operations() -> None:
    # He et al. 2016, table 1: 1.8e9 multiply-adds for ResNet-18 at 224
    assert count_flops(build("timm/resnet18", (3, 224, 224)), (3, 224, 224)) == pytest.approx(2 * 1.8e9, rel=0.02)


def test_attention_is_counted_however_it_is_computed() -> None:
    tokens, width, hidden = 16, 32, 64
    layer = nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True)
    weights = 3 * width * width + width * width + 2 * width * hidden
    expected = 2 * tokens * weights + 2 * 2 * tokens * tokens * width
    assert count_flops(layer, (tokens, width)) == expected


class Reader(nn.Module):
    """Takes what a tokenizer makes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        hidden = self.embedding(x["input_ids"]) * x["attention_mask"].unsqueeze(-1)
        return self.head(hidden.mean(1))


def test_text_comes_as_a_dictionary() -> None:
    assert count_flops(Reader(), (7,), text=True) == 2 * 4 * 2


def test_what_cannot_be_counted_is_no_number() -> None:
    assert count_flops(build("linear", (4,)), (7,)) is None
    assert count_flops(nn.Identity(), (7,)) is None


class Restless(nn.Module):
    """Draws random numbers and keeps a count, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.norm(self.layer(x + torch.randn_like(x)))


def test_counting_leaves_no_trace() -> None:
    model = Restless()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    assert count_flops(model, (4,)) == 2 * 4 * 3
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.training, model.layer.training, model.norm.training) == (True, True, False)
    assert torch.backends.mha.get_fastpath_enabled()
