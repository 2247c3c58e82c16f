"""Config: every option of an experiment, its default, its limits and its meaning. Found: what the program adds to it.

Names and defaults are a contract: a new option's default is the behaviour before it existed, and no
default ever changes (tests/released_options.yaml holds the list).
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from src.hints import unknown_option


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


FILLED_IN = "Filled in by the program"

_run = functools.partial(_option, "Run")
_data = functools.partial(_option, "Data")
_model = functools.partial(_option, "Model")
_aug = functools.partial(_option, "Augmentation of images")
_train = functools.partial(_option, "Training")
_eval = functools.partial(_option, "Evaluation")


@dataclass(frozen=True)
class Config:
    """What is asked for: one experiment. `null` (None) means what the option's text says."""

    def __new__(cls, *args: Any, **options: Any) -> Config:
        for name in options:
            if name not in OPTIONS:
                raise TypeError(f"Config: {unknown_option(name, OPTIONS)}")
        return super().__new__(cls)

    # One line an option, however long: it reads as a table. OmegaConf knows Optional[...] for "or null".
    # fmt: off
    # --- run ---
    output_dir: str | None = _run(None, "folder of the experiment; null: a new folder under runs/")
    resume: str = _run("auto", "what to do with a checkpoint in output_dir: resume from it, or never (start over)", choices=("auto", "never"))
    checkpoint_every_seconds: float = _run(600.0, "least seconds between two writes of checkpoint.pt, after a step or at the end of an epoch; 0: at the end of each epoch", at_least=0)
    log_interval: int = _run(10, "optimizer steps between two lines about training in training.log", at_least=1)
    log_interval_eval: int | None = _run(None, "batches between two lines about an evaluation in training.log; null: none", at_least=1)
    log_to_stdout: bool = _run(False, "print the log as well as writing training.log")
    save_freq: int = _run(0, "keep the weights in checkpoint-<last|av>-epoch<N>.pt every so many epochs, and those of the last epoch; 0: never", at_least=0)
    device: str | None = _run(None, "cpu, cuda, cuda:1, ...; null: cuda where there is one, else cpu")
    multi_gpu: bool = _run(True, "use all GPUs that are visible (this version trains on one)")
    num_threads: int = _run(1, "CPU threads of torch; it may change the last digits of results, so it is an option and not the machine's choice", at_least=1)
    num_workers: int = _run(2, "processes that load data which is not held in memory; 0: load in the training process", at_least=0)
    seed_model: int | None = _run(None, "seed of the initial weights; null: drawn once and written to config.yaml", at_least=0)
    seed_training: int | None = _run(None, "seed of the order of the data, augmentation and dropout; null: drawn once and written to config.yaml", at_least=0)

    # --- data ---
    dataset: str = _data("libsvm/a9a", "family and name: libsvm/<name or path>, sklearn/<name>, timm/torch/<name>, timm/folder/<path>, timm/hfds/<name>, tfds/<name>, hf/<name or path>[:config], python/<module>:<callable>")
    dataset_kwargs: dict[str, Any] = _data({}, "further arguments of the data set (python); another one that data_splits_map names does not get them")
    data_dir: str = _data("data", "folder of downloaded data, relative to where the program is started")
    data_download: bool = _data(True, "download data that data_dir does not have")
    data_splits_map: Any = _data({"train": "train", "test": "test"}, "split name: expression such as train[:80%], train[80%:]+test, train[:1000]; `train` is trained on, every other one is evaluated each epoch; <dataset>::<expression> takes it from another data set")
    data_label_maps: dict[str, Any] = _data({}, "split name: which class each label of another data set is, as a list, a dictionary from class name or label, or a YAML or JSON file of one of these")
    data_split_seed: int = _data(0, "seed of the stratified shuffle of data that come as one split", at_least=0)
    libsvm_normalize: bool = _data(True, "scale each row of libsvm data to unit Euclidean norm")
    libsvm_task: str | None = _data(None, "what the labels of libsvm/ data are; null: as libsvmdata knows it, for a local file regression if loss is mse, else classification", choices=("classification", "regression"))
    sklearn_standardize: bool = _data(True, "shift and scale each feature of tabular sklearn data to mean 0 and deviation 1 on the train split")
    max_dense_gb: float = _data(2.0, "sparse data stay sparse if they would take more than this, in GB of float32", at_least=0)

    cv_folds: int | None = _data(None, "cross-validation: cut the train split into so many folds, stratified by label where labels are known, with data_split_seed; null: no", at_least=2)
    cv_fold: int = _data(0, "the fold, from 0, that is held out as the split `val`", at_least=0)
    image_size: int | None = _data(None, "height and width of the images that the model gets; null: as the model wants it (timm, clip, hf), else as the data have it")
    image_mean: list[float] | None = _data(None, "mean of each channel, with values in [0, 1], that is subtracted from images; null: the model's, else ImageNet's")
    image_std: list[float] | None = _data(None, "deviation of each channel that images are divided by; null: the model's, else ImageNet's")
    image_interpolation: str | None = _data(None, "how images are resized; null: as the model wants it, else bicubic", choices=("nearest", "bilinear", "bicubic"))
    image_crop_pct: float | None = _data(None, "part of the resized image that the central crop keeps; null: the model's, else 1", above=0, at_most=1)
    image_memory_gb: float = _data(2.0, "images that are decoded to at most so many GB are kept in memory, on the GPU if there is one; it does not change a number", at_least=0)
    text_columns: str | None = _data(None, "column of the text, or two joined by a comma for pairs (hf); null: found by the usual names")
    label_column: str | None = _data(None, "column of the label (hf); null: found by the usual names")
    text_max_tokens: int | None = _data(None, "tokens a text is cut to; null: the most that the model takes", at_least=1)

    # --- augmentation of images ---
    hflip: float = _aug(0.0, "probability of a flip left to right", at_least=0, at_most=1)
    vflip: float = _aug(0.0, "probability of a flip upside down", at_least=0, at_most=1)
    random_crop_padding: int = _aug(0, "pixels of zeros around the image before a crop of the same size at a random place", at_least=0)
    random_crop_scale: list[float] | None = _aug(None, "least and largest part of the area that a random crop takes before it is resized, such as [0.08, 1]; null: no such crop")
    random_crop_ratio: list[float] = _aug([3 / 4, 4 / 3], "least and largest width / height of that crop")
    auto_augment: str | None = _aug(None, "timm's policy strings for RandAugment, AutoAugment, AugMix and 3-Augment: rand-m9-mstd0.5-inc1, original, augmix-m3-w3, 3a, ...")
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
    model: str = _model("linear/no_bias", "family and name: linear, linear/no_bias, tiny/lenet, tiny/resnet_<depth>, tiny/vgg_<depth>, tiny/wrn_<depth>_<width>[_<dropout>], timm/<name>, clip/<name>, clip_zeroshot/<name>, hf/<name or path>, python/<module>:<callable>")
    model_pretrained: bool = _model(False, "start from the family's pretrained weights (timm, clip, hf)")
    model_head_init: str | None = _model(None, "reset the last layer: zero, or rand (as torch does); null: leave it as the family makes it", choices=("zero", "rand"))
    model_output_dim: int | None = _model(None, "number of outputs; null: the number of classes, 1 in regression", at_least=1)
    model_input_shape: list[int] | None = _model(None, "shape each sample is viewed as, such as [1, 28, 28]; null: the data's own")
    model_kwargs: dict[str, Any] = _model({}, "further arguments for the model's constructor (timm, clip, hf, python), such as {drop_rate: 0.1, drop_path_rate: 0.1}")
    model_freeze: str | None = _model(None, "what is not trained: backbone (all but the last layer), or a regular expression that parameters' names start with; null: nothing")

    # --- training ---
    loss: str = _train("log", "log = xentropy: cross entropy; mse = square: mean squared error, on one-hot targets in classification; python/<module>:<callable>")
    label_smoothing: float = _train(0.0, "part of the target that is spread over all classes in training, not in evaluation", at_least=0, at_most=1)
    batch_size: int = _train(100, "samples of an optimizer step", at_least=1)
    grad_accum_steps: int = _train(1, "parts a batch is cut into, one after another through the model; it saves memory and leaves the gradient as it is", at_least=1)
    train_length: int = _train(100, "length of the run, in train_length_unit; 0: evaluate the initial model", at_least=0)
    train_length_unit: str = _train("epoch", "unit of train_length; samples are counted as they are seen, also in the short last batch of a pass", choices=("epoch", "step", "sample"))
    steps_per_epoch: int | None = _train(None, "evaluate every so many optimizer steps; null: after each pass over the data", at_least=1)
    samples_per_epoch: int | None = _train(None, "the same in samples: every ceil(samples_per_epoch / batch_size) optimizer steps", at_least=1)
    optim_alg: str = _train("sgd", "sgd (Nesterov's if momentum > 0), adam, adamw, amsgrad, amsgradw, timm/<name>, python/<module>:<callable>")
    optim_kwargs: dict[str, Any] = _train({}, "further arguments of the optimizer (timm, python), such as {betas: [0.9, 0.95]}")
    base_lr: float = _train(1.0, "learning rate before the schedule", at_least=0)
    lr_schedule: str = _train("constant", "constant, cosine, linear, decay_<p>, poly_<p>, step_<n>_<factor>, step_<a>,<b>,..._<factor>, every_<t>_<factor>, at_<t1>,<t2>,..._<factor>; see below")
    warmup_steps: int = _train(0, "optimizer steps over which the learning rate rises linearly from zero", at_least=0)
    momentum: Any = _train(0.9, "momentum of sgd; beta1, or 'beta1,beta2', of the adam family")
    weight_decay: float = _train(0.0, "weight decay of parameters with two or more dimensions", at_least=0)
    weight_decay_biases: float = _train(0.0, "weight decay of parameters with one dimension: biases and normalisation", at_least=0)
    layer_decay: float | None = _train(None, "factor of the learning rate from each layer to the one before it; null: one rate for all", above=0, at_most=1)
    ada_eps: float = _train(1e-8, "epsilon of the adam family", above=0)
    averaging: str | None = _train(None, "average of the iterates: poly_<eta> puts weight (eta+1)/(eta+t) on iterate t, ema_<decay> keeps decay of the old average; null: none")
    averaging_buffers: str = _train("copy", "buffers of the average (batch-norm statistics): copy the newest, average them, or recompute them over the train split before each evaluation", choices=("copy", "average", "recompute"))
    max_allowed_loss: float = _train(1e6, "a larger train loss, or one that is not finite, ends the run as diverged", above=0)

    # --- evaluation ---
    evaluate: str | None = _eval(None, "what is evaluated: the last iterate, the average, or both; null: both if there is an average", choices=("last", "av", "both"))
    metrics: list[str] | None = _eval(None, "what is measured besides the loss: accuracy, top<k> such as top5, python/<module>:<callable>; null: accuracy in classification")
    eval_batch_size: int | None = _eval(None, "samples of an evaluation batch; null: the larger of batch_size_accum and 256", at_least=1)
    save_best_checkpoint: bool = _eval(False, "keep the weights of the best epoch in best_checkpoint.pt; switched on at a resume, of the epochs since then")
    best_checkpoint_metric: str = _eval("test/.*/accuracy", "regular expression for the stats columns that say which epoch is best, or a part of their names such as accuracy; of several columns the best counts")
    best_checkpoint_mode: str | None = _eval(None, "whether the best value is the largest or the smallest; null: as the metric has it", choices=("max", "min"))
    early_stopping_patience: int | None = _eval(None, "stop after so many epochs in a row in which best_checkpoint_metric has not improved; null: never", at_least=1)
    # fmt: on


def _found(meaning: str) -> Any:
    return field(metadata=_option(FILLED_IN, None, meaning).metadata)


@dataclass(frozen=True)
class Found:
    """What the program decides where an option is null, and what it finds; config.yaml stores it beside the options."""

    # fmt: off
    # --- decided: options of the same name ---
    output_dir: str
    device: str
    seed_model: int
    seed_training: int
    model_input_shape: list[int]
    model_output_dim: int
    eval_batch_size: int

    # --- found ---
    host_name: str = _found("machine the experiment ran on")
    data_n_examples: int = _found("examples in the train split")
    data_split_sizes: dict[str, int] = _found("examples in each split")
    data_n_classes: int | None = _found("number of classes; null in regression")
    batch_size_accum: int = _found("samples that go through the model at once: batch_size / grad_accum_steps, rounded up")
    model_n_parameters: int = _found("parameters of the model")
    model_n_trained: int = _found("parameters that are trained: not frozen")
    model_flops: int | None = _found("floating-point operations of a forward pass on one sample, a multiply-add as two; null: not counted")
    metric_modes: dict[str, str] = _found("metrics in stats.csv, the loss first, and whether the larger (max) or the smaller value (min) is better")
    git_commit: str | None = _found("commit of the code, with '-dirty' if files differ from it")
    package_versions: dict[str, str] = _found("versions of the packages that make the numbers")
    # fmt: on


OPTIONS = {f.name: f for f in dataclasses.fields(Config)}
# Every field of config.yaml: the options, and behind them what only the program knows.
FIELDS = {**OPTIONS, **{f.name: f for f in dataclasses.fields(Found) if f.name not in OPTIONS}}
FILLED = frozenset(FIELDS) - frozenset(OPTIONS)
# A null here agrees with whatever the program decided.
DECIDED = frozenset(f.name for f in dataclasses.fields(Found)) & frozenset(OPTIONS)
# Where a run writes, how often, and where its data are: not what it computes.
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
CHANGES_NUMBERS = tuple(name for name in OPTIONS if name not in _CHANGES_NO_NUMBER)
_TYPES = typing.get_type_hints(Found) | typing.get_type_hints(Config)


def to_dict(config: Config) -> dict[str, Any]:
    """Every option and its value, as plain data for a YAML file."""
    return dataclasses.asdict(config)


# What a record of an earlier version, which lacks a field, is read as.
DEFAULTS = to_dict(Config()) | dict.fromkeys(FILLED) | {"metric_modes": {"loss": "min", "accuracy": "max"}}


def record(config: Config, found: Found) -> dict[str, Any]:
    """What config.yaml holds: every field, in the order of FIELDS."""
    return to_dict(config) | dataclasses.asdict(found)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The options that change numbers and differ between two records or configs, as `option: then -> now`.

    An option that `now` leaves to the program agrees with what was decided `then`.
    """
    return [
        f"{key}: {then[key]} -> {now[key]}"
        for key in CHANGES_NUMBERS
        if key in then and then[key] != now[key] and not (key in DECIDED and now[key] is None)
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
        list[str]: "a list of names",
    }
    return words.get(hint, "a dictionary") + (" or null" if optional or key in FILLED else "")
