"""Optimizer name -> torch.optim.Optimizer, with separate weight decays for weights and for biases and norms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from src import families, grammar, python_object
from src.config import Config
from src.hints import did_you_mean

ParamGroups = list[dict[str, Any]]


def build_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer `config.optim_alg` over the parameters of `model` that require gradients.

    Parameters with two or more dimensions have the decay weight_decay, all others weight_decay_biases. At each step the
    caller sets the `lr` of each group: the learning rate, times the group's `lr_scale` if it has one (layer_decay).
    Raises ValueError if the optimizer does not exist or rejects the options.
    """
    _, name = families.find("optim_alg", config.optim_alg, families.OPTIMIZERS)
    for key, option in {"lr": "base_lr", "weight_decay": "weight_decay"}.items():
        if key in config.optim_kwargs:
            raise ValueError(f"optim_kwargs: {key!r} comes from the option {option}; remove it")
    groups = _param_groups(config, model)
    if config.optim_alg.startswith("timm/"):
        return _timm(name, groups, config)
    if config.optim_alg.startswith("python/"):
        return _python(name, groups, config)
    return _torch(config.optim_alg, groups, config)


def _param_groups(config: Config, model: nn.Module) -> ParamGroups:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        if config.train_length == 0:
            return [{"params": []}]
        raise ValueError(f"model {config.model!r} has no parameter to train")
    layers = [{"params": trained}] if config.layer_decay is None else _layers(config.layer_decay, config, model)
    groups = []
    for layer in layers:
        weights, others = [p for p in layer["params"] if p.ndim >= 2], [p for p in layer["params"] if p.ndim < 2]
        groups.append(layer | {"params": weights, "weight_decay": config.weight_decay})
        groups.append(layer | {"params": others, "weight_decay": config.weight_decay_biases})
    return [group for group in groups if group["params"]]


def _layers(decay: float, config: Config, model: nn.Module) -> ParamGroups:
    """A group for each layer, with `lr_scale` = decay ** (number of layers after it), after BEiT (Bao et al. 2022)."""
    if not hasattr(model, "group_matcher"):
        raise ValueError(
            f"layer_decay: {config.model!r} does not declare its layers; clip/, hf/ and almost all timm/ models do, "
            "and your own model can by a method group_matcher(coarse), as in timm"
        )
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(model, layer_decay=decay, weight_decay_exclude_1d=False)
    return [
        {"params": group["params"], "lr_scale": group["lr_scale"], "lr": config.base_lr * group["lr_scale"]}
        for group in groups
    ]


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

    ada_eps and momentum are passed if it takes them. If it takes betas, momentum is the first one or two of them, and
    the others keep timm's defaults.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers

    known = [str(entry) for entry in list_optimizers()]
    inner = name.removeprefix("lookahead_")
    if inner not in known:
        hint = did_you_mean(inner, known, n=3) or f"; it has {', '.join(known)}"
        raise ValueError(f"timm has no optimizer {inner!r}{hint}")
    if get_optimizer_info(inner).second_order:
        raise ValueError(f"optim_alg 'timm/{name}' needs second derivatives, which are not supported")

    beta1, _ = grammar.parse_betas(config.momentum)
    try:
        own = inspect.signature(get_optimizer_class(inner, bind_defaults=False)).parameters
        arguments = {"momentum": beta1, "eps": config.ada_eps} | _betas(own, config) | config.optim_kwargs
        return create_optimizer_v2(groups, name, lr=config.base_lr, **arguments)
    except (AssertionError, ImportError, TypeError, ValueError) as error:
        raise ValueError(f"optim_alg 'timm/{name}' cannot be built: {error}") from error


def _python(name: str, groups: ParamGroups, config: Config) -> torch.optim.Optimizer:
    """The user's own optimizer. It gets momentum or betas, and eps, by the parameters that it names.

    Raises ValueError where it has no parameter for one of these options, and the option is set.
    """
    own = inspect.signature(python_object.import_callable(name, "optim_alg")).parameters
    beta1, beta2 = grammar.parse_betas(config.momentum)
    offered = {"eps": config.ada_eps} if beta2 is not None else {"eps": config.ada_eps, "momentum": beta1}
    arguments = {key: value for key, value in offered.items() if key in own} | _betas(own, config)
    used = arguments.keys() - config.optim_kwargs.keys()
    for option, names in {"momentum": ("momentum", "betas"), "ada_eps": ("eps",)}.items():
        if used.isdisjoint(names) and getattr(config, option) != getattr(Config(), option):
            raise ValueError(
                f"{option} {getattr(config, option)!r} is not used by optim_alg {config.optim_alg!r}: it does not name "
                f"a parameter {' or '.join(names)} for it, or optim_kwargs sets that; remove {option}"
            )
    optimizer = python_object.call(name, "optim_alg", groups, lr=config.base_lr, **arguments | config.optim_kwargs)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(
            f"optim_alg {config.optim_alg!r} returned {type(optimizer).__name__}, not a torch.optim.Optimizer"
        )
    return optimizer


def _betas(own: Mapping[str, inspect.Parameter], config: Config) -> dict[str, Any]:
    """`betas` for an optimizer with these parameters: momentum is the first one or two, the others are its defaults."""
    if "betas" not in own:
        return {}
    default = own["betas"].default
    if default is inspect.Parameter.empty:
        default = (0.9, 0.999)
    if not isinstance(default, tuple | list):
        return {}
    beta1, beta2 = grammar.parse_betas(config.momentum)
    return {"betas": (beta1, default[1] if beta2 is None else beta2, *default[2:])}
