"""`timm/<name>`: the image models of timm, with its pretrained weights if asked for."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from src import hub, torchvision_cpu
from src.config import Config
from src.data.source import Inputs


def inputs(name: str, config: Config) -> Inputs:
    """Size, normalisation and resizing of the images that timm trained `name`, with its weight tag, on.

    Grey images become colour images only for pretrained weights. Raises ValueError as `build` does.
    """
    with _in_one_sentence(name, config):
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
        channels=data["input_size"][0] if config.model_pretrained else None,
    )


def build(
    name: str,
    input_shape: tuple[int, ...],
    output_dim: int,
    config: Config,
    class_names: list[str] | None = None,
) -> nn.Module:
    """`name` is one of timm.list_models(), with a weight tag if wished (`resnet18.a1_in1k`), or timm's
    'hf-hub:<repository>' or 'local-dir:<folder>'.

    Input channels, number of classes and (where the architecture fixes it) image size follow the data.
    Raises ValueError for an unknown name, arguments that the model refuses, or weights that cannot be fetched.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"model 'timm/{name}' takes images (channels, height, width), and the samples have shape {input_shape}; "
            "model_input_shape, such as [1, 28, 28], views flat data as an image"
        )
    with _in_one_sentence(name, config, f" for inputs of shape {input_shape}"):
        # most transformers are built for one size
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
            model.eval()(torch.zeros(1, *input_shape))  # many a misfit shows only here
    return model.train()


def _arguments(name: str, config: Config) -> dict[str, Any]:
    """timm's arguments for the model without building it; `pretrained_cfg` describes its weights."""
    from timm.models import resolve_model_input_args

    return resolve_model_input_args(name, **config.model_kwargs)


@contextlib.contextmanager
def _in_one_sentence(name: str, config: Config, shape: str = "") -> Iterator[None]:
    """For what calls timm: whatever fails becomes a ValueError that says what to do."""
    torchvision_cpu.mend()
    import timm

    if ":" not in name and not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() lists what it has"
        raise ValueError(f"timm has no model {name!r}; {hint}")
    from_hub = not name.startswith("local-dir:") and (config.model_pretrained or ":" in name)
    try:
        with hub.without_waiting() if from_hub else contextlib.nullcontext():
            yield
    except OSError as error:
        raise ValueError(_not_fetched(name, config, error)) from error
    except Exception as error:  # timm says "does not fit" by assertions, type and runtime errors alike
        raise ValueError(
            f"timm cannot use {name!r}{shape} with model_kwargs {config.model_kwargs}: {type(error).__name__}: {error}"
        ) from error


def _not_fetched(name: str, config: Config, error: OSError) -> str:
    """Says which weights could not be had, where timm looked, and how to bring them."""
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
        "a machine with network (the variable HF_HOME moves it), or name a weights file with "
        "model_kwargs: {pretrained_cfg_overlay: {file: PATH}}"
    )
