"""A CLIP model of 20,000 parameters with random weights, in the folder form that open_clip reads.

make_clip("clip")          # model: clip_zeroshot/local-dir:clip, model_pretrained: true
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from src.config import Config
from src.models.clip import calling_open_clip

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def make_clip(folder: str | Path, seed: int = 0, bias: float | None = None, **vision: Any) -> Path:
    """Writes open_clip_config.json and open_clip_model.safetensors into `folder`, and returns it.

    `bias` is added to the cosines, as in SigLIP. The text encoder has the tokenizer of the published models. `vision` changes the image encoder, a transformer
    of two blocks on 32x32 images: {"layers": [1, 1, 1, 1]} makes it a ResNet, {"timm_model_name": ...} one of timm's.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    architecture: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8} | vision,
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    }
    if bias is not None:
        architecture["init_logit_bias"] = bias
    described = {"model_cfg": architecture, "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bilinear"}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    from safetensors.torch import save_file

    name = f"local-dir:{folder}"
    with torch.random.fork_rng(devices=[]), calling_open_clip(name, Config(model=f"clip/{name}")) as open_clip:
        torch.manual_seed(seed)
        model = open_clip.create_model(name, load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
