"""Model name -> nn.Module: finds the family of a name (src/families.py) and lets its module build."""

from __future__ import annotations

from torch import nn

from src import families
from src.config import Config
from src.data.source import Inputs
from src.models.freeze import freeze
from src.models.head import reset_head
from src.models.linear import store_for_sparse


def model_inputs(config: Config) -> Inputs:
    """How `config.model` wants its samples; known before any data are read."""
    family, name = families.find("model", config.model, families.MODELS)
    inputs = getattr(family.load(), "inputs", None)
    return inputs(name, config) if inputs else Inputs()


def output_dim(config: Config, n_classes: int | None) -> int:
    """How many outputs the model has, for data of so many classes (None: regression)."""
    return config.model_output_dim or n_classes or 1


def build_model(
    config: Config,
    input_shape: tuple[int, ...],
    output_dim: int,
    class_names: list[str] | None = None,
    sparse: bool = False,
) -> nn.Module:
    """The model that `config.model` names, on the CPU.

    `class_names`, by class, make the head of a zero-shot model. The model maps float32 samples (batch,
    *input_shape), or a dictionary of int64 tensors (batch, tokens), to outputs (batch, output_dim). The initial
    weights come from torch's global random generator: the caller seeds it, and moves the model to its device.
    With `sparse` it is to take sparse CSR tensors (batch, features), which linear and python/ models can.
    Raises ValueError if the model does not exist, cannot be imported, or does not fit the shape.
    """
    family, name = families.find("model", config.model, families.MODELS)
    if sparse and not config.model.startswith(("linear", "python/")):
        raise ValueError(
            f"model {config.model!r} takes no sparse data, as which {config.dataset!r} is held; use model: linear, "
            f"or raise max_dense_gb (now {config.max_dense_gb:g}) to hold the data as dense"
        )
    model: nn.Module = family.load().build(name, input_shape, output_dim, config, class_names)
    if config.model_head_init is not None:
        reset_head(model, config)
    if config.model_freeze is not None:
        freeze(model, config)
    if sparse:
        store_for_sparse(model)
    return model
