"""build_optimizer: what each name gives, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from src import config as configs
from src.config import Config
from src.models import build_model
from src.optim.optimizers import build_optimizer
from train import experiment_generator


def build(name: str, model: nn.Module | None = None, **options: Any) -> torch.optim.Optimizer:
    return build_optimizer(
        configs.build({"optim_alg": name, "model": "python/own:net", **options}), model or small_model()
    )


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


def test_a_run_without_training_needs_nothing_to_train() -> None:
    assert build("sgd", small_model().requires_grad_(False), train_length=0).param_groups[0]["params"] == []


# --- a learning rate for each layer ---------------------------------------------------------------------


def vit(**options: Any) -> nn.Module:
    return build_model(configs.build({"model": "timm/test_vit", **options}), (3, 32, 32), 5)


def test_the_rate_falls_by_layer_decay_from_each_layer_to_the_one_before() -> None:
    model = vit()
    optimizer = build("sgd", model, layer_decay=0.5, base_lr=0.1, weight_decay=0.1, weight_decay_biases=0.2)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    groups = {name: of[id(parameter)] for name, parameter in model.named_parameters()}
    depth = len(model.blocks)  # type: ignore[arg-type]
    for name, layers_after in [
        ("head.weight", 0),
        (f"blocks.{depth - 1}.mlp.fc1.bias", 1),
        ("blocks.0.norm1.weight", depth),
        ("pos_embed", depth + 1),
    ]:
        assert groups[name]["lr_scale"] == 0.5**layers_after, name
        assert groups[name]["lr"] == pytest.approx(0.1 * 0.5**layers_after)
    for name, parameter in model.named_parameters():
        assert groups[name]["weight_decay"] == (0.1 if parameter.ndim >= 2 else 0.2), name
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(of) == len(list(model.parameters()))


@pytest.mark.parametrize("name", ["adamw", "timm/lamb", "timm/lookahead_radam"])
def test_every_optimizer_takes_a_rate_for_each_layer(name: str) -> None:
    model = vit()
    optimizer = build(name, model, layer_decay=0.5, base_lr=0.01)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    assert {group["lr"] / 0.01 for group in optimizer.param_groups} == {
        group["lr_scale"] for group in optimizer.param_groups
    }


def test_frozen_layers_have_no_rate() -> None:
    optimizer = build("sgd", vit(model_freeze="backbone"), layer_decay=0.5)
    assert [(group["lr_scale"], len(group["params"])) for group in optimizer.param_groups] == [(1, 1), (1, 1)]


def test_a_users_model_may_say_what_its_layers_are() -> None:
    class Layered(nn.Sequential):
        def group_matcher(self, coarse: bool = False) -> dict[str, str]:
            return {"blocks": r"(\d+)\."}

    model = Layered(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False))
    assert [group["lr_scale"] for group in build("sgd", model, layer_decay=0.1).param_groups] == pytest.approx(
        [0.01, 0.1, 1]
    )
    with pytest.raises(ValueError, match=r"layer_decay: .* does not declare its layers.*group_matcher"):
        build("sgd", small_model(), layer_decay=0.1)


def test_a_timm_model_that_declares_no_layers_is_refused_with_a_true_sentence() -> None:
    config = configs.build({"model": "timm/pit_ti_224", "layer_decay": 0.5})
    with pytest.raises(ValueError, match=r"layer_decay: 'timm/pit_ti_224' does not declare .* almost all timm/ models"):
        build_optimizer(config, build_model(config, (3, 224, 224), 5))


def test_each_layer_moves_at_its_own_rate_in_a_run(small: Callable[..., Config], tmp_path: Path) -> None:
    moved = {}
    for decay in (None, 0.5):
        config = small(
            output_dir=str(tmp_path / str(decay)),
            dataset="sklearn/digits",
            model="timm/test_vit",
            model_kwargs={"patch_size": 4},
            layer_decay=decay,
            train_length=1,
            train_length_unit="step",
            momentum=0,
        )
        torch.manual_seed(config.seed_model)  # type: ignore[arg-type]
        initial = build_model(config, (1, 8, 8), 10).state_dict()
        for _, model in experiment_generator(config):
            moved[decay] = {name: value - initial[name] for name, value in model.state_dict().items()}
    depth = len(model.blocks)  # type: ignore[arg-type]
    for name, layers_after in [
        ("head.weight", 0),
        ("blocks.0.mlp.fc1.weight", depth),
        ("patch_embed.proj.weight", depth + 1),
    ]:
        torch.testing.assert_close(moved[0.5][name], moved[None][name] * 0.5**layers_after, rtol=1e-3, atol=1e-7)


# --- torch's --------------------------------------------------------------------------------------------


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


@pytest.fixture
def own_optimizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_optimizers.py").write_text(
        "import torch\n"
        "class Mine(torch.optim.SGD):\n    pass\n"
        "class Adam(torch.optim.Adam):\n    pass\n"
        "def three_betas(params, lr, betas=(0.9, 0.92, 0.99), foreach=None):\n"
        "    optimizer = torch.optim.SGD(params, lr)\n"
        "    optimizer.betas, optimizer.foreach = betas, foreach\n"
        "    return optimizer\n"
        "def plain(params, lr, **kwargs):\n    return torch.optim.SGD(params, lr, **kwargs)\n"
    )


@pytest.mark.usefixtures("own_optimizers")
def test_a_users_optimizer_gets_momentum_betas_and_eps_where_it_names_them() -> None:
    assert build("python/own_optimizers:Mine", momentum=0.3).param_groups[0]["momentum"] == 0.3
    group = build("python/own_optimizers:Adam", momentum=0.8, ada_eps=1e-5).param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.8, 0.999), 1e-5)
    assert build("python/own_optimizers:Adam", momentum="0.8,0.7").param_groups[0]["betas"] == (0.8, 0.7)
    optimizer: Any = build("python/own_optimizers:three_betas", momentum=0.8)
    assert optimizer.betas == (0.8, 0.92, 0.99)


@pytest.mark.usefixtures("own_optimizers")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain", {"momentum": 0.3}, r"momentum 0.3 is not used by .*plain'"),
        ("plain", {"ada_eps": 1e-5}, r"ada_eps 1e-05 is not used by .* parameter eps"),
        ("Mine", {"momentum": "0.3,0.4"}, r"momentum '0.3,0.4' is not used by"),
        ("Mine", {"ada_eps": 1e-5}, r"ada_eps 1e-05 is not used by"),
        ("Mine", {"momentum": 0.3, "optim_kwargs": {"momentum": 0.4}}, r"momentum 0.3 is not used by"),
        ("Mine", {"optim_kwargs": {"lr": 0.4}}, r"optim_kwargs: 'lr' comes from the option base_lr"),
        ("Mine", {"optim_kwargs": {"nestrov": True}}, r"called as Mine\(.*nestrov"),
    ],
)
def test_an_option_that_a_users_optimizer_cannot_take_is_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(f"python/own_optimizers:{name}", **options)


@pytest.mark.usefixtures("own_optimizers")
def test_optim_kwargs_are_further_arguments() -> None:
    assert build("python/own_optimizers:plain").param_groups[0]["momentum"] == 0  # the default is nothing that was set
    kwargs = {"momentum": 0.4, "nesterov": True}
    for name in ("plain", "Mine"):
        group = build(f"python/own_optimizers:{name}", optim_kwargs=kwargs).param_groups[0]
        assert (group["momentum"], group["nesterov"]) == (0.4, True)
    assert build("timm/lamb", optim_kwargs={"max_grad_norm": 3.0}).param_groups[0]["max_grad_norm"] == 3.0
    assert build("timm/adamw", optim_kwargs={"betas": [0.5, 0.6]}).param_groups[0]["betas"] == (0.5, 0.6)
    with pytest.raises(ValueError, match=r"cannot be built.*no_such"):
        build("timm/lamb", optim_kwargs={"no_such": 1})
    with pytest.raises(configs.ConfigError, match="optim_kwargs: 'sgd' takes none"):
        build("sgd", optim_kwargs=kwargs)


@pytest.mark.usefixtures("own_optimizers")
def test_a_grid_over_momentum_of_a_users_optimizer_gives_different_runs(
    small: Callable[..., Config], tmp_path: Path
) -> None:
    losses = []
    for momentum in (0.0, 0.9):
        config = small(
            output_dir=str(tmp_path / str(momentum)), optim_alg="python/own_optimizers:Mine", momentum=momentum
        )
        losses.append([stats["train/loss"].iloc[-1] for stats, _ in experiment_generator(config)])
    assert losses[0] != losses[1]


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
