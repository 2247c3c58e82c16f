"""Model name -> nn.Module: finds the family of a name (src/families.py) and lets its module build."""

from __future__ import annotations

from torch import nn

from src import families
from src.config import Config

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def build_model(config: Config, input_shape: tuple[int, ...], output_dim: int) -> nn.Module:
    """The model that `config.model` names, on the CPU.

    It maps float32 samples (batch, *input_shape) to outputs (batch, output_dim). The initial weights come
    from torch's global random generator: the caller seeds it, and moves the model to its device.
    Raises ValueError if the model does not exist, cannot be imported, or does not fit the shape.
    """
    family, name = families.find("model", config.model, families.MODELS)
    model: nn.Module = family.load().build(name, input_shape, output_dim, config)
    if config.model_head_init is not None:
        _reset_head(model, config)
    return model


def _reset_head(model: nn.Module, config: Config) -> None:
    """Sets the last layer to zero, or to torch's own initial values.

    The last layer is what the model's `get_classifier()` returns (timm's convention; some models have two
    heads), else the linear or convolutional layer that was registered last.
    """
    get_classifier = getattr(model, "get_classifier", None)
    heads = get_classifier() if get_classifier else model
    for head in heads if isinstance(heads, tuple | list | nn.ModuleList) else [heads]:
        layers = [module for module in head.modules() if isinstance(module, _LAYERS)]
        if not layers:
            raise ValueError(
                f"model_head_init {config.model_head_init!r}: {config.model!r} has no linear or convolutional layer at its end"
            )
        if config.model_head_init == "rand":
            layers[-1].reset_parameters()
            continue
        nn.init.zeros_(layers[-1].weight)
        if layers[-1].bias is not None:
            nn.init.zeros_(layers[-1].bias)
