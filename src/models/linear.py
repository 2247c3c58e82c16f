"""`linear` and `linear/no_bias`: one linear layer on the flattened sample."""

from __future__ import annotations

import math

from torch import nn

from src.config import Config


def build(name: str, input_shape: tuple[int, ...], output_dim: int, config: Config) -> nn.Module:
    """`name` is '' or 'no_bias'.

    A batch may also be a sparse CSR tensor (batch, features): flattening leaves it as it is, and torch
    multiplies it without making it dense, forward and backward. The gradient of the weight is dense.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), output_dim, bias=name != "no_bias"))
