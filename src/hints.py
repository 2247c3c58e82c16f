"""Hints for error messages: the option that another tool's name stands for, and the known names close to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

# Names of other tools and of habit -> the option here, several joined by "and", or a sentence where there is none.
OTHER_NAMES = {
    "amp": "training is in float32; remove it",
    "fp16": "training is in float32; remove it",
    "bf16": "training is in float32; remove it",
    "precision": "training is in float32; remove it",
    "arch": "model",
    "architecture": "model",
    "base": "a config file takes bases, a job file writes its options out",
    "batch": "batch_size",
    "bs": "batch_size",
    "train_batch_size": "batch_size",
    "per_device_train_batch_size": "batch_size",
    "val_batch_size": "eval_batch_size",
    "test_batch_size": "eval_batch_size",
    "beta": "momentum",
    "beta1": "momentum",
    "beta2": "momentum",
    "betas": "momentum",
    "checkpoint_dir": "output_dir",
    "criterion": "loss",
    "data": "dataset",
    "data_path": "data_dir",
    "dropout": "model_kwargs",
    "early_stopping": "early_stopping_patience",
    "ema": "averaging",
    "ema_decay": "averaging",
    "epoch": "train_length",
    "epochs": "train_length",
    "max_epochs": "train_length",
    "n_epochs": "train_length",
    "num_epochs": "train_length",
    "num_train_epochs": "train_length",
    "max_steps": "train_length and train_length_unit",
    "steps": "train_length and train_length_unit",
    "eps": "ada_eps",
    "folds": "cv_folds",
    "gradient_accumulation_steps": "grad_accum_steps",
    "accumulate_grad_batches": "grad_accum_steps",
    "grad_clip": "gradients are not clipped; remove it",
    "clip_grad_norm": "gradients are not clipped; remove it",
    "gpu": "device",
    "gpus": "device",
    "lr": "base_lr",
    "learning_rate": "base_lr",
    "mixup": "mixup_alpha",
    "cutmix": "cutmix_alpha",
    "n_workers": "num_workers",
    "workers": "num_workers",
    "name": "output_dir",
    "out_dir": "output_dir",
    "save_dir": "output_dir",
    "network": "model",
    "opt": "optim_alg",
    "optim": "optim_alg",
    "optimizer": "optim_alg",
    "patience": "early_stopping_patience",
    "pretrained": "model_pretrained",
    "random_state": "seed_model and seed_training",
    "seed": "seed_model and seed_training",
    "sched": "lr_schedule",
    "schedule": "lr_schedule",
    "scheduler": "lr_schedule",
    "lr_scheduler": "lr_schedule",
    "smoothing": "label_smoothing",
    "split": "data_splits_map",
    "splits": "data_splits_map",
    "threads": "num_threads",
    "warmup": "warmup_steps",
    "warmup_epochs": "warmup_steps",
    "wd": "weight_decay",
}


def did_you_mean(word: str, known: Iterable[str], n: int = 1, others: Mapping[str, str] | None = None) -> str:
    """`; did you mean 'a' or 'b'?` with up to n known names; empty if none is close.

    Close is a name that extends the word after a dot (rcv1: rcv1.binary), else one with a similar spelling. `others`
    are names that mean a known one, in OTHER_NAMES's form, and come first.
    """
    if other := (others or {}).get(word.lower()):
        named = other.split(" and ")
        is_sentence = " " in named[0]
        return f"; {other}" if is_sentence else f"; did you mean {' and '.join(map(repr, named))}?"
    names = list(known)
    extensions = [name for name in names if name.startswith(f"{word}.")]
    close = extensions[:n] or difflib.get_close_matches(word, names, n=n)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def unknown_option(key: object, options: Iterable[str]) -> str:
    """What is wrong with a key that is no option, and which option may be meant."""
    return f"unknown option {key!r}{did_you_mean(str(key), options, others=OTHER_NAMES)}"
