"""Parameters that are not trained: `config.model_freeze`."""

from __future__ import annotations

import re

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from src.config import Config
from src.models.head import find_heads


def freeze(model: nn.Module, config: Config) -> None:
    """Excludes from training what `config.model_freeze` names: 'backbone', all but the head, or a regular expression.

    A frozen parameter has requires_grad False. A normalisation all of whose parameters are frozen keeps its
    running statistics too, in training mode as in evaluation. Raises ValueError if nothing matches, or if
    nothing is left to train in a run that trains.
    """
    frozen = _names_to_freeze(model, str(config.model_freeze))
    parameters = dict(model.named_parameters())
    found = frozen & parameters.keys()
    if not found or (len(found) == len(parameters) and config.train_length > 0):
        names = list(parameters)
        some = ", ".join(names if len(names) <= 6 else [*names[:3], "...", *names[-3:]])
        what = "leaves nothing to train" if found else "matches no parameter"
        raise ValueError(f"model_freeze {config.model_freeze!r} {what} of {config.model!r}, which has {some}")
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
    """Mixed into a normalisation whose running statistics are kept."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)  # type: ignore[misc]

    def reset_running_stats(self) -> None:
        """Nothing: torch's update_bn forgets the statistics of all layers by it, and would not refill these."""
