"""build_optimizer: what each name gives, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from src import config as configs
from src.optim.optimizers import build_optimizer


def build(name: str, model: nn.Module | None = None, **options: Any) -> torch.optim.Optimizer:
    return build_optimizer(configs.build({"optim_alg": name, **options}), model or small_model())


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))


def test_weights_and_biases_have_their_own_weight_decay() -> None:
    optimizer = build("sgd", weight_decay=0.1, weight_decay_biases=0.2)
    decays = {p.ndim: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {4: 0.1, 2: 0.1, 1: 0.2}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


@pytest.mark.parametrize("bias", [True, False])
def test_there_is_no_empty_group_and_every_rate_is_a_plain_float(bias: bool) -> None:
    optimizer = build("adamw", nn.Linear(3, 2, bias=bias), base_lr=1)
    assert len(optimizer.param_groups) == 1 + bias
    assert all(group["params"] and type(group["lr"]) is float for group in optimizer.param_groups)


def test_frozen_parameters_are_left_out() -> None:
    model = small_model()
    model[0].requires_grad_(False)  # type: ignore[index]
    assert sum(len(group["params"]) for group in build("sgd", model).param_groups) == 4
    with pytest.raises(ValueError, match="no parameter to train"):
        build("sgd", model.requires_grad_(False))


@pytest.mark.parametrize("momentum", [0.0, 0.5, "0.9"])
def test_sgd_is_nesterovs_exactly_when_it_has_momentum(momentum: Any) -> None:
    group = build("sgd", momentum=momentum).param_groups[0]
    assert group["momentum"] == float(momentum)
    assert group["nesterov"] is (float(momentum) > 0)


def test_sgd_takes_the_steps_of_its_formula() -> None:
    weight = nn.Parameter(torch.tensor([[1.0]], dtype=torch.float64))
    model = nn.Module()
    model.weight = weight
    optimizer = build("sgd", model, base_lr=0.1, momentum=0.5, weight_decay=0.2)
    expected, velocity = 1.0, 0.0
    for gradient in (1.0, -2.0, 0.5):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        decayed = gradient + 0.2 * expected
        velocity = 0.5 * velocity + decayed
        expected -= 0.1 * (decayed + 0.5 * velocity)
        assert weight.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "kind", "amsgrad"),
    [
        ("adam", torch.optim.Adam, False),
        ("adamw", torch.optim.AdamW, False),
        ("amsgrad", torch.optim.Adam, True),
        ("amsgradw", torch.optim.AdamW, True),
    ],
)
def test_the_adam_family_is_torchs(name: str, kind: type, amsgrad: bool) -> None:
    optimizer = build(name, momentum=0.8, ada_eps=1e-5)
    group = optimizer.param_groups[0]
    assert type(optimizer) is kind
    assert (group["amsgrad"], group["betas"], group["eps"]) == (amsgrad, (0.8, 0.999), 1e-5)
    assert build(name, momentum="0.8,0.95").param_groups[0]["betas"] == (0.8, 0.95)


@pytest.mark.parametrize(
    "name", ["timm/lamb", "timm/lion", "timm/adan", "timm/muon", "timm/lookahead_radam", "timm/sgd"]
)
def test_timms_optimizers_step(name: str) -> None:
    model = small_model()
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = build(name, model, base_lr=0.1)
    model(torch.randn(4, 1, 3, 3)).square().sum().backward()
    optimizer.step()
    after = list(model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_timms_optimizers_get_momentum_betas_and_eps_where_they_take_them() -> None:
    assert build("timm/lamb", momentum="0.8,0.7", ada_eps=1e-5).param_groups[0]["betas"] == (0.8, 0.7)
    assert build("timm/lamb", ada_eps=1e-5).param_groups[0]["eps"] == 1e-5
    assert build("timm/lion", momentum=0.8).param_groups[0]["betas"] == (0.8, 0.99)  # its own second beta
    assert build("timm/adan", momentum=0.8).param_groups[0]["betas"] == (0.8, 0.92, 0.99)
    assert build("timm/rmsprop", momentum=0.3).param_groups[0]["momentum"] == 0.3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/lambb", "no optimizer 'lambb'; did you mean .*lamb"),
        ("timm/lookahead_nothing", "no optimizer 'nothing'"),
        ("timm/adahessian", "second derivatives"),
        ("timm/fusedadam", "cannot be built"),
    ],
)
def test_timm_refusals_are_one_clear_sentence(name: str, message: str) -> None:
    if name == "timm/fusedadam" and torch.cuda.is_available():
        pytest.skip("APEX may be installed where there is a GPU")
    with pytest.raises(ValueError, match=message):
        build(name)


def test_a_users_optimizer_gets_the_groups_and_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_optimizers.py").write_text(
        "import torch\n"
        "class Mine(torch.optim.SGD):\n    pass\n"
        "def text(param_groups, lr):\n    return 'no optimizer'\n"
        "def no_rate(param_groups):\n    pass\n"
    )
    optimizer = build("python/my_optimizers:Mine", base_lr=0.3, weight_decay=0.1)
    assert type(optimizer).__name__ == "Mine"
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.3, 0.1), (0.3, 0.0)]
    with pytest.raises(ValueError, match="returned str"):
        build("python/my_optimizers:text")
    with pytest.raises(ValueError, match=r"optim_alg .* called as no_rate\(\.\.\., lr=\.\.\.\)"):
        build("python/my_optimizers:no_rate")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "amsgrad", "amsgradw"])
def test_a_step_does_not_wait_for_the_gpu(name: str) -> None:
    model = small_model().cuda()
    optimizer = build(name, model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
