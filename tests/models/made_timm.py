"""Weights as the Hugging Face hub would have put them into its cache, with random values.

make_hub_weights("hf/hub", "resnet18")   # HF_HOME=hf HF_HUB_OFFLINE=1; model: timm/resnet18, model_pretrained: true
"""

from __future__ import annotations

from pathlib import Path

import torch

import src  # noqa: F401  # makes torchvision importable, which timm imports

_COMMIT = "0" * 40


def make_hub_weights(cache: str | Path, name: str, seed: int = 0) -> Path:
    """Puts weights of timm's model `name` (with its tag, or its default one) into the hub's cache; the file."""
    import timm
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = timm.create_model(name)
    file = place_in_cache(cache, model.pretrained_cfg["hf_hub_id"], "model.safetensors")
    save_file(model.state_dict(), file)
    return file


def place_in_cache(cache: str | Path, repository: str, name: str) -> Path:
    """Where the hub's cache has the file `name` of the latest commit of a model's `repository`; its folder is made."""
    folder = Path(cache) / f"models--{repository.replace('/', '--')}"
    file = folder / "snapshots" / _COMMIT / name
    file.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(_COMMIT)
    return file
