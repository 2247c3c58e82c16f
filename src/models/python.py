"""`python/<module>:<callable>`: a user's own model, without a change in src."""

from __future__ import annotations

from torch import nn

from src import python_object
from src.config import Config


def build(
    name: str, input_shape: tuple[int, ...], output_dim: int, config: Config, class_names: list[str] | None
) -> nn.Module:
    """Call `name` ('module:callable') as callable(num_classes=..., input_shape=..., **config.model_kwargs).

    A callable that has no parameter num_classes or input_shape is not given it.
    """
    from_data = {"num_classes": output_dim, "input_shape": input_shape}
    for key in from_data:
        if key in config.model_kwargs:
            raise ValueError(f"model_kwargs: {key!r} comes from the data; remove it")
    arguments = python_object.taken(name, "model", from_data) | config.model_kwargs
    model = python_object.call(name, "model", **arguments)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model 'python/{name}' returned {type(model).__name__}, not a torch.nn.Module")
    return model
