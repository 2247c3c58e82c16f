"""Images on their way to a model: what each option does to a batch, and that a run's numbers depend on nothing else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from data.made_timm import make_class_folders, make_mnist
from helpers import run_command, run_in_parts, stats_without_clock
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from src.config import Config
from src.data import Data, load_data
from src.data.batches import eval_batches, train_batches
from src.data.images import image_splits
from src.data.source import IMAGENET_MEAN, IMAGENET_STD, Inputs, Items
from train import experiment_generator

CPU = torch.device("cpu")
Make = Callable[..., Config]
Batches = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Options for 30 + 30 colour images of 24 x 24 pixels in files, and for 30 + 20 grey ones of 28 x 28."""
    folder = tmp_path_factory.mktemp("images")
    make_class_folders(folder / "colour", n_each=10)
    make_mnist(folder / "grey", n_train=30, n_test=20)
    return {
        "colour": {"dataset": f"timm/folder/{folder}/colour", "data_splits_map": {"train": "train", "test": "val"}},
        "grey": {"dataset": "timm/torch/mnist", "data_dir": str(folder / "grey")},
    }


@pytest.fixture
def colour(images: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return images["colour"]


def loaded(config: Config, inputs: Inputs | None = None) -> tuple[Data, Batches, Tensor]:
    """The data, the micro-batches of the first two optimizer steps, and the images of the test split."""
    data = load_data(config, inputs)
    batches = train_batches(data.splits["train"], config, CPU, seed=0)
    steps = list(itertools.islice(batches, 2))
    batches.close()
    test = torch.cat([x for x, _ in eval_batches(data.splits["test"], 7, CPU, config.num_workers, seed=0)])
    return data, [batch for step in steps for batch in step], test


def unnormalised(x: Tensor) -> Tensor:
    """Values 0 to 255 as they were before the ImageNet normalisation that is the default."""
    n_channels = x.shape[1]
    mean = IMAGENET_MEAN if n_channels == 3 else [sum(IMAGENET_MEAN) / 3]
    std = IMAGENET_STD if n_channels == 3 else [sum(IMAGENET_STD) / 3]
    return (x * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)).mul(255).round()


def last_stats(config: Config) -> pd.Series:
    """The last row that a whole run writes."""
    for stats, _ in experiment_generator(config):
        last = stats.iloc[-1].copy()
    return last


# --- whole runs -----------------------------------------------------------------------------------------


RUN = {"model": "linear", "batch_size": 8, "base_lr": 0.01, "train_length": 3}
IN_BATCHES = {"hflip": 0.5, "vflip": 0.5, "random_crop_padding": 2, "mixup_alpha": 0.2}
IN_IMAGES = {
    "auto_augment": "rand-m9-mstd0.5-inc1", "random_crop_scale": [0.3, 1.0], "random_erasing": 0.5,
    "random_erasing_mode": "pixel", "cutmix_alpha": 1.0, "hflip": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_images_in_memory_give_a_run_the_bytes_of_images_read_by_workers(
    small: Make, images: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    for side, places in {"memory": {}, "workers": {"image_memory_gb": 0, "num_workers": 2}}.items():
        last_stats(small(output_dir=str(tmp_path / side), **RUN, **IN_BATCHES, **images[kind], **places))

    assert stats_without_clock(tmp_path / "memory") == stats_without_clock(tmp_path / "workers")


@pytest.mark.parametrize(
    "options",
    [
        {**IN_BATCHES, "augment_repeats": 2},
        {**IN_BATCHES, "image_memory_gb": 0, "num_workers": 2},
        {**IN_IMAGES, "num_workers": 2},
        {**IN_IMAGES, "num_workers": 0, "model": "tiny/lenet"},
    ],
)
def test_an_augmented_run_that_was_broken_off_amid_a_pass_ends_with_the_same_bytes(
    small: Make, colour: dict[str, Any], tmp_path: Path, options: dict[str, Any]
) -> None:
    options = {**RUN, "steps_per_epoch": 3, "train_length": 2, **colour, **options}  # four steps a pass
    last_stats(small(output_dir=str(tmp_path / "whole"), **options))

    config = small(output_dir=str(tmp_path / "parts"), **options)
    assert run_in_parts(config) > 1
    assert stats_without_clock(tmp_path / "parts") == stats_without_clock(tmp_path / "whole")


def test_label_smoothing_is_for_the_training_loss_only(small: Make, colour: dict[str, Any], tmp_path: Path) -> None:
    # without a step the model stays the same, and `again` is the training split as an evaluation sees it
    options = {**RUN, **colour, "base_lr": 0.0, "train_length": 1}
    options["data_splits_map"] = {"train": "train", "again": "train"}
    hard, smooth = (
        last_stats(small(output_dir=str(tmp_path / str(part)), label_smoothing=part, **options)) for part in (0.0, 0.3)
    )

    assert smooth["again/last/loss"] == hard["again/last/loss"]
    assert hard["train/loss"] == pytest.approx(hard["again/last/loss"], rel=1e-5)
    assert abs(smooth["train/loss"] - hard["train/loss"]) > 1e-3


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_the_accuracy_on_mixed_samples_is_a_part_of_one(
    small: Make, colour: dict[str, Any], tmp_path: Path, mode: str
) -> None:
    stats = last_stats(small(**{**RUN, **colour, "train_length": 1, "mixup_alpha": 1.0, "mixup_mode": mode}))
    assert 0 < stats["train/accuracy"] < 1
    assert stats["train/seen_examples"] == 30


# --- each option ----------------------------------------------------------------------------------------


AUGMENTATIONS = [
    {"hflip": 1.0}, {"vflip": 1.0}, {"random_crop_padding": 4}, {"random_crop_scale": [0.2, 0.5]},
    {"auto_augment": "rand-m9-mstd0.5-inc1"}, {"auto_augment": "original"}, {"auto_augment": "augmix-m3-w3"},
    {"auto_augment": "3a"}, {"color_jitter": 0.4}, {"grayscale_prob": 1.0}, {"gaussian_blur_prob": 1.0},
    {"random_erasing": 1.0}, {"random_erasing": 1.0, "random_erasing_mode": "rand"},
    {"random_erasing": 1.0, "random_erasing_mode": "pixel", "random_erasing_count": 3},
    *({"mixup_alpha": 1.0, "mixup_mode": mode} for mode in ("batch", "pair", "elem")),
    *({"cutmix_alpha": 1.0, "mixup_mode": mode} for mode in ("batch", "pair", "elem")),
    {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "options"),
    [("colour", options) for options in AUGMENTATIONS]
    + [("grey", options) for options in AUGMENTATIONS if "grayscale_prob" not in options],
    ids=str,
)
def test_an_augmentation_changes_training_batches_and_not_the_test_split(
    make_config: Make, images: dict[str, Any], kind: str, options: dict[str, Any]
) -> None:
    _, plain, plain_test = loaded(make_config(batch_size=10, **images[kind]))

    _, augmented, test = loaded(make_config(batch_size=10, **images[kind], **options))
    _, again, _ = loaded(make_config(batch_size=10, image_memory_gb=0, **images[kind], **options))

    for (x, y), (x_plain, y_plain), (x_again, y_again) in zip(augmented, plain, again, strict=True):
        assert (x.shape, x.dtype) == (x_plain.shape, torch.float32)
        assert not torch.equal(x, x_plain)
        assert x.isfinite().all()
        if not {"mixup_alpha", "cutmix_alpha"} & set(options):
            assert torch.equal(y, y_plain)
        assert torch.equal(x, x_again) and torch.equal(y, y_again)
    assert torch.equal(test, plain_test)


# the policies that the text of the option names
DOCUMENTED = Config.__dataclass_fields__["auto_augment"].metadata["meaning"].partition(": ")[2].split(", ")[:-1]


OTHERS = ["rand", "augmix", "originalr", "v0", "v0r"]


@pytest.mark.parametrize(
    ("policy", "n", "channels"),
    [(policy, 3000, [3]) for policy in DOCUMENTED]
    + [(policy, 500, []) for policy in DOCUMENTED]  # grey
    + [(policy, 500, [3]) for policy in OTHERS],
)
def test_a_policy_fails_on_none_of_many_images(make_config: Make, policy: str, n: int, channels: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 12, 12, *channels), dtype=np.uint8)
    config = make_config(auto_augment=policy, batch_size=500)
    given = Given([Image.fromarray(one) for one in pixels])

    train = image_splits({"train": given}, Inputs(), config, n_classes=1, seed=0)["train"]

    batches = train_batches(train, config, CPU, seed=0)
    assert sum(len(y) for step in itertools.islice(batches, n // 500) for _, y in step) == n
    batches.close()


@pytest.mark.parametrize("kind", ["colour", "grey"])
@pytest.mark.parametrize(("option", "dim"), [("hflip", 3), ("vflip", 2)])
def test_a_certain_flip_is_the_mirrored_batch(
    make_config: Make, images: dict[str, Any], kind: str, option: str, dim: int
) -> None:
    _, plain, _ = loaded(make_config(**images[kind]))
    _, flipped, _ = loaded(make_config(**images[kind], **{option: 1.0}))
    for (x, y), (x_flipped, y_flipped) in zip(plain, flipped, strict=True):
        assert torch.equal(x_flipped, x.flip(dim)) and torch.equal(y_flipped, y)


@pytest.mark.parametrize("extra", [{}, {"random_erasing": 1e-12}])  # erasing has images normalised before the crop
def test_a_padded_crop_is_a_window_of_the_image_within_black_pixels(
    make_config: Make, colour: dict[str, Any], extra: dict[str, Any]
) -> None:
    padding = 2
    _, plain, _ = loaded(make_config(**colour))
    _, cropped, _ = loaded(make_config(**colour, random_crop_padding=padding, **extra))

    places = set()
    for x_plain, x in zip(plain[0][0], cropped[0][0], strict=True):
        padded = F.pad(unnormalised(x_plain[None])[0], [padding] * 4)
        height, width = x.shape[1:]
        found = [
            (row, column)
            for row, column in itertools.product(range(2 * padding + 1), repeat=2)
            if torch.equal(padded[:, row : row + height, column : column + width], unnormalised(x[None])[0])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 8  # of 25, for 30 images


def test_a_batch_holds_normalised_pixels(make_config: Make, tmp_path: Path) -> None:
    folder = make_class_folders(tmp_path / "images", splits=("train",), n_each=1)
    pixels = np.asarray(Image.open(folder / "train" / "bee" / "1.png"))
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    options = {"dataset": f"timm/folder/{folder}", "data_splits_map": {"train": "train", "test": "train"}}

    _, batches, test = loaded(make_config(**options, image_mean=mean, image_std=std))

    expected = torch.from_numpy(((pixels / 255 - mean) / std).transpose(2, 0, 1)).float()
    ((x, y), _) = batches
    torch.testing.assert_close(x[y == 1][0], expected, rtol=0, atol=1e-5)
    assert sum(torch.allclose(image, expected, rtol=0, atol=1e-5) for image in test) == 1


WISHES = Inputs(size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3, interpolation="nearest", crop_pct=0.5)


def test_images_are_resized_and_cropped_as_the_model_wants_them(make_config: Make, colour: dict[str, Any]) -> None:
    config = make_config(**colour)
    file = Path(config.dataset.removeprefix("timm/folder/"), "val", "ant", "0.png")

    data, _, test = loaded(config, WISHES)

    image = Image.open(file).resize((32, 32), Image.Resampling.NEAREST).crop((8, 8, 24, 24))
    expected = (torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255 - 0.5) / 0.25
    assert data.input_shape == (3, 16, 16)
    assert sum(torch.allclose(x, expected, rtol=0, atol=1e-5) for x in test) == 1


@pytest.mark.parametrize("augmented", [{}, {"auto_augment": "rand-m9-mstd0.5-inc1"}])
def test_options_go_before_what_the_model_wants(
    make_config: Make, colour: dict[str, Any], augmented: dict[str, Any]
) -> None:
    own = {
        "image_size": 16, "image_mean": [0.5], "image_std": [0.25] * 3, "image_interpolation": "nearest",
        "image_crop_pct": 0.5,
    }  # fmt: skip
    _, wished, wished_test = loaded(make_config(**colour, **augmented), WISHES)
    for inputs in (None, Inputs(size=(20, 20), mean=(0.4,) * 3, std=(0.1,) * 3, interpolation="bilinear", crop_pct=1)):
        _, batches, test = loaded(make_config(**colour, **augmented, **own), inputs)
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(batches, wished, strict=True))
        assert torch.equal(test, wished_test)


def test_grey_images_become_colour_images_for_a_model_that_wants_them(
    make_config: Make, images: dict[str, Any]
) -> None:
    data, ((x, _), *_), _ = loaded(make_config(**images["grey"]), Inputs(channels=3))
    pixels = unnormalised(x)
    assert data.input_shape == (3, 28, 28)
    assert torch.equal(pixels[:, 0], pixels[:, 1]) and torch.equal(pixels[:, 0], pixels[:, 2])


# --- modes of Pillow ------------------------------------------------------------------------------------


class Given(Dataset):
    """The given images, all of class 0."""

    def __init__(self, images: list[Image.Image]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.images[index], 0


def pixels_of(image: Image.Image, config: Config, channels: int | None = None) -> list[int]:
    """The values 0 to 255 of the first pixel of an image, by channel, as a model gets it."""
    train = image_splits({"train": Given([image])}, Inputs(channels=channels), config, n_classes=1, seed=0)["train"]
    x = train[0][0] if isinstance(train, Items) else train.x[0]
    assert isinstance(x, Tensor) and x.dtype == torch.uint8
    return x[:, 0, 0].tolist()


def paletted(transparency: int | bytes | None) -> Image.Image:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 250, 150, 50])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


OF_MODES = {
    "1": (Image.new("1", (4, 4), 1), [255], [255] * 3),
    "L": (Image.new("L", (4, 4), 77), [77], [77] * 3),
    "I;16": (Image.new("I;16", (4, 4), 77 * 257), [77], [77] * 3),
    "I;16 white": (Image.new("I;16", (4, 4), 65535), [255], [255] * 3),
    "I;16B": (Image.new("I;16B", (4, 4), 77 * 256), [77], [77] * 3),
    "I": (Image.new("I", (4, 4), 77 * 257), [77], [77] * 3),
    "F": (Image.new("F", (4, 4), 77.0), [77], [77] * 3),
    "LA": (Image.new("LA", (4, 4), (77, 0)), [77] * 3, [77] * 3),
    "RGB": (Image.new("RGB", (4, 4), (250, 150, 50)), [250, 150, 50], [250, 150, 50]),
    "RGBA": (Image.new("RGBA", (4, 4), (250, 150, 50, 0)), [250, 150, 50], [250, 150, 50]),
    "P": (paletted(None), [250, 150, 50], [250, 150, 50]),
    "P, one transparent": (paletted(1), [250, 150, 50], [250, 150, 50]),
    "P, each by itself": (paletted(bytes([0, 0])), [250, 150, 50], [250, 150, 50]),
    "CMYK": (Image.new("CMYK", (4, 4), (5, 105, 205, 0)), [250, 150, 50], [250, 150, 50]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("memory", [0.0, 2.0])
@pytest.mark.parametrize("mode", OF_MODES)
def test_each_mode_of_an_image_has_a_meaning(make_config: Make, mode: str, memory: float) -> None:
    image, as_it_is, in_colour = OF_MODES[mode]
    config = make_config(image_memory_gb=memory)
    assert pixels_of(image, config) == as_it_is
    assert pixels_of(image, config, channels=3) == in_colour
    luma = round(0.299 * in_colour[0] + 0.587 * in_colour[1] + 0.114 * in_colour[2])
    assert pixels_of(image, config, channels=1) == [luma]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("I", (4, 4), 65536), r"values from 65536 to 65536 in Pillow's mode I, whose range is 0 to 65535"),
        (Image.new("I", (4, 4), -1), r"values from -1 to -1 in Pillow's mode I"),
        (Image.new("F", (4, 4), 300.0), r"values from 300.0 to 300.0 in Pillow's mode F, whose range is 0 to 255"),
        (Image.new("F", (4, 4), float("nan")), r"values from nan to nan in Pillow's mode F"),
        (Image.new("F", (4, 4), 0.9), r"between 0 and 1, and must be between 0 and 255"),
    ],
)
def test_values_outside_the_range_of_a_mode_are_an_error(make_config: Make, image: Image.Image, message: str) -> None:
    with pytest.raises(ValueError, match=f"^item 0 of split 'train' cannot be read: .*{message}"):
        pixels_of(image, make_config())


def test_a_model_tells_apart_16_bit_images_of_different_brightness(small: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, (name, brightness) in itertools.product(("train", "val"), (("dark", 10_000), ("light", 50_000))):
        folder = tmp_path / "images" / split / name
        folder.mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(brightness - 5_000, brightness + 5_000, (8, 8)).astype(np.uint16)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    stats = last_stats(
        small(
            dataset=f"timm/folder/{tmp_path}/images", data_splits_map={"train": "train", "test": "val"},
            train_length=10, base_lr=0.01,
        )
    )  # fmt: skip
    assert stats["test/last/accuracy"] == 1.0


# --- mixing and repeats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 8])
@pytest.mark.parametrize("options", [{"mixup_alpha": 1.0}, {"cutmix_alpha": 1.0, "mixup_mode": "elem"}], ids=str)
def test_batches_of_any_size_are_mixed_into_weights_of_classes(
    make_config: Make, colour: dict[str, Any], batch_size: int, options: dict[str, Any]
) -> None:
    _, plain, _ = loaded(make_config(**colour, batch_size=batch_size))
    _, mixed, _ = loaded(make_config(**colour, batch_size=batch_size, **options))

    for (x, y), (x_plain, y_plain) in zip(mixed, plain, strict=True):
        assert y.shape == (batch_size, 3) and (y >= 0).all()
        torch.testing.assert_close(y.sum(1), torch.ones(batch_size))
        if batch_size % 2:  # the odd one out has no partner
            assert torch.equal(x[-1], x_plain[-1]) and torch.equal(y[-1], F.one_hot(y_plain[-1], 3).float())
        if batch_size > 1:
            assert not torch.equal(x, x_plain)


def test_mixed_images_and_labels_have_the_same_weights(make_config: Make, colour: dict[str, Any]) -> None:
    _, plain, _ = loaded(make_config(**colour, batch_size=10))
    _, mixed, _ = loaded(make_config(**colour, batch_size=10, mixup_alpha=1.0))

    n_told = 0
    for (x, y), (x_plain, y_plain) in zip(mixed, plain, strict=True):
        for i in range(10):
            own, partner = x_plain[i], x_plain[9 - i]
            if y_plain[i] != y_plain[9 - i]:
                weight = y[i, y_plain[i]]
                torch.testing.assert_close(x[i], weight * own + (1 - weight) * partner, rtol=0, atol=1e-4)
                n_told += 1
    assert n_told


def test_a_probability_of_zero_mixes_nothing(make_config: Make, colour: dict[str, Any]) -> None:
    _, plain, _ = loaded(make_config(**colour))
    _, mixed, _ = loaded(make_config(**colour, mixup_alpha=1.0, mixup_prob=0.0))
    for (x, y), (x_plain, y_plain) in zip(mixed, plain, strict=True):
        assert torch.equal(x, x_plain) and torch.equal(y, F.one_hot(y_plain, 3).float())


@pytest.mark.parametrize("memory", [0.0, 2.0])
def test_repeated_examples_are_together_and_each_time_augmented_anew(
    make_config: Make, colour: dict[str, Any], memory: float
) -> None:
    options = {**colour, "batch_size": 6, "image_memory_gb": memory}
    config = make_config(**options, augment_repeats=3, random_crop_padding=8)
    data, _, _ = loaded(config)
    batches = train_batches(data.splits["train"], config, CPU, seed=0)
    one_pass = [batch for step in itertools.islice(batches, 5) for batch in step]
    batches.close()
    alone, _, _ = loaded(make_config(**options, augment_repeats=3))
    batches = train_batches(alone.splits["train"], make_config(**options, augment_repeats=3), CPU, seed=0)
    as_they_are = [batch for step in itertools.islice(batches, 5) for batch in step]
    batches.close()

    assert sum(len(y) for _, y in one_pass) == 30  # of ten examples
    for x, y in as_they_are:
        for copies, labels in zip(x.split(3), y.split(3), strict=True):
            assert torch.equal(copies[0], copies[1]) and torch.equal(copies[0], copies[2])
            assert len(labels.unique()) == 1
    assert len({x.numpy().tobytes() for batch, _ in as_they_are for x in batch}) == 10
    assert len({x.numpy().tobytes() for batch, _ in one_pass for x in batch}) > 25


# --- what cannot be right -------------------------------------------------------------------------------


def test_a_damaged_image_that_a_worker_reads_ends_a_run_with_one_sentence_that_names_it(tmp_path: Path) -> None:
    folder = make_class_folders(tmp_path / "images", n_each=4)
    file = folder / "train" / "bee" / "4.png"
    file.write_bytes(file.read_bytes()[:300])
    spec = {
        "dataset": f"timm/folder/{folder}", "data_splits_map": {"train": "train", "test": "val"}, "model": "linear",
        "output_dir": str(tmp_path / "run"), "train_length": 1, "image_memory_gb": 0, "num_workers": 2,
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))

    done = run_command("train.py", tmp_path / "spec.yaml")

    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert sum(str(file) in line for line in done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("memory", [0.0, 2.0])
def test_images_of_several_sizes_are_answered_with_the_option_that_brings_them_to_one(
    make_config: Make, tmp_path: Path, memory: float
) -> None:
    folder = make_class_folders(tmp_path / "images", n_each=2)
    file = folder / "val" / "bee" / "1.png"
    file.unlink()
    Image.new("RGB", (30, 20)).save(file.with_name("wide.png"))
    options = {
        "dataset": f"timm/folder/{folder}", "data_splits_map": {"train": "train", "test": "val"},
        "image_memory_gb": memory,
    }  # fmt: skip

    with pytest.raises(ValueError, match=r"val/bee/wide.png.*30 x 20.*24 x 24.*image_size"):
        loaded(make_config(**options))

    data, _, _ = loaded(make_config(**options, image_size=16))
    assert data.input_shape == (3, 16, 16)


def test_an_augmentation_that_fails_is_not_blamed_on_the_file(make_config: Make, colour: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"\.png of split 'train' cannot be augmented \(gaussian_blur_prob 1.0\): RuntimeError: .*"
    ):
        loaded(make_config(**colour, gaussian_blur_prob=1.0, image_size=8))  # the blur is wider than the image


@pytest.mark.parametrize("policy", ["3aa", "rand-q5", "augmix-q5", "original-q5"])
def test_a_policy_that_timm_does_not_know_is_one_clear_sentence(
    make_config: Make, colour: dict[str, Any], policy: str
) -> None:
    with pytest.raises(ValueError, match=f"auto_augment '{policy}'"):
        loaded(make_config(**colour, auto_augment=policy))


class Wrong(Dataset):
    """Images of which the one with number 2 is of a class that is not there."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (8, 8)), 5 if index == 2 else 0


@pytest.mark.parametrize("memory", [0.0, 2.0])
def test_a_label_that_is_no_class_is_named_with_its_item_and_split(make_config: Make, memory: float) -> None:
    config = make_config(image_memory_gb=memory, num_workers=2)
    with pytest.raises(ValueError, match=r"^item 2 of split 'train' has label 5, not 0 to 2$"):
        train = image_splits({"train": Wrong()}, Inputs(), config, n_classes=3, seed=0)["train"]
        next(train_batches(train, config, CPU, seed=0))


def test_as_many_means_as_channels_are_asked_for(make_config: Make, images: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"image_mean \[0.1, 0.2, 0.3\].*1 channels"):
        load_data(make_config(**images["grey"], image_mean=[0.1, 0.2, 0.3]))


def test_model_input_shape_is_refused_unless_the_images_have_it(make_config: Make, images: dict[str, Any]) -> None:
    found = load_data(make_config(**images["grey"])).input_shape
    assert load_data(make_config(**images["grey"], model_input_shape=list(found))).input_shape == found
    with pytest.raises(ValueError, match=r"model_input_shape \[784\]: .* \[1, 28, 28\]; remove it, and set image_size"):
        load_data(make_config(**images["grey"], model_input_shape=[784]))
