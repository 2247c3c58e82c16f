"""Optimizer name -> torch.optim.Optimizer, with one weight decay for weights and one for biases and norms."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import torch
from torch import nn

from src import families, grammar, python_object, torchvision_cpu
from src.config import Config

ParamGroups = list[dict[str, Any]]


def build_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that `config.optim_alg` names over the parameters of `model` that require gradients.

    Parameters with two or more dimensions decay by weight_decay, the others by weight_decay_biases.
    The caller sets each group's `lr` as the schedule goes. Raises ValueError if the optimizer does not
    exist or refuses the options.
    """
    _, name = families.find("optim_alg", config.optim_alg, families.OPTIMIZERS)
    groups = _param_groups(config, model)
    if config.optim_alg.startswith("timm/"):
        return _timm(name, groups, config)
    if config.optim_alg.startswith("python/"):
        optimizer = python_object.call(name, "optim_alg", groups, lr=config.base_lr)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ValueError(
                f"optim_alg {config.optim_alg!r} returned {type(optimizer).__name__}, not a torch.optim.Optimizer"
            )
        return optimizer
    return _torch(config.optim_alg, groups, config)


def _param_groups(config: Config, model: nn.Module) -> ParamGroups:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError(f"model {config.model!r} has no parameter to train")
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": config.weight_decay_biases},
    ]
    return [group for group in groups if group["params"]]


def _torch(name: str, groups: ParamGroups, config: Config) -> torch.optim.Optimizer:
    beta1, beta2 = grammar.parse_betas(config.momentum)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=config.base_lr, momentum=beta1, nesterov=beta1 > 0)
    algorithm = torch.optim.AdamW if name.endswith("w") else torch.optim.Adam
    return algorithm(
        groups,
        lr=config.base_lr,
        betas=(beta1, 0.999 if beta2 is None else beta2),
        eps=config.ada_eps,
        amsgrad=name.startswith("amsgrad"),
    )


def _timm(name: str, groups: ParamGroups, config: Config) -> torch.optim.Optimizer:
    """timm's optimizer `name`, or `lookahead_<name>`.

    It gets ada_eps and momentum where it takes them. Where it takes betas, momentum gives the first one or
    two, and the rest stay what its authors chose.
    """
    torchvision_cpu.mend()
    from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers

    known = [str(entry) for entry in list_optimizers()]
    inner = name.removeprefix("lookahead_")
    if inner not in known:
        close = difflib.get_close_matches(inner, known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"it has {', '.join(known)}"
        raise ValueError(f"timm has no optimizer {inner!r}; {hint}")
    if get_optimizer_info(inner).second_order:
        raise ValueError(f"optim_alg 'timm/{name}' needs second derivatives, which are not computed here")

    beta1, beta2 = grammar.parse_betas(config.momentum)
    arguments: dict[str, Any] = {"momentum": beta1, "eps": config.ada_eps}
    try:
        algorithm = get_optimizer_class(inner, bind_defaults=False)
        own = inspect.signature(algorithm).parameters.get("betas")
        if own is not None and isinstance(own.default, tuple):
            arguments["betas"] = (beta1, own.default[1] if beta2 is None else beta2, *own.default[2:])
        return create_optimizer_v2(groups, name, lr=config.base_lr, **arguments)
    except (AssertionError, ImportError, TypeError, ValueError) as error:
        raise ValueError(f"optim_alg 'timm/{name}' cannot be built: {error}") from error
