"""Parameters that are not trained: the option `model_freeze`."""

from __future__ import annotations

import re

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from src.models.head import find_heads


def freeze(model: nn.Module, what: str, may_freeze_all: bool = False) -> None:
    """Exclude parameters from training: `what` is 'backbone', all but the head, or a regular expression for their names.

    A frozen parameter has requires_grad False. A normalisation layer whose parameters are all frozen also keeps its
    running statistics, in training mode as in evaluation. Raises ValueError if nothing matches, or if everything does
    and not `may_freeze_all`.
    """
    frozen = _names_to_freeze(model, what)
    parameters = dict(model.named_parameters())
    found = frozen & parameters.keys()
    if not found or (len(found) == len(parameters) and not may_freeze_all):
        names = list(parameters)
        some = ", ".join(names if len(names) <= 6 else [*names[:3], "...", *names[-3:]])
        problem = "leaves no parameter to train" if found else "matches no parameter"
        raise ValueError(f"model_freeze {what!r} {problem}; the parameters of the model are {some}")
    for name in found:
        parameters[name].requires_grad_(False)
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            own = list(module.parameters(recurse=False))
            if (own and not any(p.requires_grad for p in own)) or (not own and f"{name}.running_mean" in frozen):
                module.__class__ = type(f"Frozen{type(module).__name__}", (_Frozen, type(module)), {})
                module.eval()


def _names_to_freeze(model: nn.Module, what: str) -> set[str]:
    """Names of parameters and buffers."""
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    if what == "backbone":
        heads = {id(tensor) for head in find_heads(model) for tensor in [*head.parameters(), *head.buffers()]}
        return {name for name, tensor in tensors.items() if id(tensor) not in heads}
    return {name for name in tensors if re.match(what, name)}


class _Frozen:
    """Mixin of a normalisation layer that keeps its running statistics."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)  # type: ignore[misc]
