"""Which names of data sets, models, optimizers, losses and metrics exist, and which module implements each prefix.

A name is `<prefix>` or `<prefix>/<rest>`, for instance `tiny/resnet_20`. To add a family, write one
module with one public function and add one line here (docs/extending.md). Nothing heavy is imported:
these tables are also what a grid is checked against on a login node.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from src.hints import did_you_mean

CALLABLE = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"  # module:callable, after python/


@dataclass(frozen=True)
class Family:
    """One prefix: the module behind it, and what may follow the prefix."""

    module: str  # imported when the family is used, not before
    rest: str  # regular expression for what follows "<prefix>/"
    example: str
    splits: tuple[str, ...] = ()  # of a data family whose names all have the same ones
    separator: str = "/"  # between the prefix and what follows it
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names for what follows the prefix

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


def _depths(extra: int) -> str:
    """The numbers of layers 6n + extra, as alternatives of a regular expression."""
    return "|".join(str(6 * n + extra) for n in range(1, 201))


# Each module has `load_source(name, config) -> Source` (src/data/source.py).
DATA = {
    "libsvm": Family("src.data.libsvm", r".+", "libsvm/a9a"),
    "sklearn": Family(
        "src.data.sklearn", r"digits|breast_cancer|wine|iris|diabetes", "sklearn/digits", splits=("train",)
    ),
    "python": Family("src.data.python", CALLABLE, "python/my_data:MyDataset"),
    "timm": Family(
        "src.data.timm",
        r"(torch|folder|hfds|tfds)/.+",
        "timm/torch/cifar10, timm/folder/<path>, timm/hfds/<name>",
        aliases={"imagenet": "torch/imagenet"},
    ),
    "tfds": Family("src.data.tfds", r".+", "tfds/cifar10"),
    "hf": Family("src.data.hf", r".+", "hf/imdb"),
}

# Short names of the models that OpenAI published.
_OPENAI_CLIP = {
    "vit_b32": "ViT-B-32:openai", "vit_b16": "ViT-B-16:openai",
    "vit_l14": "ViT-L-14:openai", "vit_l14_336": "ViT-L-14-336:openai",
    "rn50": "RN50:openai", "rn101": "RN101:openai",
    "rn50x4": "RN50x4:openai", "rn50x16": "RN50x16:openai", "rn50x64": "RN50x64:openai",
}  # fmt: skip

# Each module has `build(name, input_shape, output_dim, config, class_names) -> nn.Module`, and may have
# `inputs(name, config) -> Inputs` (src/data/source.py): how the model wants images or text.
MODELS = {
    "linear": Family("src.models.linear", r"(no_bias)?", "linear/no_bias"),
    "tiny": Family(
        "src.models.tiny",
        rf"lenet|resnet_({_depths(2)}|18|34|101)|vgg_(11|13|16|19)|wrn_({_depths(4)})_[1-9]\d*(_0(\.\d+)?)?",
        "tiny/lenet, tiny/resnet_20 (6n+2 layers; 18, 34, 50, 101, 152), tiny/vgg_11 (13, 16, 19), "
        "tiny/wrn_16_4 (6n+4 layers, width), tiny/wrn_28_10_0.3 (dropout)",
    ),
    "timm": Family("src.models.timm", r".+", "timm/resnet18"),
    "clip": Family("src.models.clip", r".+", "clip/ViT-B-32", aliases=_OPENAI_CLIP),
    "clip_zeroshot": Family("src.models.clip_zeroshot", r".+", "clip_zeroshot/ViT-B-32", aliases=_OPENAI_CLIP),
    "hf": Family("src.models.hf", r".+", "hf/bert-base-uncased"),
    "python": Family("src.models.python", CALLABLE, "python/my_models:MyNet"),
}

# src.optim.optimizers builds these; all but timm/ and python/ are torch's.
OPTIMIZERS = {
    **{name: Family("src.optim.optimizers", "", name) for name in ("sgd", "adam", "adamw", "amsgrad", "amsgradw")},
    "timm": Family("src.optim.optimizers", r"\w+", "timm/lamb"),
    "python": Family("src.optim.optimizers", CALLABLE, "python/my_optim:MySGD"),
}

# Each module has `build_loss(name, ...) -> Loss` (src/training/losses.py).
CROSS_ENTROPY, SQUARED_ERROR = ("log", "xentropy"), ("mse", "square")  # two names each
LOSSES = {
    **{name: Family("src.training.losses", "", name) for name in (*CROSS_ENTROPY, *SQUARED_ERROR)},
    "python": Family("src.training.losses", CALLABLE, "python/my_losses:focal"),
}

# Each module has `build_metric(name, n_classes) -> Metric` (src/training/metrics.py).
METRICS = {
    "accuracy": Family("src.training.accuracy", "", "accuracy"),
    "top": Family("src.training.accuracy", r"[1-9]\d*", "top5", separator=""),
    "python": Family("src.training.metrics", CALLABLE, "python/my_metrics:WithinOne"),
}

# option -> the families that its value, or each of a list, names
TABLES = {"dataset": DATA, "model": MODELS, "optim_alg": OPTIMIZERS, "loss": LOSSES, "metrics": METRICS}


def find(kind: str, name: str, table: Mapping[str, Family]) -> tuple[Family, str]:
    """The family of `name` and what follows its prefix, aliases replaced.

    `kind` is the option's name, for the message. Raises ValueError that says what is known.
    """
    prefix, separator, rest = name.partition("/")
    if prefix not in table and (numbered := re.fullmatch(r"([a-z]+)([1-9]\d*)", name)):  # top5
        prefix, separator, rest = numbered[1], "", numbered[2]
    if prefix not in table:
        known = ", ".join(family.example for family in table.values())
        raise ValueError(f"unknown {kind} {name!r}{did_you_mean(prefix, table) or ';'} known: {known}")
    family = table[prefix]
    rest = family.aliases.get(rest, rest)
    # "sgd/" or "tiny" alone: the separator must be there exactly if something follows it
    if (separator == family.separator) != bool(rest) or not re.fullmatch(family.rest, rest):
        raise ValueError(f"unknown {kind} {name!r}; {prefix!r} takes names like {family.example}")
    return family, rest
