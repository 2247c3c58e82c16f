"""What is wrong with a config, as far as that can be known without torch and without data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from src import families, grammar, schedules
from src.config.judged import check_judged
from src.config.options import OPTIONS, Config
from src.hints import did_you_mean


def check(config: Config) -> Iterable[tuple[str, str]]:
    """(option, sentence) for everything wrong that can be known without torch and without data."""
    yield from _check_limits(config)
    for option, table in families.TABLES.items():
        value = getattr(config, option)
        for name in value if isinstance(value, list) else [value] * (value is not None):
            if message := grammar.problem(lambda text, o=option, t=table: families.find(o, text, t), name):  # type: ignore[misc]
                yield option, message
    if message := grammar.problem(schedules.parse_schedule, config.lr_schedule):
        yield "lr_schedule", message
    if config.averaging is not None and (message := grammar.problem(grammar.parse_averaging, config.averaging)):
        yield "averaging", message
    yield from _check_splits(config)
    yield from _check_images(config)
    yield from _check_together(config)
    yield from check_judged(config)


def _check_limits(config: Config) -> Iterable[tuple[str, str]]:
    for name, f in OPTIONS.items():
        value, limits = getattr(config, name), f.metadata
        if value is None:
            continue
        if limits["choices"] and value not in limits["choices"]:
            hint = did_you_mean(value, limits["choices"])
            yield name, f"{name}: {value!r} is not one of {', '.join(limits['choices'])}{hint}"
        if isinstance(value, float) and (math.isnan(value) or (name == "base_lr" and math.isinf(value))):
            yield name, f"{name} must be a finite number, not {value}"
        elif limits["at_least"] is not None and value < limits["at_least"]:
            yield name, f"{name} must be at least {limits['at_least']}, not {value}"
        elif limits["above"] is not None and value <= limits["above"]:
            yield name, f"{name} must be above {limits['above']}, not {value}"
        elif limits["at_most"] is not None and value > limits["at_most"]:
            yield name, f"{name} must be at most {limits['at_most']}, not {value}"


def _check_splits(config: Config) -> Iterable[tuple[str, str]]:
    """The names of other data sets; the splits of a family that has the same ones for every name; folds."""
    others = set()
    for name, text in config.data_splits_map.items():
        dataset, expression = grammar.split_source(text)
        if dataset is not None:
            others.add(name)
            if message := grammar.problem(lambda other: families.find("dataset", other, families.DATA), dataset):
                yield "data_splits_map", f"data_splits_map: {name!r}: {message}"
                continue
        family = families.DATA.get((dataset or config.dataset).partition("/")[0])
        if family is None or not family.splits:
            continue
        for part in grammar.parse_split(expression):
            if part.split not in (*family.splits, grammar.ALL):
                has = " and ".join(map(repr, family.splits))
                cut = "; cut it, as in {train: 'train[:80%]', test: 'train[80%:]'}" if len(family.splits) == 1 else ""
                yield (
                    "data_splits_map",
                    f"data_splits_map: {name!r} names {part.split!r}, and {dataset or config.dataset!r} has {has}{cut}",
                )
    for name in config.data_label_maps:
        if name not in others:
            yield (
                "data_label_maps",
                f"data_label_maps: {name!r} is no split that data_splits_map takes from another data set",
            )
    if config.cv_folds is not None and config.cv_fold >= config.cv_folds:
        yield (
            "cv_fold",
            f"cv_fold {config.cv_fold}: with cv_folds {config.cv_folds} the folds are 0 to {config.cv_folds - 1}",
        )
    if config.cv_folds is None and config.cv_fold:
        yield "cv_fold", "cv_fold needs cv_folds, the number of folds"
    if config.cv_folds is not None and "val" in config.data_splits_map:
        yield "cv_folds", "cv_folds holds out a split 'val', which data_splits_map has already; call that one otherwise"


def _check_images(config: Config) -> Iterable[tuple[str, str]]:
    for name, least in (("random_crop_scale", 0), ("random_crop_ratio", 0), ("image_std", 0)):
        values = getattr(config, name)
        if values is not None and not all(value > least for value in values):
            yield name, f"{name} {values} must hold numbers above {least}"
    for name in ("random_crop_scale", "random_crop_ratio"):
        values = getattr(config, name)
        if values is not None and (len(values) != 2 or values[0] > values[1]):
            yield name, f"{name} {values} must be the least and the largest value"
    if config.random_crop_scale is not None and max(config.random_crop_scale) > 1:
        yield "random_crop_scale", f"random_crop_scale {config.random_crop_scale}: a part of the area is at most 1"
    for name in ("image_mean", "image_std"):
        values = getattr(config, name)
        if values is not None and len(values) not in (1, 3):
            yield name, f"{name} {values} must hold 1 number or 3, one a channel"
    if config.random_crop_padding and config.random_crop_scale is not None:
        yield "random_crop_padding", "random_crop_padding and random_crop_scale are two ways to crop; set one of them"
    if config.auto_augment and config.color_jitter and not config.auto_augment.startswith("3a"):
        yield "color_jitter", f"color_jitter has no effect beside auto_augment {config.auto_augment!r}; set one of them"
    if config.auto_augment and not re.match(r"(rand|augmix|original|originalr|v0|v0r|3a)(-|$)", config.auto_augment):
        yield (
            "auto_augment",
            f"auto_augment {config.auto_augment!r}: a policy is rand, augmix, original, originalr, v0, v0r or 3a, "
            "with parameters as in rand-m9-mstd0.5-inc1",
        )


def _check_together(config: Config) -> Iterable[tuple[str, str]]:
    """Options that are each fine and do not go together."""
    if config.steps_per_epoch is not None and config.samples_per_epoch is not None:
        yield "samples_per_epoch", "steps_per_epoch and samples_per_epoch both say when to evaluate; set one of them"
    if config.grad_accum_steps > config.batch_size >= 1:
        yield (
            "grad_accum_steps",
            f"grad_accum_steps {config.grad_accum_steps} is more than batch_size {config.batch_size}",
        )
    if config.averaging is None and config.evaluate in ("av", "both"):
        yield "evaluate", f"evaluate {config.evaluate!r} needs an average; set averaging"
    if config.model_pretrained and config.model.partition("/")[0] not in ("timm", "clip", "clip_zeroshot", "hf"):
        yield "model_pretrained", f"model_pretrained: {config.model!r} has no pretrained weights"
    if config.device is not None and not re.fullmatch(r"cpu|(cuda|mps|xpu)(:\d+)?", config.device):
        yield "device", f"device {config.device!r} is none of cpu, cuda, cuda:1, ..."
    if config.model_kwargs and config.model.partition("/")[0] in ("linear", "tiny"):
        yield "model_kwargs", f"model_kwargs: {config.model!r} takes none"
    if config.dataset_kwargs and not config.dataset.startswith("python/"):
        yield "dataset_kwargs", f"dataset_kwargs: {config.dataset!r} takes none; python/ data sets do"
    if config.optim_kwargs and not config.optim_alg.startswith(("timm/", "python/")):
        yield "optim_kwargs", f"optim_kwargs: {config.optim_alg!r} takes none; timm/ and python/ optimizers do"
    if config.layer_decay is not None and config.model.partition("/")[0] in ("linear", "tiny"):
        yield "layer_decay", f"layer_decay: {config.model!r} does not declare its layers; remove it"
    if config.optim_alg == "sgd" and isinstance(config.momentum, str) and "," in config.momentum:
        yield "momentum", f"momentum {config.momentum!r} gives two betas, and sgd has one momentum"
    if config.model_input_shape is not None and not (
        config.model_input_shape and all(size >= 1 for size in config.model_input_shape)
    ):
        yield "model_input_shape", f"model_input_shape {config.model_input_shape} must hold positive sizes"
    if config.loss not in families.CROSS_ENTROPY and config.label_smoothing:
        yield "label_smoothing", f"label_smoothing is for loss log, not {config.loss!r}"
    if config.metrics is not None and len(set(config.metrics)) < len(config.metrics):
        yield "metrics", f"metrics {config.metrics}: one of them is named twice"
    try:
        re.compile(config.model_freeze or "")
    except re.error as error:
        yield "model_freeze", f"model_freeze is neither 'backbone' nor a regular expression: {error}"
