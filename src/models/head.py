"""The last layer of a model: where it is, and how it is reset."""

from __future__ import annotations

from torch import nn

from src.config import Config

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def find_heads(model: nn.Module) -> list[nn.Module]:
    """What the model's `get_classifier()` returns (timm's convention; some models have two heads).

    Without that method it is the linear or convolutional layer that was registered last; empty if there is none.
    """
    get_classifier = getattr(model, "get_classifier", None)
    if get_classifier is not None:
        heads = get_classifier()
        return list(heads) if isinstance(heads, tuple | list | nn.ModuleList) else [heads]
    return [*_layers(model)[-1:]]


def reset_head(model: nn.Module, config: Config) -> None:
    """Sets the last layer of each head to zero, or to torch's own initial values, as `config.model_head_init` says."""
    heads = [_layers(head)[-1:] for head in find_heads(model)]
    if not heads or not all(heads):
        raise ValueError(
            f"model_head_init {config.model_head_init!r}: {config.model!r} has no linear or convolutional layer at its end"
        )
    for (layer,) in heads:
        if config.model_head_init == "rand":
            layer.reset_parameters()
            continue
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _layers(module: nn.Module) -> list[nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d]:
    return [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
