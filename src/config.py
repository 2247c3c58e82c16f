"""Config: every option of an experiment, its default, its limits and its meaning, in one dataclass.

`load` reads a YAML file, `build` takes a dictionary; both return a checked Config or raise ConfigError
with every problem found. Nothing heavy is imported, so that a login node can check a large grid.
Names and defaults are a contract: a new option's default is the behaviour before it existed, and no
default ever changes (tests/released_options.yaml holds the list).
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src import families, grammar, yaml_io
from src.hints import did_you_mean


class ConfigError(ValueError):
    """A config that cannot be run; `problems` holds one sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _option(
    section: str,
    default: Any,
    meaning: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> Any:
    metadata = {
        "section": section,
        "meaning": meaning,
        "choices": choices,
        "at_least": at_least,
        "above": above,
        "at_most": at_most,
    }
    if isinstance(default, dict | list):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


_run = functools.partial(_option, "Run")
_data = functools.partial(_option, "Data")
_model = functools.partial(_option, "Model")
_aug = functools.partial(_option, "Augmentation of images")
_train = functools.partial(_option, "Training")
_eval = functools.partial(_option, "Evaluation")
_filled = functools.partial(_option, "Filled in by the program")


@dataclass
class Config:
    """One experiment. `null` (None) means what the option's text says."""

    # One line an option, however long: it reads as a table. OmegaConf knows Optional[...] for "or null".
    # fmt: off
    # --- run ---
    output_dir: Optional[str] = _run(None, "folder of the experiment; null: a new folder under runs/")
    resume: str = _run("auto", "what to do with a checkpoint in output_dir: go on from it, or never (start over)", choices=("auto", "never"))
    checkpoint_every_seconds: float = _run(600.0, "least seconds between two writes of checkpoint.pt at the ends of epochs; 0: at each one", at_least=0)
    log_interval: int = _run(10, "optimizer steps between two lines about training in training.log", at_least=1)
    log_interval_eval: Optional[int] = _run(None, "batches between two lines about an evaluation in training.log; null: none", at_least=1)
    log_to_stdout: bool = _run(False, "print the log as well as writing training.log")
    save_freq: int = _run(0, "keep the weights in checkpoint-<last|av>-epoch<N>.pt every so many epochs; 0: never", at_least=0)
    device: Optional[str] = _run(None, "cpu, cuda, cuda:1, ...; null: cuda where there is one, else cpu")
    multi_gpu: bool = _run(True, "use all GPUs that are visible (this version trains on one)")
    num_threads: int = _run(1, "CPU threads of torch; it may change the last digits of results, so it is an option and not the machine's choice", at_least=1)
    num_workers: int = _run(2, "processes that load data which is not held in memory; 0: load in the training process", at_least=0)
    seed_model: Optional[int] = _run(None, "seed of the initial weights; null: drawn once and written to config.yaml", at_least=0)
    seed_training: Optional[int] = _run(None, "seed of the order of the data, augmentation and dropout; null: drawn once and written to config.yaml", at_least=0)

    # --- data ---
    dataset: str = _data("libsvm/a9a", "family and name: libsvm/<name or path>, sklearn/<name>, timm/torch/<name>, timm/folder/<path>, timm/hfds/<name>, tfds/<name>, hf/<name or path>[:config], python/<module>:<callable>")
    data_dir: str = _data("data", "folder of downloaded data, relative to where the program is started")
    data_download: bool = _data(True, "download data that data_dir does not have")
    data_splits_map: Any = _data({"train": "train", "test": "test"}, "split name: expression such as train[:80%], train[80%:]+test, train[:1000]; `train` is trained on, every other one is evaluated each epoch; <dataset>::<expression> takes it from another data set")
    data_label_maps: dict[str, Any] = _data({}, "split name: which class each label of another data set is, as a list, a dictionary from class name or label, or a YAML or JSON file of one of these")
    data_split_seed: int = _data(0, "seed of the stratified shuffle of data that come as one split", at_least=0)
    libsvm_normalize: bool = _data(True, "scale each row of libsvm data to unit Euclidean norm")
    sklearn_standardize: bool = _data(True, "shift and scale each feature of tabular sklearn data to mean 0 and deviation 1 on the train split")
    max_dense_gb: float = _data(2.0, "sparse data stay sparse if they would take more than this, in GB of float32", at_least=0)

    cv_folds: Optional[int] = _data(None, "cross-validation: cut the train split into so many folds, stratified by label where labels are known, with data_split_seed; null: no", at_least=2)
    cv_fold: int = _data(0, "the fold, from 0, that is held out as the split `val`", at_least=0)
    image_size: Optional[int] = _data(None, "height and width of the images that the model gets; null: as the model wants it (timm, clip, hf), else as the data have it")
    image_mean: Optional[list[float]] = _data(None, "mean of each channel, with values in [0, 1], that is subtracted from images; null: the model's, else ImageNet's")
    image_std: Optional[list[float]] = _data(None, "deviation of each channel that images are divided by; null: the model's, else ImageNet's")
    image_interpolation: Optional[str] = _data(None, "how images are resized; null: as the model wants it, else bicubic", choices=("nearest", "bilinear", "bicubic"))
    image_crop_pct: Optional[float] = _data(None, "part of the resized image that the central crop keeps; null: the model's, else 1", above=0, at_most=1)
    image_memory_gb: float = _data(2.0, "images that are decoded to at most so many GB are kept in memory, on the GPU if there is one; it does not change a number", at_least=0)
    text_columns: Optional[str] = _data(None, "column of the text, or two joined by a comma for pairs (hf); null: found by the usual names")
    label_column: Optional[str] = _data(None, "column of the label (hf); null: found by the usual names")
    text_max_tokens: Optional[int] = _data(None, "tokens a text is cut to; null: the most that the model takes", at_least=1)

    # --- augmentation of images ---
    hflip: float = _aug(0.0, "probability of a flip left to right", at_least=0, at_most=1)
    vflip: float = _aug(0.0, "probability of a flip upside down", at_least=0, at_most=1)
    random_crop_padding: int = _aug(0, "pixels of zeros around the image before a crop of its own size at a random place", at_least=0)
    random_crop_scale: Optional[list[float]] = _aug(None, "least and largest part of the area that a random crop takes before it is resized, such as [0.08, 1]; null: no such crop")
    random_crop_ratio: list[float] = _aug([3 / 4, 4 / 3], "least and largest width / height of that crop")
    auto_augment: Optional[str] = _aug(None, "timm's policy strings for RandAugment, AutoAugment, AugMix and 3-Augment: rand-m9-mstd0.5-inc1, original, augmix-m3-w3, 3a, ...")
    color_jitter: float = _aug(0.0, "strength of random brightness, contrast and saturation", at_least=0)
    grayscale_prob: float = _aug(0.0, "probability of a grey image", at_least=0, at_most=1)
    gaussian_blur_prob: float = _aug(0.0, "probability of a blur", at_least=0, at_most=1)
    random_erasing: float = _aug(0.0, "probability that a rectangle of the image is erased", at_least=0, at_most=1)
    random_erasing_mode: str = _aug("const", "what the rectangle is filled with: the mean colour, one random colour, or a random colour a pixel", choices=("const", "rand", "pixel"))
    random_erasing_count: int = _aug(1, "most rectangles an image", at_least=1)
    mixup_alpha: float = _aug(0.0, "mixup with weights from Beta(alpha, alpha), within a micro-batch; 0: none", at_least=0)
    cutmix_alpha: float = _aug(0.0, "the same for cutmix", at_least=0)
    mixup_prob: float = _aug(1.0, "probability that a micro-batch is mixed", at_least=0, at_most=1)
    mixup_switch_prob: float = _aug(0.5, "probability of cutmix where mixup is set too", at_least=0, at_most=1)
    mixup_mode: str = _aug("batch", "what the weights are drawn for: each batch, pair or sample", choices=("batch", "pair", "elem"))
    augment_repeats: int = _aug(1, "times an example is in its batch, differently augmented each time; a pass then visits one in so many of the examples", at_least=1)

    # --- model ---
    model: str = _model("linear/no_bias", "family and name: linear, linear/no_bias, tiny/lenet, tiny/resnet_<depth>, tiny/vgg_<depth>, tiny/wrn_<depth>_<width>, timm/<name>, clip/<name>, clip_zeroshot/<name>, hf/<name or path>, python/<module>:<callable>")
    model_pretrained: bool = _model(False, "start from the family's pretrained weights (timm, clip, hf)")
    model_head_init: Optional[str] = _model(None, "reset the last layer: zero, or rand (as torch does); null: leave it as the family makes it", choices=("zero", "rand"))
    model_output_dim: Optional[int] = _model(None, "number of outputs; null: the number of classes, 1 in regression", at_least=1)
    model_input_shape: Optional[list[int]] = _model(None, "shape each sample is viewed as, such as [1, 28, 28]; null: the data's own")
    model_kwargs: dict[str, Any] = _model({}, "further arguments for the model's constructor (timm, clip, hf, python), such as {drop_rate: 0.1, drop_path_rate: 0.1}")
    model_freeze: Optional[str] = _model(None, "what is not trained: backbone (all but the last layer), or a regular expression that parameters' names start with; null: nothing")

    # --- training ---
    loss: str = _train("log", "log = xentropy: cross entropy; mse = square: mean squared error, on one-hot targets in classification", choices=("log", "xentropy", "mse", "square"))
    label_smoothing: float = _train(0.0, "part of the target that is spread over all classes in training, not in evaluation", at_least=0, at_most=1)
    batch_size: int = _train(100, "samples of an optimizer step", at_least=1)
    grad_accum_steps: int = _train(1, "parts a batch is cut into, one after another through the model; it saves memory and leaves the gradient as it is", at_least=1)
    train_length: int = _train(100, "length of the run, in train_length_unit; 0: evaluate the initial model", at_least=0)
    train_length_unit: str = _train("epoch", "unit of train_length", choices=("epoch", "step", "sample"))
    steps_per_epoch: Optional[int] = _train(None, "evaluate every so many optimizer steps; null: after each pass over the data", at_least=1)
    samples_per_epoch: Optional[int] = _train(None, "the same in samples: every ceil(samples_per_epoch / batch_size) optimizer steps", at_least=1)
    optim_alg: str = _train("sgd", "sgd (Nesterov's if momentum > 0), adam, adamw, amsgrad, amsgradw, timm/<name>, python/<module>:<callable>")
    base_lr: float = _train(1.0, "learning rate before the schedule", at_least=0)
    lr_schedule: str = _train("constant", "constant, cosine, poly_<power>, step_<t>_<factor> (every t), step_<t1>,<t2>_<factor> (at each); t in train_length_unit")
    warmup_steps: int = _train(0, "optimizer steps over which the learning rate rises linearly from zero", at_least=0)
    momentum: Any = _train(0.9, "momentum of sgd; beta1, or 'beta1,beta2', of the adam family")
    weight_decay: float = _train(0.0, "weight decay of parameters with two or more dimensions", at_least=0)
    weight_decay_biases: float = _train(0.0, "weight decay of parameters with one dimension: biases and normalisation", at_least=0)
    layer_decay: Optional[float] = _train(None, "factor of the learning rate from each layer to the one before it; null: one rate for all", above=0, at_most=1)
    ada_eps: float = _train(1e-8, "epsilon of the adam family", above=0)
    averaging: Optional[str] = _train(None, "average of the iterates: poly_<eta> puts weight (eta+1)/(eta+t) on iterate t, ema_<decay> keeps decay of the old average; null: none")
    averaging_buffers: str = _train("copy", "buffers of the average (batch-norm statistics): copy the newest, average them, or recompute them over the train split before each evaluation", choices=("copy", "average", "recompute"))
    max_allowed_loss: float = _train(1e6, "a larger train loss, or one that is not finite, ends the run as diverged", above=0)

    # --- evaluation ---
    evaluate: Optional[str] = _eval(None, "what is evaluated: the last iterate, the average, or both; null: both if there is an average", choices=("last", "av", "both"))
    eval_batch_size: Optional[int] = _eval(None, "samples of an evaluation batch; null: the larger of batch_size_accum and 256", at_least=1)
    save_best_checkpoint: bool = _eval(False, "keep the weights of the best epoch in best_checkpoint.pt")
    best_checkpoint_metric: str = _eval("test/.*/accuracy", "regular expression for the stats columns that say which epoch is best; of several matches the best counts")
    best_checkpoint_mode: str = _eval("max", "whether the best value is the largest or the smallest", choices=("max", "min"))
    early_stopping_patience: Optional[int] = _eval(None, "stop after so many epochs in a row in which best_checkpoint_metric has not improved; null: never", at_least=1)

    # --- filled in by the program ---
    host_name: Optional[str] = _filled(None, "machine the experiment ran on")
    data_n_examples: Optional[int] = _filled(None, "examples in the train split")
    data_split_sizes: Optional[dict[str, int]] = _filled(None, "examples in each split")
    data_n_classes: Optional[int] = _filled(None, "number of classes; null in regression")
    batch_size_accum: Optional[int] = _filled(None, "samples that go through the model at once: batch_size / grad_accum_steps, rounded up")
    model_n_parameters: Optional[int] = _filled(None, "parameters of the model")
    model_n_trained: Optional[int] = _filled(None, "parameters that are trained: not frozen")
    model_flops: Optional[int] = _filled(None, "floating-point operations of a forward pass on one sample, a multiply-add as two; null: not counted")
    git_commit: Optional[str] = _filled(None, "commit of the code, with '-dirty' if files differ from it")
    package_versions: Optional[dict[str, str]] = _filled(None, "versions of the packages that make the numbers")
    # fmt: on


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
FILLED = frozenset(name for name, f in FIELDS.items() if f.metadata["section"] == "Filled in by the program")
# Where a run writes, how often, and where its data lie: not what it computes.
_CHANGES_NO_NUMBER = frozenset(
    [
        "output_dir",
        "resume",
        "checkpoint_every_seconds",
        "log_interval",
        "log_interval_eval",
        "log_to_stdout",
        "save_freq",
        "save_best_checkpoint",
        "device",
        "multi_gpu",
        "num_workers",
        "data_dir",
        "data_download",
        "image_memory_gb",
    ]
)
# Decided by the program where they are null: such a null goes with whatever was decided.
_DECIDED = frozenset(["seed_model", "seed_training", "model_input_shape", "model_output_dim", "eval_batch_size"])
CHANGES_NUMBERS = tuple(name for name in FIELDS if name not in _CHANGES_NO_NUMBER and name not in FILLED)
_TYPES = typing.get_type_hints(Config)


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a config file, then apply `key=value` overrides; dots reach into dictionaries.

    A file named config.yaml is the record of a run: what the program filled in, and the folder, are
    put aside, so that it can be run again. Raises ConfigError.
    """
    values, places, problems = _read_with_bases(Path(path), ())
    for override in overrides:
        key, equals, text = override.partition("=")
        try:
            if not equals:
                raise ValueError(f"{override!r} is not of the form key=value")
            _set(values, key.strip().split("."), yaml_io.scalar(text))
            places[key.split(".")[0].strip()] = "command line"
        except ValueError as error:
            problems.append(f"command line: {error}")
    try:
        config = build(values, lambda key: places.get(key, str(path)))
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return config


def build(values: Mapping[str, Any], where: Callable[[str], str] = lambda key: "config") -> Config:
    """A checked Config from plain values; options that are not named keep their defaults.

    `where` tells the place of a key for messages, such as `cfg.yaml:3`. Raises ConfigError.
    """
    problems = []
    if "${" in repr(values):
        try:
            values = _interpolated(values)
        except OmegaConfBaseException as error:
            raise ConfigError([f"{where(str(error.key))}: {str(error).splitlines()[0]}"]) from None
    config = Config()
    for key, value in values.items():
        if key not in FIELDS:
            problems.append(f"{where(key)}: unknown option {key!r}{nearest(key)}")
        elif key in FILLED and value is not None:
            problems.append(f"{where(key)}: {key!r} is filled in by the program; remove it")
        else:
            try:
                setattr(config, key, convert(key, value))
            except ValueError as error:
                problems.append(f"{where(key)}: {error}")
    problems += [f"{where(key)}: {message}" for key, message in check(config)]
    if problems:
        raise ConfigError(problems)
    return config


def convert(option: str, value: Any) -> Any:
    """The value as the option's type: 1 as 1.0, the text of a dictionary as the dictionary. Raises ValueError."""
    if option == "data_splits_map":
        return grammar.parse_splits_map(value)
    if option == "momentum":
        grammar.parse_betas(value)
        return value if isinstance(value, str) else float(value)
    if isinstance(value, float) and value.is_integer() and "whole number" in type_name(option):
        value = int(value)  # 1e4 samples
    try:
        # the template is used again and again: only what was set last is read from it
        OmegaConf.update(_template(), option, value, merge=False)
        typed = _template()[option]
    except (OmegaConfBaseException, ValueError):
        text = repr(value)
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ValueError(f"{option}: {shown} is not {type_name(option)}") from None
    return OmegaConf.to_container(typed) if OmegaConf.is_config(typed) else typed


def to_dict(config: Config) -> dict[str, Any]:
    """Every field and its value, as plain data for a YAML file."""
    return dataclasses.asdict(config)


def differences(then: Mapping[str, Any], asked: Config) -> list[str]:
    """The options that change numbers and are not what they were in an earlier config, as `option: old -> new`."""
    now = to_dict(asked)
    return [
        f"{key}: {then[key]} -> {now[key]}"
        for key in CHANGES_NUMBERS
        if key in then and then[key] != now[key] and not (key in _DECIDED and now[key] is None)
    ]


def type_name(key: str) -> str:
    """The type of an option in words, for messages and documents."""
    if key == "momentum":
        return "a number or 'beta1,beta2'"
    hint = _TYPES[key]
    optional = type(None) in typing.get_args(hint)
    if optional:
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    words = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        list[int]: "a list of whole numbers",
        list[float]: "a list of numbers",
    }
    return words.get(hint, "a dictionary") + (" or null" if optional else "")


@functools.cache
def _template() -> Any:
    return OmegaConf.structured(Config)


def _interpolated(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `${other_option}` replaced, other options being as they are set here or by default."""
    everything = OmegaConf.create({**to_dict(Config()), **values})
    resolved = OmegaConf.to_container(everything, resolve=True)
    assert isinstance(resolved, dict)
    return {key: resolved[key] for key in values}


def _read_with_bases(path: Path, trail: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Values of a file on top of those of its bases, the place of each, and the problems found."""
    if path.resolve() in trail:
        raise ConfigError([f"{path}: is its own base"])
    try:
        document = yaml_io.read(path)
    except yaml_io.YamlError as error:
        raise ConfigError([str(error)]) from None
    own = document.data if document.data is not None else {}
    if not isinstance(own, dict) or not all(isinstance(key, str) for key in own):
        raise ConfigError([f"{path}: must hold lines of the form 'option: value'"])
    if "job_details" in own:
        raise ConfigError([f"{path}: is a job file; python submit_multiple.py {path} --local 2 runs it"])
    bases = own.pop("base", [])
    if isinstance(bases, str):
        bases = [bases]
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError([f"{document.where('base')}: base must be a file name or a list of them"])
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    problems = list(document.problems)
    for base in bases:
        base_values, base_places, base_problems = _read_with_bases(path.parent / base, (*trail, path.resolve()))
        values |= base_values
        places |= base_places
        problems += base_problems
    if path.name == "config.yaml":
        own = {key: value for key, value in own.items() if key not in FILLED and key != "output_dir"}
    return values | own, places | {key: document.where(key) for key in own}, problems


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """values[k1][k2]... = value, starting from the default where the file does not set the option."""
    if len(keys) == 1:
        values[keys[0]] = value
        return
    inner = values.get(keys[0])
    if inner is None and keys[0] in FIELDS:
        inner = getattr(Config(), keys[0])
    if keys[0] == "data_splits_map":
        inner = grammar.parse_splits_map(inner)
    if not isinstance(inner, dict):
        raise ValueError(f"{'.'.join(keys)}: {keys[0]!r} is not a dictionary")
    values[keys[0]] = copy.deepcopy(inner)
    _set(values[keys[0]], keys[1:], value)


def nearest(key: str) -> str:
    """`; did you mean ...?` for an option that does not exist; empty if nothing is near."""
    return did_you_mean(str(key), FIELDS)


# --- checks -------------------------------------------------------------------------------------------


def check(config: Config) -> Iterable[tuple[str, str]]:
    """(option, sentence) for everything wrong that can be known without torch and without data."""
    yield from _check_limits(config)
    for option, table in (("dataset", families.DATA), ("model", families.MODELS), ("optim_alg", families.OPTIMIZERS)):
        name = getattr(config, option)
        if message := grammar.problem(lambda text, o=option, t=table: families.find(o, text, t), name):  # type: ignore[misc]
            yield option, message
    if message := grammar.problem(grammar.parse_schedule, config.lr_schedule):
        yield "lr_schedule", message
    if config.averaging is not None and (message := grammar.problem(grammar.parse_averaging, config.averaging)):
        yield "averaging", message
    yield from _check_splits(config)
    yield from _check_images(config)
    yield from _check_together(config)


def _check_limits(config: Config) -> Iterable[tuple[str, str]]:
    for name, f in FIELDS.items():
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
    if config.auto_augment and not re.match(
        r"(rand|augmix|original|originalr|v0|v0r|3a|3aa)(-|$)", config.auto_augment
    ):
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
    if config.layer_decay is not None and config.model.partition("/")[0] in ("linear", "tiny"):
        yield "layer_decay", f"layer_decay: {config.model!r} does not say which parameters make a layer; leave it out"
    if config.optim_alg == "sgd" and isinstance(config.momentum, str) and "," in config.momentum:
        yield "momentum", f"momentum {config.momentum!r} gives two betas, and sgd has one momentum"
    if config.model_input_shape is not None and not (
        config.model_input_shape and all(size >= 1 for size in config.model_input_shape)
    ):
        yield "model_input_shape", f"model_input_shape {config.model_input_shape} must hold positive sizes"
    if config.loss in ("mse", "square") and config.label_smoothing:
        yield "label_smoothing", f"label_smoothing is for loss log, not {config.loss!r}"
    try:
        re.compile(config.model_freeze or "")
    except re.error as error:
        yield "model_freeze", f"model_freeze is neither 'backbone' nor a regular expression: {error}"
    try:
        re.compile(config.best_checkpoint_metric)
    except re.error as error:
        yield "best_checkpoint_metric", f"best_checkpoint_metric is not a regular expression: {error}"
