"""`clip/<name>`: the image encoder of a CLIP model of open_clip with a linear layer, for fine-tuning or probing.

`name` is one of open_clip.list_models(), followed by a colon and the tag of its weights or a file of weights
(`ViT-B-32:laion2b_s34b_b79k`), or open_clip's 'hf-hub:<repository>' or 'local-dir:<folder>'.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src import hub
from src.config import Config
from src.data.source import Inputs
from src.hints import did_you_mean
from src.optional import require

# open_clip's resize_mode: timm's crop_mode
_CROP_MODES = {"shortest": "center", "longest": "border", "squash": "squash"}
_HUB, _FOLDER = "hf-hub:", "local-dir:"
_RESERVED = {"pretrained", "load_weights", "require_pretrained", "force_image_size", "device", "jit", "output_dict"}


class ImageClassifier(nn.Module):
    """Images (batch, 3, height, width) -> outputs (batch, output_dim): a linear layer on CLIP's embedding of the image."""

    def __init__(self, visual: nn.Module, head: nn.Linear, normalize: bool = False) -> None:
        """`normalize`: scale embeddings to Euclidean norm 1 before the head, as CLIP does to compare them with texts."""
        super().__init__()
        self.visual, self.head, self.normalize = visual, head, normalize

    def forward(self, x: Tensor) -> Tensor:
        embedding = self.visual(x)
        return self.head(F.normalize(embedding, dim=-1) if self.normalize else embedding)

    def get_classifier(self) -> nn.Module:
        return self.head

    def group_matcher(self, coarse: bool = False) -> dict[str, Any] | Callable[[str], float]:
        """The layers for timm's layer decay; the head matches nothing, which makes it the last one."""
        trunk: Any = getattr(self.visual, "trunk", None)
        if trunk is not None:  # a timm model
            from timm.models import group_parameters

            layers = group_parameters(trunk, trunk.group_matcher(coarse=coarse), reverse=True)
            return lambda name: layers.get(name.removeprefix("visual.trunk."), float("inf"))
        return {
            "stem": r"visual\.(?:conv|bn|class_embedding|positional_embedding|ln_pre)",
            "blocks": [
                (r"visual\.transformer\.resblocks\.(\d+)", None),
                (r"visual\.layer(\d+)\.(\d+)", None),
                (r"visual\.", (99999,)),  # timm's number for "in the same layer as the parameter before"
            ],
        }


def inputs(name: str, config: Config) -> Inputs:
    """Size, normalisation and interpolation of the images in the encoder's training. Raises ValueError as `build` does."""
    with calling_open_clip(name, config) as open_clip:
        architecture, tag = _parse(open_clip, name, config)
        if name.startswith((_HUB, _FOLDER)):
            stored = json.loads(_config_file(open_clip, name, config).read_text(encoding="utf-8"))
            size = stored["model_cfg"]["vision_cfg"]["image_size"]
            own = stored.get("preprocess_cfg", {})
        else:
            size = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
            own = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
        transform = open_clip.transform
        preprocess = transform.PreprocessCfg(**transform.merge_preprocess_dict(transform.PreprocessCfg(), own))
    return Inputs(
        size=(size, size) if isinstance(size, int) else tuple(size),
        mean=tuple(preprocess.mean),
        std=tuple(preprocess.std),
        interpolation="bilinear" if preprocess.interpolation == "bilinear" else "bicubic",
        crop_mode=_CROP_MODES[preprocess.resize_mode],
        fill=preprocess.fill_color / 255,
        channels=3,
    )


def build(
    name: str, input_shape: tuple[int, ...], output_dim: int, config: Config, class_names: list[str] | None = None
) -> nn.Module:
    """An ImageClassifier; CLIP's text encoder is not part of it.

    Raises ValueError for an unknown name, arguments that the model rejects, or weights that cannot be fetched.
    """
    with calling_open_clip(name, config) as open_clip:
        model = create(open_clip, name, input_shape, config, config.model_kwargs)
        visual, dim = image_encoder(model, input_shape)
        return ImageClassifier(visual, nn.Linear(dim, output_dim))


def create(open_clip: Any, name: str, input_shape: tuple[int, ...], config: Config, kwargs: dict[str, Any]) -> Any:
    """open_clip's model, image and text encoder, for images of `input_shape`; with weights if model_pretrained is set."""
    if len(input_shape) != 3 or input_shape[0] != 3:
        raise ValueError(
            f"model {config.model!r} takes colour images (3, height, width), and the samples have shape {input_shape}"
        )
    if taken := ", ".join(_RESERVED & kwargs.keys()):
        raise ValueError(f"model_kwargs: {taken} of {config.model!r} comes from other options; remove it")
    architecture, tag = _parse(open_clip, name, config)
    if name.startswith(_HUB):  # create_model fetches these too, but ignores a failure
        _config_file(open_clip, name, config)
        if config.model_pretrained:
            open_clip.pretrained.download_pretrained_from_hf(name.removeprefix(_HUB), cache_dir=kwargs.get("cache_dir"))
    weights, quick_gelu = None, False
    if tag and Path(tag).is_file():
        weights = tag
    elif tag:
        pretrained = open_clip.get_pretrained_cfg(architecture, tag)
        weights = open_clip.download_pretrained(pretrained, cache_dir=kwargs.get("cache_dir"))
        quick_gelu = pretrained.get("quick_gelu", False)  # the activation in the training of these weights
    return open_clip.create_model(
        architecture,
        weights,
        load_weights=config.model_pretrained,
        require_pretrained=config.model_pretrained,
        pretrained_text=False,  # only CLIP's weights
        force_image_size=input_shape[1] if input_shape[1] == input_shape[2] else input_shape[1:],
        **{"force_quick_gelu": quick_gelu} | kwargs,
    )


def image_encoder(model: Any, input_shape: tuple[int, ...]) -> tuple[nn.Module, int]:
    """The image encoder of open_clip's `model`, and the length of its embeddings."""
    visual = model.visual
    if hasattr(visual, "output_tokens"):
        visual.output_tokens = False  # CoCa's encoder returns them beside the embedding
    with torch.no_grad():
        dim = visual.eval()(torch.zeros(1, *input_shape)).shape[-1]
    return visual.train(), dim


@contextlib.contextmanager
def calling_open_clip(name: str, config: Config) -> Iterator[Any]:
    """The module open_clip; in the block, its errors become a ValueError with one sentence."""
    open_clip = require("open_clip", "open_clip_torch", f"model {config.model!r}")
    # open_clip calls logging.info, which adds a handler that prints to a root logger without one, permanently
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.nullcontext() if name.startswith(_FOLDER) else hub.without_waiting():
            yield open_clip
    except ValueError:
        raise
    except OSError as error:
        if name.startswith(_FOLDER):
            raise ValueError(f"model {config.model!r} cannot be read: {error}") from error
        reason = str(error).partition(". Last error")[0]
        raise ValueError(
            f"the weights of {config.model!r} could not be fetched: {reason}; open_clip looked in the cache {hub.cache()} "
            "and on the network; copy the cache from a machine with network (the variable HF_HOME moves it), or give "
            "a file of weights, as in clip/ViT-B-32:PATH"
        ) from error
    except Exception as error:  # open_clip raises assertion, type, key and runtime errors for wrong arguments
        raise ValueError(
            f"open_clip cannot use {config.model!r} with model_kwargs {config.model_kwargs}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    finally:
        logging.getLogger().removeHandler(handler)


def _parse(open_clip: Any, name: str, config: Config) -> tuple[str, str | None]:
    """open_clip's name of the model, and the tag or file of its weights, or None. Raises ValueError."""
    if name.startswith((_HUB, _FOLDER)):
        return name, None
    architecture, _, tag = name.partition(":")
    if architecture not in open_clip.list_models():
        hint = did_you_mean(architecture, open_clip.list_models(), n=3) or "; open_clip.list_models() lists all"
        raise ValueError(f"open_clip has no model {architecture!r}{hint}")
    if not config.model_pretrained:
        if tag:
            raise ValueError(f"model {config.model!r} names weights, and model_pretrained is false; set it to true")
        return architecture, None
    if tag and (Path(tag).is_file() or open_clip.is_pretrained_cfg(architecture, tag)):
        return architecture, tag
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tags:
        raise ValueError(f"open_clip has no weights for {architecture!r}; set model_pretrained: false")
    if tag:
        hint = did_you_mean(tag, tags, n=3) or f"; it has {', '.join(tags)}"
        raise ValueError(
            f"{tag!r} is neither a file nor a tag of weights that open_clip has for {architecture!r}{hint}"
        )
    if len(tags) > 1:
        some = ", ".join([*tags[:5], "..."] if len(tags) > 6 else tags)
        raise ValueError(
            f"open_clip has {len(tags)} weights for {architecture!r}; choose one ({some}), as in "
            f"{config.model}:{tags[0]}"
        )
    return architecture, tags[0]


def _config_file(open_clip: Any, name: str, config: Config) -> Path:
    """The open_clip_config.json of a model from the hub or a folder."""
    if name.startswith(_FOLDER):
        return Path(name.removeprefix(_FOLDER)) / "open_clip_config.json"
    fetch = open_clip.pretrained.download_pretrained_from_hf
    return Path(fetch(name.removeprefix(_HUB), "open_clip_config.json", cache_dir=config.model_kwargs.get("cache_dir")))
