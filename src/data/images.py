"""Images -> the input of a model, in two stages: single images, then batches.

An image becomes a uint8 tensor (channels, height, width), resized and cropped to the form that the model takes; in
training, timm's augmentation of single images is applied too. Without random steps this is done once, and the result
is kept in memory (image_memory_gb). A batch is then flipped, shifted, normalised and mixed on its device. All random
numbers are functions of (seed, pass, sample), so they are the same with and without memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from src.config import Config
from src.data.pixels import is_grey, to_8_bit
from src.data.randomness import seeded, torch_seed
from src.data.source import AugmentationError, Batch, Examples, Inputs, Items, describe
from src.data.timm_posterize import patch_posterize

_SINGLE_IMAGE = (
    "random_crop_scale", "auto_augment", "color_jitter", "grayscale_prob", "gaussian_blur_prob", "random_erasing",
)  # fmt: skip
_PLACEMENT, _MIXING = 1, 2  # keys of random numbers, beside those for the order and for single images


def image_splits(
    splits: Mapping[str, Dataset], inputs: Inputs, config: Config, n_classes: int, seed: int
) -> dict[str, Examples | Items]:
    """Splits with items (PIL image, label) -> splits that batches are made from, in memory while image_memory_gb allows.

    Raises ValueError for images that do not fit each other, the model, or model_input_shape.
    """
    one_size = inputs.size is None and config.image_size is None
    inputs = _complete(inputs, config, splits["train"])
    assert inputs.size is not None and inputs.channels is not None
    shape = (inputs.channels, *inputs.size)
    if config.model_input_shape is not None and tuple(config.model_input_shape) != shape:
        raise ValueError(
            f"model_input_shape {config.model_input_shape}: the images of {config.dataset!r} have shape {list(shape)}; "
            "remove it, and set image_size for another size"
        )
    free = config.image_memory_gb * 1e9
    ready: dict[str, Examples | Items] = {}
    for name, dataset in splits.items():
        augmented = name == "train" and bool(_single_image_options(config))
        items = Items(dataset, name, n_classes, sample=_ToTensor(inputs, config if augmented else None, one_size))
        needed = len(items) * math.prod(shape)
        if not augmented and needed <= free:
            free -= needed
            ready[name] = _decode(items, (len(items), *shape))
        else:
            ready[name] = items
        ready[name].transform = (
            TrainTransform(inputs, config, n_classes, len(items), seed) if name == "train" else Normalize(inputs)
        )
    return ready


def _complete(inputs: Inputs, config: Config, train: Dataset) -> Inputs:
    """`inputs`, overridden by the options of the config; size and channels that are still unknown are those of the first
    training image."""
    try:
        image = train[0][0]
    except Exception as error:  # image decoders raise errors of any type
        raise ValueError(f"{describe(train, 0)} cannot be read: {error}") from error
    channels = inputs.channels or (1 if is_grey(image) else 3)

    def by_channel(option: str, values: tuple[float, ...]) -> tuple[float, ...]:
        asked = getattr(config, option)
        if asked is None:  # grey images get the average over the colours
            return values if len(values) == channels else (sum(values) / len(values),) * channels
        if len(asked) not in (1, channels):
            raise ValueError(f"{option} {asked}: the images have {channels} channels")
        return tuple(asked) * (channels // len(asked))

    return dataclasses.replace(
        inputs,
        size=(config.image_size,) * 2 if config.image_size else inputs.size or (image.height, image.width),
        interpolation=config.image_interpolation or inputs.interpolation,
        crop_pct=config.image_crop_pct or inputs.crop_pct,
        channels=channels,
        mean=by_channel("image_mean", inputs.mean),
        std=by_channel("image_std", inputs.std),
    )


def _decode(items: Items, shape: tuple[int, ...]) -> Examples:
    """All items as one uint8 tensor of `shape`."""
    x, y = torch.empty(shape, dtype=torch.uint8), torch.empty(shape[0], dtype=torch.int64)
    for i in tqdm(
        range(len(items)), desc=f"decoding {items.split}", unit=" images", leave=False, delay=2, disable=None
    ):
        x[i], y[i] = items[i]
    return Examples(x, y)


# --- one image ----------------------------------------------------------------------------------------


def _single_image_options(config: Config) -> dict[str, Any]:
    """The options that are set of those that augment single images."""
    options = {name: getattr(config, name) for name in _SINGLE_IMAGE}
    return {name: value for name, value in options.items() if value}


class _ToTensor:
    """PIL image -> tensor (channels, height, width): uint8, or normalised float32 with random_erasing.

    The transforms are timm's: with `config` those of training, else those of evaluation. They draw from the global
    generators, which batches.py seeds for each image.
    """

    def __init__(self, inputs: Inputs, config: Config | None, one_size: bool) -> None:
        from timm.data import create_transform

        self.grey = inputs.channels == 1
        self.options = {} if config is None else _single_image_options(config)
        self.one_size = (inputs.size[1], inputs.size[0]) if one_size and inputs.size else None
        assert inputs.size is not None
        size: dict[str, Any] = {
            "input_size": (inputs.channels, *inputs.size),
            "interpolation": inputs.interpolation,
        }
        to_fit: dict[str, Any] = {
            "crop_pct": inputs.crop_pct,
            "crop_mode": inputs.crop_mode,
            # with the prefetcher, timm uses the mean for one thing only: as the colour of borders
            "mean": inputs.mean if inputs.fill is None else (inputs.fill,) * len(inputs.mean),
        }
        *to_size, to_uint8 = create_transform(**size, **to_fit, use_prefetcher=True).transforms
        self.stages: list[Callable[[Any], Any]] = [*to_size, to_uint8]
        if config is None:
            return
        augmentation: dict[str, Any] = {
            "scale": config.random_crop_scale,
            "ratio": config.random_crop_ratio,
            "hflip": 0.0,  # TrainTransform flips whole batches
            "color_jitter": config.color_jitter or None,
            "grayscale_prob": config.grayscale_prob,
            "gaussian_blur_prob": config.gaussian_blur_prob,
            "auto_augment": config.auto_augment,
            "mean": inputs.mean,
            "std": inputs.std,
            "re_prob": config.random_erasing,
            "re_mode": config.random_erasing_mode,
            "re_count": config.random_erasing_count,
            "use_prefetcher": not config.random_erasing,  # timm erases after normalising
        }
        patch_posterize()
        try:
            random_crop, augment, to_tensor = create_transform(**size, **augmentation, is_training=True, separate=True)
        except (AssertionError, ValueError) as error:
            raise ValueError(f"auto_augment {config.auto_augment!r}: timm rejects it: {error}") from error
        self.stages = [*([random_crop] if config.random_crop_scale else to_size), augment, to_tensor]

    def __call__(self, image: Any) -> Tensor:
        if self.one_size and image.size != self.one_size:
            raise ValueError(
                f"it has {image.width} x {image.height} pixels, and the first one {self.one_size[0]} x {self.one_size[1]}; "
                "set image_size to resize all"
            )
        image = to_8_bit(image, self.grey)
        try:
            for stage in self.stages:
                image = stage(image)
        except Exception as error:  # augmentations raise errors of any type
            if not self.options:
                raise
            asked = ", ".join(f"{name} {value}" for name, value in self.options.items())
            raise AugmentationError(f"cannot be augmented ({asked}): {type(error).__name__}: {error}") from error
        return torch.as_tensor(image)


# --- a batch ------------------------------------------------------------------------------------------


class Normalize:
    """uint8 -> float32 with the inputs' mean and deviation; a float32 batch is normalised already, and kept."""

    def __init__(self, inputs: Inputs) -> None:
        self.mean = torch.tensor(inputs.mean).view(-1, 1, 1) * 255
        self.std = torch.tensor(inputs.std).view(-1, 1, 1) * 255

    def __call__(self, x: Tensor, y: Tensor, number: int, ids: Tensor) -> Batch:
        if x.dtype == torch.uint8:
            self._to(x.device)
            x = x.float().sub_(self.mean).div_(self.std)
        return x, y

    def black(self, x: Tensor) -> Tensor:
        """A black pixel (1, channels, 1, 1) for a batch that is uint8 or normalised."""
        if x.dtype == torch.uint8:
            return x.new_zeros(1, x.shape[1], 1, 1)
        self._to(x.device)
        return (-self.mean / self.std)[None]

    def _to(self, device: torch.device) -> None:
        if self.mean.device != device:
            self.mean, self.std = self.mean.to(device), self.std.to(device)


class TrainTransform:
    """Flips, shifts, normalises and mixes a batch of the train split.

    With mixup or cutmix, y becomes class weights: float32 (n, n_classes).
    """

    def __init__(self, inputs: Inputs, config: Config, n_classes: int, n_examples: int, seed: int) -> None:
        self.config, self.seed = config, seed
        self.n_ids = n_examples * config.augment_repeats
        self.normalize = Normalize(inputs)
        self.numbers: tuple[int, Tensor] = (-1, torch.empty(0))
        self.mixup: Any = None
        if config.mixup_alpha or config.cutmix_alpha:
            from timm.data import Mixup

            self.mixup = Mixup(
                mixup_alpha=config.mixup_alpha,
                cutmix_alpha=config.cutmix_alpha,
                prob=config.mixup_prob,
                switch_prob=config.mixup_switch_prob,
                mode=config.mixup_mode,
                label_smoothing=0.0,  # the loss does it
                num_classes=n_classes,
            )

    def __call__(self, x: Tensor, y: Tensor, number: int, ids: Tensor) -> Batch:
        if self.config.hflip or self.config.vflip or self.config.random_crop_padding:
            x = self._flip_and_shift(x, self._random(number, x.device)[ids.to(x.device)])
        x, y = self.normalize(x, y, number, ids)
        return x, y if self.mixup is None else self._mix(x, y, number, int(ids[0]))

    def _random(self, number: int, device: torch.device) -> Tensor:
        """Four uniform random numbers for each sample of a pass."""
        if self.numbers[0] != number:
            generator = torch.Generator().manual_seed(torch_seed(self.seed, number, self.n_ids, _PLACEMENT))
            self.numbers = number, torch.rand(self.n_ids, 4, generator=generator).to(device)
        return self.numbers[1]

    def _flip_and_shift(self, x: Tensor, random: Tensor) -> Tensor:
        flip_x, flip_y, at_y, at_x = random.unbind(1)
        x = torch.where((flip_x < self.config.hflip)[:, None, None, None], x.flip(3), x)
        x = torch.where((flip_y < self.config.vflip)[:, None, None, None], x.flip(2), x)
        padding = self.config.random_crop_padding
        if not padding:
            return x
        height, width = x.shape[2:]
        padded = self.normalize.black(x).repeat(len(x), 1, height + 2 * padding, width + 2 * padding)
        padded[:, :, padding:-padding, padding:-padding] = x
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        rows, columns = ((at * (2 * padding + 1)).long() for at in (at_y, at_x))
        return windows[torch.arange(len(x), device=x.device), :, rows, columns]

    def _mix(self, x: Tensor, y: Tensor, number: int, first: int) -> Tensor:
        """Mixes x in place; returns the class weights."""
        even = len(x) // 2 * 2  # timm's Mixup takes an even number of samples
        weights = F.one_hot(y, self.mixup.num_classes).float()
        if even:
            with seeded(self.seed, number, first, _MIXING):
                weights[:even] = self.mixup(x[:even], y[:even])[1]
        return weights
