"""clip/ and clip_zeroshot/ with a small model that open_clip reads from a folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from data.made_timm import make_class_folders
from models.made_clip import MEAN, STD, make_clip
from models.made_timm import place_in_cache
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from src import config as configs
from src.config import Config
from src.data.source import Inputs
from src.models import build_model, model_inputs
from train import experiment_generator

ENCODERS: list[dict[str, Any]] = [
    {},
    {"layers": [1, 1, 1, 1], "width": 8},
    {"timm_model_name": "test_vit3", "image_size": 160},
]
SHAPE = (3, 32, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The empty cache of a hub that is not asked."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def build(name: str | Path, shape: tuple[int, ...] = SHAPE, **options: Any) -> nn.Module:
    """With the weights in the folder `name`, or with those of open_clip's `name`."""
    full_name = f"local-dir:{name}" if isinstance(name, Path) else name
    config = configs.build({"model": f"clip/{full_name}", "model_pretrained": isinstance(name, Path), **options})
    return build_model(config, shape, 5)


def build_zeroshot(folder: Path, class_names: list[str] | None = None, outputs: int = 2, **options: Any) -> nn.Module:
    config = configs.build({"model": f"clip_zeroshot/local-dir:{folder}", "model_pretrained": True, **options})
    return build_model(config, SHAPE, outputs, class_names)


# --- clip/ ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vision", ENCODERS)
def test_it_is_the_pretrained_image_encoder_under_a_linear_layer(tmp_path: Path, vision: dict[str, Any]) -> None:
    saved = load_file(make_clip(tmp_path, **vision) / "open_clip_model.safetensors")
    shape = (3, *[vision.get("image_size", 32)] * 2)
    model = build(tmp_path, shape)
    names = [name for name, _ in model.named_parameters()]
    assert [name for name in names if not name.startswith("visual.")] == ["head.weight", "head.bias"]
    for name in names[:-2]:
        assert torch.equal(model.get_parameter(name), saved[name]), name
    x = torch.randn(2, *shape)
    model.eval()
    torch.testing.assert_close(model(x), F.linear(model.visual(x), model.head.weight, model.head.bias))  # type: ignore[operator, union-attr, arg-type]


def test_every_parameter_gets_a_gradient(folder: Path) -> None:
    model = build(folder)
    model(torch.randn(2, *SHAPE)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_without_pretrained_weights_only_the_architecture_is_read(folder: Path) -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(build(folder, model_pretrained=False).state_dict())
    saved = load_file(folder / "open_clip_model.safetensors")
    assert not torch.equal(models[0]["visual.conv1.weight"], saved["visual.conv1.weight"])
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_images_of_another_size_fit_the_pretrained_weights(folder: Path) -> None:
    assert build(folder, (3, 64, 48))(torch.randn(2, 3, 64, 48)).shape == (2, 5)


def test_a_file_of_weights_goes_with_an_architecture_of_open_clip(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    architecture = open_clip.get_model_config(f"local-dir:{folder}")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "made-clip", architecture)
    file = folder / "open_clip_model.safetensors"
    model = build(f"made-clip:{file}", model_pretrained=True)
    assert torch.equal(model.get_parameter("visual.conv1.weight"), load_file(file)["visual.conv1.weight"])


def test_a_tag_names_weights_that_the_hubs_cache_may_hold(
    folder: Path, no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    architecture = open_clip.get_model_config(f"local-dir:{folder}")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "made-clip", architecture)
    tags = {"first": {"hf_hub": "someone/made-clip/", "mean": MEAN, "quick_gelu": True}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "made-clip", tags)
    cached = place_in_cache(no_hub, "someone/made-clip", "open_clip_model.safetensors")
    shutil.copy(folder / "open_clip_model.safetensors", cached)
    for name in ("made-clip:first", "made-clip"):  # it has no other tag
        model = build(name, model_pretrained=True)
        assert torch.equal(model.get_parameter("visual.conv1.weight"), load_file(cached)["visual.conv1.weight"])
        assert any(type(module).__name__ == "QuickGELU" for module in model.modules())  # as the weights were trained


def test_images_are_prepared_as_the_weights_want_it(folder: Path) -> None:
    def inputs(name: str, pretrained: bool = True) -> Inputs:
        return model_inputs(configs.build({"model": f"clip/{name}", "model_pretrained": pretrained}))

    assert inputs(f"local-dir:{folder}") == Inputs((32, 32), MEAN, STD, "bilinear", fill=0.0, channels=3)
    assert inputs("ViT-B-16-SigLIP-256:webli").size == (256, 256)
    assert inputs("ViT-B-16-SigLIP-256:webli").mean == (0.5, 0.5, 0.5)
    assert inputs("RN50", pretrained=False).mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_the_programs_own_logging_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    build(folder)
    assert root.handlers == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ViT-B-33", {}, "no model 'ViT-B-33'; did you mean 'ViT-B-32'"),
        ("ViT-B-32:openai", {}, "names weights, and model_pretrained is false"),
        ("ViT-B-32:opnai", {"model_pretrained": True}, "neither a file nor a tag .* did you mean 'openai'"),
        ("ViT-B-32", {"model_pretrained": True}, r"has 22 weights .*as in clip/ViT-B-32:openai"),
        ("ViT-S-32-alt", {"model_pretrained": True}, "has no weights for 'ViT-S-32-alt'"),
        (
            "ViT-B-32:openai",
            {"model_pretrained": True},
            r"could not be fetched.*open_clip looked in the cache .*HF_HOME",
        ),
        ("hf-hub:someone/something", {}, "could not be fetched.*someone/something"),
        ("local-dir:nowhere", {}, "cannot be read: .*nowhere"),
        ("ViT-S-32-alt", {"model_kwargs": {"no_such": 1}}, "no_such"),
        ("ViT-S-32-alt", {"model_kwargs": {"force_image_size": 64}}, "force_image_size .*comes from other options"),
    ],
)
def test_refusals_are_one_clear_sentence(name: str, options: dict[str, Any], message: str, no_hub: Path) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **options)


@pytest.mark.parametrize("shape", [(64,), (1, 32, 32)])
def test_it_takes_colour_images_only(folder: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="takes colour images"):
        build(folder, shape)


# --- clip_zeroshot/ -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [None, -3.0])
def test_outputs_are_scaled_cosines_of_image_and_class(tmp_path: Path, bias: float | None) -> None:
    import open_clip

    folder = make_clip(tmp_path, bias=bias)
    templates = ["a photo of a {}.", "a drawing of the {}"]
    model = build_zeroshot(folder, ["cat", "polar_bear"], model_kwargs={"templates": templates}).eval()

    whole = open_clip.create_model(f"local-dir:{folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")
    image = torch.randn(4, *SHAPE)
    expected = []
    for name in ("cat", "polar bear"):
        texts = tokens([template.format(name) for template in templates])
        embedding = F.normalize(whole.encode_text(texts), dim=-1).mean(0)
        cosine = F.cosine_similarity(whole.encode_image(image), embedding, dim=-1)
        expected.append(cosine / 0.07 + (bias or 0))  # CLIP starts with this temperature
    torch.testing.assert_close(model(image), torch.stack(expected, dim=1))


def test_class_names_of_the_config_go_before_those_of_the_data(folder: Path) -> None:
    of_config = build_zeroshot(folder, ["cat", "dog"], model_kwargs={"class_names": ["car", "under_score"]})
    same = build_zeroshot(folder, model_kwargs={"class_names": ["car", "under_score"]})
    other = build_zeroshot(folder, ["cat", "dog"])
    weight = of_config.get_parameter("head.weight")
    assert torch.equal(weight, same.get_parameter("head.weight"))
    assert not torch.equal(weight, other.get_parameter("head.weight"))


def test_only_the_image_encoder_and_the_head_are_kept_and_can_be_trained(folder: Path) -> None:
    model = build_zeroshot(folder, ["cat", "dog"])
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"visual", "head"}
    model(torch.randn(2, *SHAPE)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("class_names", "options", "message"),
    [
        (None, {}, r"name for each of 2 classes, and the data have none; .*class_names: \[...\]"),
        (["cat"], {}, "name for each of 2 classes, and has 1"),
        (None, {"model_kwargs": {"class_names": "cat, dog"}}, "class_names must be a list of texts"),
        (["cat", "dog"], {"model_kwargs": {"templates": ["a photo"]}}, "must contain {}, the place of the name"),
        (["cat", "dog"], {"model_pretrained": False}, "set model_pretrained: true"),
    ],
)
def test_what_a_zero_shot_head_cannot_be_made_of_is_refused(
    folder: Path, class_names: list[str] | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_zeroshot(folder, class_names, **options)


@pytest.mark.parametrize(
    "options", [{"train_length": 0}, {"train_length": 2, "model_freeze": "backbone", "base_lr": 0}]
)
def test_a_run_scores_images_by_the_names_of_their_classes(
    folder: Path, small: Callable[..., Config], tmp_path: Path, options: dict[str, Any]
) -> None:
    pixels = torch.randint(256, (40, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    labels = build_zeroshot(folder, ["cat", "fire truck"]).eval()((pixels / 255 - mean) / std).argmax(1)
    labels[:10] = 1 - labels[:10]  # a quarter is wrong
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        for split in ("train", "val"):
            file = tmp_path / split / ["cat", "fire_truck"][int(label)] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    config = small(
        dataset=f"timm/folder/{tmp_path}",
        data_splits_map={"train": "train", "test": "val"},
        model=f"clip_zeroshot/local-dir:{folder}",
        model_pretrained=True,
        num_workers=0,
        **options,
    )
    for stats, _ in experiment_generator(config):
        assert stats["test/last/accuracy"].iloc[-1] == 0.75


def test_a_fine_tuned_model_learns(folder: Path, small: Callable[..., Config], tmp_path: Path) -> None:
    config = small(
        dataset=f"timm/folder/{make_class_folders(tmp_path / 'images', n_each=60)}",
        data_splits_map={"train": "train", "test": "val"},
        model=f"clip/local-dir:{folder}",
        model_pretrained=True,
        layer_decay=0.9,
        optim_alg="adamw",
        base_lr=0.005,
        train_length=8,
        num_workers=0,
    )
    for stats, _ in experiment_generator(config):
        last = stats.iloc[-1]
    assert last["test/last/accuracy"] > 0.8  # three classes
