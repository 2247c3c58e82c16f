"""build_average against closed formulas over known iterates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel

from src import config as configs
from src.config import Config
from src.optim.averaging import build_average
from src.training.batch_norm import recompute_batch_norm
from train import experiment_generator

ITERATES = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=12)


def build(averaging: str | None, model: nn.Module, **options: Any) -> AveragedModel | None:
    config = configs.build({"averaging": averaging, **options})
    return build_average(model, config.averaging, config.averaging_buffers)


def average_of(averaging: str, iterates: list[float]) -> float:
    """The average after a model of one weight went through `iterates`."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    average = build(averaging, model)
    assert average is not None
    for iterate in iterates:
        nn.init.constant_(model.weight, iterate)
        average.update_parameters(model)
    return average.module.weight.item()  # type: ignore[operator, union-attr]


def test_there_is_no_average_unless_asked_for() -> None:
    assert build(None, nn.Linear(1, 1)) is None


@given(ITERATES)
def test_poly_0_is_the_plain_mean(iterates: list[float]) -> None:
    assert average_of("poly_0", iterates) == pytest.approx(np.mean(iterates), abs=1e-12)


@given(ITERATES, st.integers(1, 20))
def test_poly_weighs_iterate_s_by_the_rising_product_of_eta_factors(iterates: list[float], eta: int) -> None:
    # Unrolled, iterate s of t has a weight in proportion to s (s+1) ... (s+eta-1).
    s = np.arange(1, len(iterates) + 1, dtype=float)
    weights = np.prod([s + i for i in range(eta)], axis=0)
    expected = np.average(iterates, weights=weights)
    assert average_of(f"poly_{eta}", iterates) == pytest.approx(expected, abs=1e-9)


@given(ITERATES, st.floats(0, 0.9999).map(lambda decay: round(decay, 4)))
def test_ema_keeps_decay_of_the_old_average_and_starts_at_the_first_iterate(
    iterates: list[float], decay: float
) -> None:
    t = len(iterates)
    weights = [decay ** (t - 1)] + [(1 - decay) * decay ** (t - s) for s in range(2, t + 1)]
    assert average_of(f"ema_{decay}", iterates) == pytest.approx(np.dot(weights, iterates), abs=1e-9)


def test_ema_0_999_moves_slowly() -> None:
    assert average_of("ema_0.999", [0.0, 1.0]) == pytest.approx(0.001)


def norm_model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def train_a_little(model: nn.Module, average: AveragedModel, steps: int = 4) -> list[dict[str, torch.Tensor]]:
    """Random updates; returns the state of the model after each."""
    states = []
    for _ in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(8, 3))
        average.update_parameters(model)
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    return states


@pytest.mark.parametrize("buffers", ["copy", "average", "recompute"])
def test_parameters_are_averaged_whatever_happens_to_buffers(buffers: str) -> None:
    torch.manual_seed(0)
    model = norm_model()
    average = build("poly_0", model, averaging_buffers=buffers)
    assert average is not None
    states = train_a_little(model, average)
    for name, parameter in average.module.named_parameters():
        torch.testing.assert_close(parameter.data, torch.stack([state[name] for state in states]).mean(0))


def test_buffers_are_copied_or_averaged_and_counters_always_copied() -> None:
    for buffers in ("copy", "average"):
        torch.manual_seed(0)
        model = norm_model()
        average = build("poly_0", model, averaging_buffers=buffers)
        assert average is not None
        states = train_a_little(model, average)
        for name in ("1.running_mean", "1.running_var"):
            values = torch.stack([state[name] for state in states])
            expected = values.mean(0) if buffers == "average" else values[-1]
            torch.testing.assert_close(average.module.state_dict()[name], expected)
        assert average.module.state_dict()["1.num_batches_tracked"] == 4


@pytest.mark.parametrize("batch_size", [1, 10, 13, 1000])
def test_recomputed_statistics_are_those_of_the_averaged_weights_over_the_samples(batch_size: int) -> None:
    torch.manual_seed(0)
    model = norm_model()
    average = build("ema_0.5", model, averaging_buffers="recompute")
    assert average is not None
    train_a_little(model, average)
    data = torch.randn(40, 3)
    recompute_batch_norm(average.module, [(batch, torch.zeros(len(batch))) for batch in data.split(batch_size)])
    hidden = average.module[0](data).detach()  # type: ignore[index, operator]
    torch.testing.assert_close(average.module[1].running_mean, hidden.mean(0))  # type: ignore[index, union-attr]
    torch.testing.assert_close(average.module[1].running_var, hidden.var(0))  # type: ignore[index, union-attr]
    assert average.module.training


@pytest.mark.parametrize("depth", [1, 2])
def test_recomputed_statistics_depend_little_on_the_evaluation_batches_and_those_of_the_first_layer_not_at_all(
    small: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "normalised.py").write_text(
        "from torch import nn\n"
        "def net(num_classes, input_shape, depth):\n"
        "    layers = [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.1)] * depth\n"
        "    return nn.Sequential(*layers, nn.Linear(4, num_classes))\n"
    )
    losses = []
    for eval_batch_size in (1000, 60, 17):  # 120 samples; 7 batches of 17 leave 1
        config = small(
            output_dir=str(tmp_path / str(eval_batch_size)),
            model="python/normalised:net",
            model_kwargs={"depth": depth},
            averaging="ema_0.5",
            averaging_buffers="recompute",
            eval_batch_size=eval_batch_size,
        )
        (*_, (stats, _)) = experiment_generator(config)
        losses.append(stats["test/av/loss"].iloc[-1])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6 if depth == 1 else 0.2)


def test_the_average_shares_no_tensor_with_the_model_it_follows() -> None:
    model = norm_model()
    average = build("poly_8", model)
    assert average is not None
    train_a_little(model, average)
    live = {value.data_ptr() for value in model.state_dict().values()}
    assert live.isdisjoint(value.data_ptr() for value in average.state_dict().values())


@settings(max_examples=20)
@given(st.sampled_from(["poly_0", "poly_8", "ema_0.9"]), st.sampled_from(["copy", "average", "recompute"]))
def test_an_average_goes_on_from_its_state_dict_as_if_never_stopped(averaging: str, buffers: str) -> None:
    torch.manual_seed(0)
    model = norm_model()
    whole = build(averaging, model, averaging_buffers=buffers)
    assert whole is not None
    train_a_little(model, whole)
    resumed = build(averaging, norm_model(), averaging_buffers=buffers)
    assert resumed is not None
    resumed.load_state_dict(whole.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    for average in (whole, resumed):
        average.update_parameters(model)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("buffers", ["copy", "average", "recompute"])
def test_an_update_does_not_wait_for_the_gpu(buffers: str) -> None:
    model = norm_model().cuda()
    average = build("poly_8", model, averaging_buffers=buffers)
    assert average is not None
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            average.update_parameters(model)
    finally:
        torch.cuda.set_sync_debug_mode("default")
