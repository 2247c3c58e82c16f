"""The twelve cases of compare.py: small seeded runs, on data that are made here.

Together they use every family of data and of models, and each part of the loop whose numbers are easily changed.
Learning rates are small where a ReLU beside batch norm would let rounding errors grow, so that a CPU with other
instructions comes to nearly the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMON = {"seed_model": 1, "seed_training": 2, "num_threads": 1, "num_workers": 0, "device": "cpu"}


@dataclass(frozen=True)
class Case:
    """`make(stack, folder)` makes the data in `folder` and returns the options of the run, on top of COMMON.

    `stack` closes what must stay open during the run.
    """

    covers: str  # data; model; what else
    make: Callable[[ExitStack, Path], dict[str, Any]]
    broken_after: tuple[int, ...] = ()  # epochs after which the caller breaks out of the run and resumes it
    n_signals: int = 0  # stop signals that the model sends; the run is resumed after each
    command: bool = False  # runs in a process of its own, by `python train.py`


def _libsvm_average(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from sklearn.datasets import dump_svmlight_file, load_breast_cancer

    dump_svmlight_file(*load_breast_cancer(return_X_y=True), str(folder / "cancer.svm"))
    return {
        "dataset": f"libsvm/{folder / 'cancer.svm'}",
        "data_splits_map": {"train": "train[:60%]", "val": "train[60%:80%]", "test": "train[80%:]"},
        "model": "linear", "batch_size": 32, "train_length": 4, "base_lr": 1.0, "averaging": "poly_8",
        "lr_schedule": "cosine", "warmup_steps": 15, "weight_decay": 1e-3, "weight_decay_biases": 1e-4,
    }  # fmt: skip


def _sparse(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from sklearn.datasets import dump_svmlight_file, load_digits

    dump_svmlight_file(*load_digits(return_X_y=True), str(folder / "digits.svm"))
    return {
        "dataset": f"libsvm/{folder / 'digits.svm'}", "max_dense_gb": 0,
        "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"}, "model": "linear/no_bias",
        "train_length": 5, "base_lr": 1.0, "lr_schedule": "at_2,4_0.3", "label_smoothing": 0.1,
    }  # fmt: skip


def _recomputed(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return {
        "dataset": "sklearn/digits", "data_splits_map": {"train": "train[:30%]", "test": "train[80%:]"},
        "model": "tiny/resnet_8", "batch_size": 50, "base_lr": 0.003, "averaging": "ema_0.8",
        "averaging_buffers": "recompute", "train_length": 18, "train_length_unit": "step", "steps_per_epoch": 7,
    }  # fmt: skip


def _folds(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return {
        "dataset": "sklearn/diabetes", "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"},
        "cv_folds": 4, "cv_fold": 1, "model": "linear", "loss": "mse", "optim_alg": "amsgradw",
        "momentum": "0.8,0.99", "base_lr": 10.0, "weight_decay": 1e-3, "batch_size": 30, "train_length": 2000,
        "train_length_unit": "sample", "samples_per_epoch": 400, "lr_schedule": "decay_2",
    }  # fmt: skip


def _early_stopping(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return {
        "dataset": "sklearn/wine", "data_splits_map": {"train": "train[:60%]", "test": "train[60%:]"}, "model": "linear",
        "batch_size": 20, "train_length": 50, "base_lr": 3.0, "save_best_checkpoint": True,
        "early_stopping_patience": 2, "best_checkpoint_metric": "test/last/loss", "best_checkpoint_mode": "min",
    }  # fmt: skip


def _resumed(stack: ExitStack, folder: Path) -> dict[str, Any]:
    # 10 forward passes an epoch: 4 is the second half of a step, 13 the first, 20 ends the last step of epoch 2
    return {
        "dataset": "python/noisy_digits:NoisyDigits", "model": "python/noisy_digits:StoppingNet",
        "model_kwargs": {"stop_in": [4, 13, 20]}, "batch_size": 50, "grad_accum_steps": 2, "steps_per_epoch": 5,
        "train_length": 4, "optim_alg": "adamw", "base_lr": 0.01, "weight_decay": 0.01, "warmup_steps": 7,
        "lr_schedule": "cosine", "averaging": "poly_3", "averaging_buffers": "average",
    }  # fmt: skip


def _timm_mixup(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_timm import make_class_folders

    return {
        "dataset": f"timm/folder/{make_class_folders(folder / 'images')}",
        "data_splits_map": {"train": "train", "test": "val"}, "model": "tiny/lenet", "batch_size": 16, "base_lr": 0.01,
        "train_length": 4, "mixup_alpha": 0.5, "cutmix_alpha": 1.0, "mixup_mode": "elem", "mixup_prob": 0.8,
        "auto_augment": "rand-m5-mstd0.5-inc1", "hflip": 0.5, "random_erasing": 0.3, "augment_repeats": 2,
    }  # fmt: skip


def _timm_vit(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_timm import made_cifar

    stack.enter_context(made_cifar(folder, n_train=160, n_test=40))
    return {
        "dataset": "timm/torch/cifar10", "model": "timm/test_vit", "model_kwargs": {"drop_path_rate": 0.1},
        "image_size": 32, "random_crop_padding": 4, "hflip": 0.5, "batch_size": 32, "optim_alg": "timm/lamb",
        "base_lr": 0.003, "layer_decay": 0.8, "train_length": 3, "warmup_steps": 5, "lr_schedule": "every_1_0.5",
    }  # fmt: skip


def _tfds_wrn(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_tfds import make_cifar10

    make_cifar10(folder, 120, 40)
    return {
        "dataset": "tfds/cifar10", "data_splits_map": {"train": "train[:80%]", "val": "train[80%:]", "test": "test"},
        "model": "tiny/wrn_10_1", "batch_size": 32, "base_lr": 0.003, "train_length": 3,
        "random_crop_scale": [0.3, 1.0], "color_jitter": 0.4, "grayscale_prob": 0.2,
    }  # fmt: skip


def _hf_text(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_hf import make_bert, make_texts

    make_bert(folder / "bert", weights=True)
    return {
        "dataset": f"hf/{make_texts(folder / 'films', 96, 40)}", "model": f"hf/{folder / 'bert'}",
        "model_pretrained": True, "batch_size": 16, "optim_alg": "adamw", "base_lr": 0.003, "weight_decay": 0.01,
        "train_length": 3, "warmup_steps": 6, "lr_schedule": "linear",
    }  # fmt: skip


def _clip(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_hf import make_images
    from models.made_clip import make_clip

    make_clip(folder / "clip")
    return {
        "dataset": f"hf/{make_images(folder / 'colours')}", "model": f"clip/local-dir:{folder / 'clip'}",
        "model_pretrained": True, "batch_size": 20, "optim_alg": "adamw", "base_lr": 0.003, "train_length": 4,
        "averaging": "ema_0.7", "evaluate": "av",
    }  # fmt: skip


def _clip_zeroshot(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_timm import make_class_folders
    from models.made_clip import make_clip

    make_clip(folder / "clip")
    images, other = make_class_folders(folder / "images"), make_class_folders(folder / "other", ("test",), 8)
    return {
        "dataset": f"timm/folder/{images}", "model": f"clip_zeroshot/local-dir:{folder / 'clip'}",
        "data_splits_map": {"train": "train", "test": "val", "shifted": f"timm/folder/{other}::test"},
        "model_pretrained": True, "model_freeze": "backbone", "batch_size": 20, "base_lr": 0.003, "train_length": 3,
    }  # fmt: skip


CASES = {
    "libsvm_average": Case("libsvm; linear; poly average, warm-up and cosine", _libsvm_average),
    "sparse": Case("sparse libsvm; linear/no_bias; schedule with drops, label smoothing", _sparse),
    "recomputed": Case("sklearn; tiny/resnet; ema average with recomputed batch norm", _recomputed),
    "folds": Case("sklearn; linear; cross-validation, mse, amsgradw, length in samples", _folds),
    "early_stopping": Case(
        "sklearn; linear; early stopping, best checkpoint; python train.py", _early_stopping, command=True
    ),
    "resumed": Case(
        "python; python; accumulation; stopped by 3 signals and 2 breaks", _resumed, broken_after=(1, 3), n_signals=3
    ),
    "timm_mixup": Case("timm/folder; tiny/lenet; mixup, cutmix, RandAugment, erasing", _timm_mixup),
    "timm_vit": Case("timm/torch; timm; layer decay, drop path, lamb, crops", _timm_vit),
    "tfds_wrn": Case("tfds; tiny/wrn; three splits, resized crops, colour jitter", _tfds_wrn),
    "hf_text": Case("hf, text; hf, pretrained; adamw, warm-up and linear schedule", _hf_text),
    "clip": Case("hf, images; clip, fine-tuned; average alone evaluated", _clip),
    "clip_zeroshot": Case("timm/folder; clip_zeroshot, frozen; split of another data set", _clip_zeroshot),
}
