"""Find and reset the last layer of a model."""

from __future__ import annotations

from torch import nn

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def find_heads(model: nn.Module) -> list[nn.Module]:
    """The result of the model's `get_classifier()`, timm's convention; some models have two heads.

    Without that method, the linear or convolutional layer that was registered last; an empty list if there is none.
    """
    get_classifier = getattr(model, "get_classifier", None)
    if get_classifier is not None:
        heads = get_classifier()
        return list(heads) if isinstance(heads, tuple | list | nn.ModuleList) else [heads]
    return [*_layers(model)[-1:]]


def reset_head(model: nn.Module, init: str) -> None:
    """Set the last layer of each head to zero (`init` zero), or to torch's initial values (rand)."""
    heads = [_layers(head)[-1:] for head in find_heads(model)]
    if not heads or not all(heads):
        raise ValueError(f"model_head_init {init!r}: the model has no linear or convolutional layer at its end")
    for (layer,) in heads:
        if init == "rand":
            layer.reset_parameters()
            continue
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _layers(module: nn.Module) -> list[nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d]:
    return [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
