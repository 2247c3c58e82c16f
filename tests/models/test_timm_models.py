"""timm/ with pretrained weights from a made cache of the hub, and what it says of the images it wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from models.made_timm import make_hub_weights
from safetensors.torch import load_file
from torch import nn

from src import config as configs
from src.data.source import Inputs
from src.models import build_model, model_inputs


def build(name: str, shape: tuple[int, ...] = (3, 32, 32), outputs: int = 5, **options: Any) -> nn.Module:
    return build_model(configs.build({"model": f"timm/{name}", **options}), shape, outputs)


def inputs(name: str, **options: Any) -> Inputs:
    return model_inputs(configs.build({"model": f"timm/{name}", **options}))


@pytest.fixture
def unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a hub at an address where nothing listens; a retry fails the test."""
    from huggingface_hub import constants

    def no_retry(seconds: float) -> None:
        raise AssertionError("waited to ask again")

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("time.sleep", no_retry)
    return tmp_path / "hub"


# --- what the images should be like ---------------------------------------------------------------------


def test_size_normalisation_and_resizing_are_those_of_the_weights() -> None:
    assert inputs("test_vit") == Inputs((160, 160), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.95)
    assert inputs("resnet18.tv_in1k").interpolation == "bilinear"
    assert inputs("resnet18.tv_in1k").mean == pytest.approx((0.485, 0.456, 0.406))


def test_model_kwargs_may_say_otherwise() -> None:
    assert inputs("test_vit", model_kwargs={"img_size": 64}).size == (64, 64)
    assert inputs("test_vit", model_kwargs={"img_size": [32, 64]}).size == (32, 64)
    assert inputs("test_vit", model_kwargs={"pretrained_cfg_overlay": {"mean": [0.1, 0.2, 0.3]}}).mean == (
        0.1,
        0.2,
        0.3,
    )


def test_only_pretrained_weights_ask_for_colour() -> None:
    assert inputs("test_vit").channels is None
    assert inputs("test_vit", model_pretrained=True).channels == 3


def test_an_unknown_name_is_refused_before_any_data_are_read() -> None:
    with pytest.raises(ValueError, match=r"no model 'resnet81'; did you mean .*resnet18"):
        inputs("resnet81")


# --- pretrained weights ---------------------------------------------------------------------------------


def test_pretrained_weights_come_from_the_cache_when_the_hub_cannot_be_reached(unreachable_hub: Path) -> None:
    saved = load_file(make_hub_weights(unreachable_hub, "test_vit"))
    model = build("test_vit", (3, 160, 160), model_pretrained=True)
    for name, value in model.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, saved[name]), name
    assert model.head.weight.shape[0] == 5  # type: ignore[union-attr]


def test_pretrained_weights_fit_images_of_another_size_and_one_channel(unreachable_hub: Path) -> None:
    saved = load_file(make_hub_weights(unreachable_hub, "test_vit"))
    model = build("test_vit", (1, 32, 48), model_pretrained=True)
    assert model(torch.randn(2, 1, 32, 48)).shape == (2, 5)
    assert torch.equal(model.get_parameter("blocks.0.mlp.fc1.weight"), saved["blocks.0.mlp.fc1.weight"])


def test_the_new_head_is_drawn_from_the_seed_alone(unreachable_hub: Path) -> None:
    make_hub_weights(unreachable_hub, "test_vit")
    heads = []
    for pretrained in (True, False):
        torch.manual_seed(0)
        heads.append(
            build("test_vit", model_pretrained=pretrained, model_head_init="rand").get_parameter("head.weight")
        )
    assert torch.equal(*heads)


def test_without_hub_and_cache_the_error_says_what_is_missing_and_does_not_wait(unreachable_hub: Path) -> None:
    with pytest.raises(ValueError, match=rf"could not be fetched.*timm/test_vit.*{unreachable_hub}.*HF_HOME"):
        build("test_vit", model_pretrained=True)
    with pytest.raises(ValueError, match=rf"could not be fetched.*hf-hub:someone/something.*{unreachable_hub}"):
        inputs("hf-hub:someone/something")


def test_a_folder_holds_architecture_and_weights(tmp_path: Path) -> None:
    from timm.models import save_for_hf

    torch.manual_seed(0)
    source = build("test_vit", (3, 160, 160), 1000)
    save_for_hf(source, tmp_path)
    name = f"local-dir:{tmp_path}"
    assert inputs(name).size == (160, 160)
    model = build(name, model_pretrained=True)
    assert torch.equal(
        model.get_parameter("blocks.0.attn.qkv.weight"), source.get_parameter("blocks.0.attn.qkv.weight")
    )
    with pytest.raises(ValueError, match=r"cannot be read: .*nowhere"):
        inputs(f"local-dir:{tmp_path}/nowhere")


def test_a_model_without_published_weights_says_so() -> None:
    with pytest.raises(ValueError, match="No pretrained weights exist"):
        build("darknet17", model_pretrained=True)


# --- regularisation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{"drop_rate": 0.5}, {"drop_path_rate": 0.9}])
def test_dropout_and_drop_path_are_arguments_of_the_model(kwargs: dict[str, float]) -> None:
    torch.manual_seed(0)
    model = build("test_vit", model_kwargs=kwargs)
    x = torch.randn(8, 3, 32, 32)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
