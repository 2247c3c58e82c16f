"""`timm/<name>`: the image models of timm, with its pretrained weights if asked for."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import nn

from src import torchvision_cpu
from src.config import Config


def build(name: str, input_shape: tuple[int, ...], output_dim: int, config: Config) -> nn.Module:
    """`name` is one of timm.list_models(), with a weight tag if wished (`resnet18.a1_in1k`), or timm's 'hf-hub:...'.

    Input channels, number of classes and (where the architecture fixes it) image size follow the data.
    Raises ValueError for an unknown name, arguments that the model refuses, or weights that cannot be fetched.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"model 'timm/{name}' takes images (channels, height, width), and the samples have shape {input_shape}; "
            "model_input_shape, such as [1, 28, 28], views flat data as an image"
        )
    torchvision_cpu.mend()
    import timm

    if ":" not in name and not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() lists what it has"
        raise ValueError(f"timm has no model {name!r}; {hint}")

    try:
        model: nn.Module = timm.create_model(
            name,
            pretrained=config.model_pretrained,
            num_classes=output_dim,
            in_chans=input_shape[0],
            **_image_size(name, input_shape) | config.model_kwargs,
        )
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape))  # many a misfit shows only here
        return model.train()
    except OSError as error:
        raise ValueError(_not_fetched(name, config, error)) from error
    except Exception as error:  # timm says "does not fit" by assertions, type and runtime errors alike
        raise ValueError(
            f"timm cannot use {name!r} for inputs of shape {input_shape} with model_kwargs {config.model_kwargs}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _image_size(name: str, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """The image size as an argument, for the architectures that are built for one size (most transformers)."""
    import timm

    defaults = None if ":" in name else timm.get_pretrained_cfg(name)
    return {"img_size": input_shape[1:]} if defaults is not None and defaults.fixed_input_size else {}


def _not_fetched(name: str, config: Config, error: OSError) -> str:
    """Says which weights could not be had, where timm looked, and how to bring them."""
    import timm
    from huggingface_hub.constants import HF_HUB_CACHE

    file = (config.model_kwargs.get("pretrained_cfg_overlay") or {}).get("file")
    known = None if ":" in name else timm.get_pretrained_cfg(name)
    if file:
        looked = f"timm looked for the file {file!r}"
    else:
        source = (known and (known.hf_hub_id or known.url)) or name
        looked = f"timm looked for {source!r} in the cache {HF_HUB_CACHE} and on the network"
    return (
        f"the weights of 'timm/{name}' could not be fetched: {looked} ({type(error).__name__}); copy the cache from "
        "a machine with network (the variable HF_HOME moves it), or name a weights file with "
        "model_kwargs: {pretrained_cfg_overlay: {file: PATH}}"
    )
