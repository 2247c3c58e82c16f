"""model_freeze: what is not trained stays as it is, statistics and averages too, and costs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers import stats_without_clock
from models.made_clip import make_clip
from torch import Tensor, nn

from src import config as configs
from src.config import Config
from src.models import build_model
from src.optim.optimizers import build_optimizer
from src.training.batch_norm import recompute_batch_norm
from train import experiment_generator

Make = Callable[..., Config]
DIGITS = {"dataset": "sklearn/digits", "data_splits_map": {"train": "train[:200]", "test": "train[200:300]"}}


def build(name: str, freeze: str | None, shape: tuple[int, ...] = (3, 32, 32), **options: Any) -> nn.Module:
    return build_model(configs.build({"model": name, "model_freeze": freeze, **options}), shape, 5)


def trained(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


# --- what is frozen -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("timm/resnet10t", ["fc.weight", "fc.bias"]),
        ("timm/test_vit", ["head.weight", "head.bias"]),
        ("timm/test_convnext", ["head.fc.weight", "head.fc.bias"]),
        ("tiny/resnet_8", ["8.weight", "8.bias"]),
    ],
)
def test_without_the_backbone_only_the_last_layer_is_trained(name: str, head: list[str]) -> None:
    model = build(name, "backbone")
    assert trained(model) == head
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert [label for label, parameter in model.named_parameters() if parameter.grad is not None] == head


def test_clip_models_are_probed_in_the_same_way(tmp_path: Path) -> None:
    assert trained(build(f"clip/local-dir:{make_clip(tmp_path)}", "backbone")) == ["head.weight", "head.bias"]


def test_a_regular_expression_freezes_the_parameters_whose_names_start_with_it() -> None:
    names = trained(build("timm/test_vit", None))
    assert trained(build("timm/test_vit", r"blocks\.[0-3]\.|patch_embed")) == [
        name
        for name in names
        if not name.startswith(("blocks.0.", "blocks.1.", "blocks.2.", "blocks.3.", "patch_embed"))
    ]
    assert trained(build("timm/test_vit", r"(?!head)")) == ["head.weight", "head.bias"]


def test_a_new_head_may_be_reset_and_then_be_all_that_is_trained() -> None:
    model = build("timm/test_vit", "backbone", model_head_init="zero")
    assert not model(torch.randn(2, 3, 32, 32)).any()


@pytest.mark.parametrize(
    ("name", "freeze", "message"),
    [
        ("tiny/resnet_8", "conv1", r"matches no parameter; the parameters of the model are 0.weight, .*, 8.bias"),
        ("linear", "backbone", "matches no parameter; the parameters of the model are 1.weight, 1.bias"),
        ("tiny/resnet_8", ".*", r"leaves no parameter to train; the parameters of the model are 0.weight"),
        ("tiny/resnet_8", "(", "nor a regular expression"),
    ],
)
def test_freezing_nothing_or_everything_is_a_mistake(name: str, freeze: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, freeze)


# --- batch norm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timm/resnet10t", "tiny/resnet_8"])  # timm's own kind of batch norm, and torch's
def test_frozen_batch_norms_keep_their_statistics_and_the_others_do_not(name: str) -> None:
    torch.manual_seed(0)
    stem = {"timm/resnet10t": r"conv1|bn1", "tiny/resnet_8": r"[01]\."}[name]
    model = build(name, stem)
    before = state(model)
    model.eval().train()
    model(torch.randn(4, 3, 32, 32) + 1)
    assert changed(before, state(model)) == {
        label
        for label in before
        if label.endswith(("running_mean", "running_var", "num_batches_tracked")) and not re.match(stem, label)
    }


def test_a_frozen_backbone_computes_the_same_in_training_as_in_evaluation() -> None:
    model = build("tiny/resnet_8", "backbone")
    x = torch.randn(4, 3, 32, 32)
    assert torch.equal(model.train()(x), model.eval()(x))


def test_recomputing_the_statistics_leaves_the_frozen_ones() -> None:
    model = build("tiny/resnet_8", r"[01]\.")
    model(torch.randn(4, 3, 32, 32))
    before = state(model)
    recompute_batch_norm(model, [(torch.randn(4, 3, 32, 32) + 2, torch.zeros(4)) for _ in range(2)])
    names = changed(before, state(model))
    assert names and not any(name.startswith(("0.", "1.")) for name in names)


# --- training -------------------------------------------------------------------------------------------


def test_frozen_parameters_do_not_reach_the_optimizer() -> None:
    model = build("tiny/resnet_8", "backbone")
    optimizer = build_optimizer(configs.build({"weight_decay": 0.1}), model)
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [(5, 64), (5,)]


@pytest.mark.parametrize("buffers", ["copy", "average", "recompute"])
def test_a_run_moves_only_what_is_not_frozen(small: Make, buffers: str) -> None:
    options = {
        **DIGITS,
        "model": "tiny/resnet_8",
        "weight_decay": 0.1,
        "weight_decay_biases": 0.1,
        "averaging": "ema_0.9",
        "averaging_buffers": buffers,
        "save_freq": 1,
        "train_length": 1,
    }
    config = small(**options, model_freeze="backbone")
    torch.manual_seed(config.seed_model)  # type: ignore[arg-type]
    initial = state(build_model(config, (1, 8, 8), 10))
    for _, model in experiment_generator(config):
        assert changed(initial, state(model)) == {"8.weight", "8.bias"}
    folder = Path(str(config.output_dir))
    average = torch.load(folder / "checkpoint-av-epoch1.pt", weights_only=True)["model"]
    assert changed(initial, average) == {"8.weight", "8.bias"}


def test_a_probed_run_goes_on_as_if_it_had_never_stopped(small: Make, tmp_path: Path) -> None:
    options = {**DIGITS, "model": "tiny/resnet_8", "model_freeze": "backbone", "averaging": "poly_0", "base_lr": 0.01}
    whole = small(**options, output_dir=str(tmp_path / "whole"))
    for _ in experiment_generator(whole):
        pass
    cut = small(**options, output_dir=str(tmp_path / "cut"))
    for _ in experiment_generator(cut):
        break
    for _ in experiment_generator(cut):
        pass
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "cut")
    assert len(pd.read_csv(tmp_path / "cut" / "stats.csv")) == 3


def test_a_run_without_training_may_freeze_everything(small: Make) -> None:
    config = small(**DIGITS, model="tiny/lenet", model_freeze=".*", train_length=0)
    (stats,) = [stats for stats, _ in experiment_generator(config)]
    assert stats["test/last/loss"].notna().all()
