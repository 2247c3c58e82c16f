"""Model name -> nn.Module: finds the family of the name (src/families.py) and calls its `build`."""

from __future__ import annotations

from torch import nn

from src import families
from src.config import Config
from src.data.source import Inputs
from src.models.freeze import freeze
from src.models.head import reset_head
from src.models.linear import store_for_sparse


def model_inputs(config: Config) -> Inputs:
    """The form in which `config.model` takes its samples, without reading data."""
    family, name = families.find("model", config.model, families.MODELS)
    inputs = getattr(family.load(), "inputs", None)
    return inputs(name, config) if inputs else Inputs()


def output_dim(config: Config, n_classes: int | None, n_targets: int = 1) -> int:
    """How many outputs the model has, for data of so many classes, or (None: regression) values of a target.

    Raises ValueError if model_output_dim is less than the classes, or another number than the values.
    """
    asked = config.model_output_dim
    if n_classes is None and asked not in (None, n_targets):
        raise ValueError(
            f"model_output_dim {asked}: regression on targets of {n_targets} values needs {n_targets} outputs"
        )
    if n_classes is not None and asked is not None and asked < n_classes:
        raise ValueError(f"model_output_dim {asked} is less than the {n_classes} classes of the data")
    return asked or n_classes or n_targets


def build_model(
    config: Config,
    input_shape: tuple[int, ...],
    output_dim: int,
    class_names: list[str] | None = None,
    sparse: bool = False,
) -> nn.Module:
    """The model `config.model`, on the CPU.

    It maps float32 samples (batch, *input_shape), or a dictionary of int64 tensors (batch, tokens), to outputs (batch,
    output_dim). With `sparse` it must take sparse CSR tensors (batch, features), as linear and python/ models do. The
    initial weights come from torch's global generator, which the caller seeds. `class_names`, by class, make the head
    of a zero-shot model. Raises ValueError if the model does not exist, cannot be imported, or does not fit the shape.
    """
    family, name = families.find("model", config.model, families.MODELS)
    if sparse and not config.model.startswith(("linear", "python/")):
        raise ValueError(
            f"model {config.model!r} takes no sparse data, and {config.dataset!r} is stored as sparse; use model: linear, "
            f"or raise max_dense_gb (now {config.max_dense_gb:g}) to store the data as dense"
        )
    model: nn.Module = family.load().build(name, input_shape, output_dim, config, class_names)
    if config.model_head_init is not None:
        reset_head(model, config.model_head_init)
    if config.model_freeze is not None:
        freeze(model, config.model_freeze, may_freeze_all=config.train_length == 0)
    if sparse:
        store_for_sparse(model)
    return model
