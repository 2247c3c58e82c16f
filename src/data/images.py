"""Images -> what a model gets: one stage an image, one stage a batch.

An image becomes a uint8 tensor (channels, height, width): resized and cropped as the model wants it and, in
training, whatever of timm's augmentation works on single images. Where nothing random is done to it, that is
done once and kept in memory (image_memory_gb). A batch is then flipped, shifted, normalised and mixed on its
device. All random numbers are functions of (seed_training, pass, sample), on every path the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from src import torchvision_cpu
from src.config import Config
from src.data.randomness import seeded, torch_seed
from src.data.source import Batch, Examples, Inputs, Items, describe

_PLACES, _MIXING = 1, 2  # what random numbers are for, beside those of the order and of single images


def image_splits(
    splits: Mapping[str, Dataset], inputs: Inputs, config: Config, n_classes: int, seed: int
) -> dict[str, Examples | Items]:
    """Splits whose items are (PIL image, label) -> splits ready for batches; in memory, the train split first, while
    image_memory_gb allows. Raises ValueError for images that do not fit each other or the model."""
    torchvision_cpu.mend()
    one_size = inputs.size is None and config.image_size is None
    inputs = _decided(inputs, config, splits["train"])
    assert inputs.size is not None and inputs.channels is not None
    free = config.image_memory_gb * 1e9
    ready: dict[str, Examples | Items] = {}
    for name, dataset in splits.items():
        augmented = name == "train" and _augments_single_images(config)
        items = Items(dataset, name, n_classes, sample=_Read(inputs, config if augmented else None, one_size))
        needed = len(items) * inputs.channels * inputs.size[0] * inputs.size[1]
        if not augmented and needed <= free:
            free -= needed
            ready[name] = _decoded(items, (len(items), inputs.channels, *inputs.size))
        else:
            ready[name] = items
        ready[name].transform = (
            TrainTransform(inputs, config, n_classes, len(items), seed) if name == "train" else Normalize(inputs)
        )
    return ready


def _decided(inputs: Inputs, config: Config, train: Dataset) -> Inputs:
    """The model's wishes, with the options that override them, and the first training image's size and channels for the rest."""
    try:
        image = train[0][0]
    except Exception as error:  # any: decoders of images raise what they like
        raise ValueError(f"{describe(train, 0)} cannot be read: {error}") from error
    channels = inputs.channels or (1 if image.mode in ("1", "L", "I", "I;16", "F") else 3)

    def by_channel(option: str, values: tuple[float, ...]) -> tuple[float, ...]:
        asked = getattr(config, option)
        if asked is None:  # of colours: their average for grey images
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


def _decoded(items: Items, shape: tuple[int, ...]) -> Examples:
    """The items as one uint8 tensor of `shape`."""
    x, y = torch.empty(shape, dtype=torch.uint8), torch.empty(shape[0], dtype=torch.int64)
    for i in tqdm(
        range(len(items)), desc=f"decoding {items.split}", unit=" images", leave=False, delay=2, disable=None
    ):
        x[i], y[i] = items[i]
    return Examples(x, y)


# --- one image ----------------------------------------------------------------------------------------


def _augments_single_images(config: Config) -> bool:
    return bool(
        config.random_crop_scale
        or config.auto_augment
        or config.color_jitter
        or config.grayscale_prob
        or config.gaussian_blur_prob
        or config.random_erasing
    )


class _Read:
    """PIL image -> tensor (channels, height, width): uint8, or normalised float32 if parts of it are erased.

    The transforms are timm's; with `config`, those of training. They draw from the global generators, which
    batches.py seeds for each image.
    """

    def __init__(self, inputs: Inputs, config: Config | None, one_size: bool) -> None:
        from timm.data import create_transform

        self.mode = "L" if inputs.channels == 1 else "RGB"
        self.one_size = (inputs.size[1], inputs.size[0]) if one_size and inputs.size else None
        assert inputs.size is not None
        size: dict[str, Any] = {
            "input_size": (inputs.channels, *inputs.size),
            "interpolation": inputs.interpolation,
        }
        *to_size, to_uint8 = create_transform(**size, crop_pct=inputs.crop_pct, use_prefetcher=True).transforms
        self.stages: list[Callable[[Any], Any]] = [*to_size, to_uint8]
        if config is None:
            return
        augmentation: dict[str, Any] = {
            "scale": config.random_crop_scale,
            "ratio": config.random_crop_ratio,
            "hflip": 0.0,  # flips are made for a whole batch
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
        random_crop, augment, to_tensor = create_transform(**size, **augmentation, is_training=True, separate=True)
        self.stages = [*([random_crop] if config.random_crop_scale else to_size), augment, to_tensor]

    def __call__(self, image: Any) -> Tensor:
        if self.one_size and image.size != self.one_size:
            raise ValueError(
                f"it is {image.width} x {image.height} pixels and the first one {self.one_size[0]} x {self.one_size[1]}; "
                "set image_size, to which all are brought"
            )
        image = image if image.mode == self.mode else image.convert(self.mode)
        for stage in self.stages:
            image = stage(image)
        return torch.as_tensor(image)


# --- a batch ------------------------------------------------------------------------------------------


class Normalize:
    """uint8 -> float32 with the inputs' mean and deviation; a batch that is float32 already is left as it is."""

    def __init__(self, inputs: Inputs) -> None:
        self.mean = torch.tensor(inputs.mean).view(-1, 1, 1) * 255
        self.std = torch.tensor(inputs.std).view(-1, 1, 1) * 255

    def __call__(self, x: Tensor, y: Tensor, number: int, ids: Tensor) -> Batch:
        if x.dtype == torch.uint8:
            self._to(x.device)
            x = x.float().sub_(self.mean).div_(self.std)
        return x, y

    def black(self, x: Tensor) -> Tensor:
        """A black pixel (1, channels, 1, 1) for a batch that is uint8, or normalised already."""
        if x.dtype == torch.uint8:
            return x.new_zeros(1, x.shape[1], 1, 1)
        self._to(x.device)
        return (-self.mean / self.std)[None]

    def _to(self, device: torch.device) -> None:
        if self.mean.device != device:
            self.mean, self.std = self.mean.to(device), self.std.to(device)


class TrainTransform:
    """Flips, shifts, normalises and mixes a batch of the train split.

    With mixup or cutmix, y becomes the weights of the classes: float32 (n, n_classes).
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
            x = self._placed(x, self._random(number, x.device)[ids.to(x.device)])
        x, y = self.normalize(x, y, number, ids)
        return x, y if self.mixup is None else self._mixed(x, y, number, int(ids[0]))

    def _random(self, number: int, device: torch.device) -> Tensor:
        """Four uniform numbers for each sample of a pass."""
        if self.numbers[0] != number:
            generator = torch.Generator().manual_seed(torch_seed(self.seed, number, self.n_ids, _PLACES))
            self.numbers = number, torch.rand(self.n_ids, 4, generator=generator).to(device)
        return self.numbers[1]

    def _placed(self, x: Tensor, random: Tensor) -> Tensor:
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

    def _mixed(self, x: Tensor, y: Tensor, number: int, first: int) -> Tensor:
        """Mixes x in place; returns the weights of the classes. timm's Mixup takes an even number of samples."""
        even = len(x) // 2 * 2
        weights = F.one_hot(y, self.mixup.num_classes).float()
        if even:
            with seeded(self.seed, number, first, _MIXING):
                weights[:even] = self.mixup(x[:even], y[:even])[1]
        return weights
