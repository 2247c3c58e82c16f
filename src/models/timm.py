"""`timm/<name>`: the image models of timm, with its pretrained weights if model_pretrained is set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from src import hub
from src.config import Config
from src.data.source import Inputs
from src.hints import did_you_mean


def inputs(name: str, config: Config) -> Inputs:
    """Size, normalisation and resizing of the images in timm's training of `name`, with its weight tag.

    Grey images become colour images only for pretrained weights. Raises ValueError as `build` does.
    """
    with _calling_timm(name, config):
        arguments = _arguments(name, config)
        from timm.data import resolve_data_config

        data = resolve_data_config(pretrained_cfg=arguments["pretrained_cfg"])
    size = arguments.get("img_size", data["input_size"][1:])
    return Inputs(
        size=(size, size) if isinstance(size, int) else tuple(size),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"] if data["interpolation"] in ("nearest", "bilinear") else "bicubic",
        crop_pct=data["crop_pct"],
        crop_mode=data["crop_mode"],
        channels=data["input_size"][0] if config.model_pretrained else None,
    )


def build(
    name: str, input_shape: tuple[int, ...], output_dim: int, config: Config, class_names: list[str] | None = None
) -> nn.Module:
    """`name` is one of timm.list_models(), optionally with a weight tag (`resnet18.a1_in1k`), or timm's
    'hf-hub:<repository>' or 'local-dir:<folder>'.

    Input channels, number of classes and (if the architecture fixes it) image size are those of the data.
    Raises ValueError for an unknown name, arguments that the model rejects, or weights that cannot be fetched.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"model 'timm/{name}' takes images (channels, height, width), and the samples have shape {input_shape}; "
            "model_input_shape, such as [1, 28, 28], views flat data as an image"
        )
    with _calling_timm(name, config, f" for inputs of shape {input_shape}"):
        # most transformers are built for one image size
        fixed = _arguments(name, config)["pretrained_cfg"].get("fixed_input_size")
        import timm

        model: nn.Module = timm.create_model(
            name,
            pretrained=config.model_pretrained,
            num_classes=output_dim,
            in_chans=input_shape[0],
            **({"img_size": input_shape[1:]} if fixed else {}) | config.model_kwargs,
        )
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape))  # many errors of shape occur only here
    return model.train()


def _arguments(name: str, config: Config) -> dict[str, Any]:
    """timm's arguments for the model, which is not built; `pretrained_cfg` describes its weights."""
    from timm.models import resolve_model_input_args

    return resolve_model_input_args(name, **config.model_kwargs)


@contextlib.contextmanager
def _calling_timm(name: str, config: Config, shape: str = "") -> Iterator[None]:
    """In the block, errors of timm become a ValueError with one sentence."""
    import timm

    if ":" not in name and not timm.is_model(name):
        known = timm.list_models() + timm.list_pretrained()
        hint = did_you_mean(name, known, n=3) or "; timm.list_models() lists all"
        raise ValueError(f"timm has no model {name!r}{hint}")
    from_hub = not name.startswith("local-dir:") and (config.model_pretrained or ":" in name)
    try:
        with hub.without_waiting() if from_hub else contextlib.nullcontext():
            yield
    except OSError as error:
        raise ValueError(_fetch_error(name, config, error)) from error
    except Exception as error:  # timm raises assertion, type and runtime errors for wrong arguments
        raise ValueError(
            f"timm cannot use {name!r}{shape} with model_kwargs {config.model_kwargs}: {type(error).__name__}: {error}"
        ) from error


def _fetch_error(name: str, config: Config, error: OSError) -> str:
    """A sentence about weights that could not be fetched: which, where timm looked, and what to do."""
    import timm

    file = (config.model_kwargs.get("pretrained_cfg_overlay") or {}).get("file")
    known = None if ":" in name else timm.get_pretrained_cfg(name)
    if file:
        looked = f"timm looked for the file {file!r}"
    elif name.startswith("local-dir:"):
        return f"model 'timm/{name}' cannot be read: {error}"
    else:
        source = (known and (known.hf_hub_id or known.url)) or name
        looked = f"timm looked for {source!r} in the cache {hub.cache()} and on the network"
    return (
        f"the weights of 'timm/{name}' could not be fetched: {looked} ({type(error).__name__}); copy the cache from "
        "a machine with network (the variable HF_HOME moves it), or give a file of weights by "
        "model_kwargs: {pretrained_cfg_overlay: {file: PATH}}"
    )
