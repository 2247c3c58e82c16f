"""Images of an evaluation are those that timm's and open_clip's own transforms make, for every configuration they have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from models.made_clip import make_clip
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor
from torch.utils.data import Dataset, Subset

from src import config as configs
from src.data.batches import eval_batches
from src.data.images import image_splits
from src.models import model_inputs

_RNG = np.random.default_rng(0)
WIDE, HIGH = (Image.fromarray(_RNG.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((40, 70), (70, 40)))


class Pair(Dataset):
    """A wide and a high image."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return (WIDE, HIGH)[index], 0


def prepared(model: str) -> Tensor:
    """The two images as a run evaluates them."""
    config = configs.build({"model": model, "model_pretrained": True, "image_memory_gb": 1})
    splits: dict[str, Dataset] = {"train": Subset(Pair(), [0]), "test": Pair()}
    test = image_splits(splits, model_inputs(config), config, n_classes=1, seed=0)["test"]
    ((x, _),) = eval_batches(test, 2, torch.device("cpu"), num_workers=0, seed=0)
    return x


def assert_same(model: str, transform: Callable[[Image.Image], Tensor]) -> None:
    expected = torch.stack([transform(WIDE), transform(HIGH)])
    torch.testing.assert_close(prepared(model), expected, rtol=0, atol=1e-5, msg=lambda text: f"{model}: {text}")


def distinct(named: list[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """One name of each configuration; the ones that differ in mean and deviation alone count as one."""
    return dict({str({**values, "mean": 0, "std": 0}): (name, values) for name, values in named}.values())


def test_every_configuration_of_timm() -> None:
    found = distinct(
        [
            (name, resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()))
            for name in timm.list_pretrained()
        ]
    )
    assert {values["crop_mode"] for values in found.values()} == {"center", "squash", "border"}
    for name, values in found.items():
        assert_same(f"timm/{name}", create_transform(**values, is_training=False))


def test_every_configuration_of_open_clip() -> None:
    named = []
    for name, tag in open_clip.list_pretrained():
        values = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(name, tag))
        named.append((f"{name}:{tag}", values | {"size": open_clip.get_model_config(name)["vision_cfg"]["image_size"]}))
    found = distinct(named)
    assert {values["resize_mode"] for values in found.values()} == {"shortest", "squash"}
    for name, values in found.items():
        assert_same(f"clip/{name}", image_transform_v2(PreprocessCfg(**values), is_train=False))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_the_configuration_in_a_folder_of_open_clip(tmp_path: Path, mode: str) -> None:
    folder = make_clip(tmp_path / "clip")
    file = folder / "open_clip_config.json"
    stored = json.loads(file.read_text())
    stored["preprocess_cfg"] |= {"resize_mode": mode, "fill_color": 200}
    file.write_text(json.dumps(stored))

    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")

    assert_same(f"clip/local-dir:{folder}", transform)
