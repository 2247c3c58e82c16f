"""Stand-ins for data sets of tensorflow-datasets: real ones, written by its own writer, with made-up images.

    make_cifar10("data")       # 50,000 + 10,000 images as the published cifar10 3.0.2 has them
    ... dataset: tfds/cifar10  # the published name then reads them, without a network

As in the published data an image is (32, 32, 3) and one of ten classes, with their names. A class is a
direction of stripes and a tint under noise, so that a network can learn it.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.data import child

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def striped_images(n: int, seed: int, size: int = 32, n_classes: int = 10) -> Iterator[tuple[np.ndarray, int]]:
    """n pairs of an image, uint8 (size, size, 3), and its class; as many of each class as n allows."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] * 2 * np.pi / size
    for index in range(n):
        label = index % n_classes
        angle = np.pi * label / n_classes
        wave = np.sin(3 * (np.cos(angle) * rows + np.sin(angle) * columns) + rng.uniform(0, 2 * np.pi))
        tint = np.cos(2 * np.pi * (label / n_classes + np.arange(3) / 3))
        clean = 128 + 40 * wave[:, :, None] + 15 * tint
        yield np.clip(clean + rng.normal(0, 40, clean.shape), 0, 255).astype(np.uint8), label


def png(image: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def make_cifar10(
    data_dir: str | Path,
    n_train: int = 50_000,
    n_test: int = 10_000,
    file_format: str = "array_record",
    n_shards: int | None = None,
) -> Path:
    """Write a stand-in for cifar10 3.0.2 into data_dir/cifar10/3.0.2; returns that folder.

    file_format: array_record, which needs no TensorFlow, or tfrecord, which needs it. n_shards: files a split;
    None: as tensorflow-datasets finds right. 60,000 images take about 30 s.
    """
    import tensorflow_datasets as tfds

    # not registered, so that the published data set of this name is what reads it
    class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("3.0.2")
        name = "cifar10"

        def _info(self) -> Any:
            features = {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(names=CIFAR10_CLASSES),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {
                "train": self._generate_examples("train", n_train, 0),
                "test": self._generate_examples("test", n_test, 1),
            }

        def _generate_examples(self, split: str, n: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
            for index, (image, label) in enumerate(striped_images(n, seed)):
                key = f"{split}_{index:05d}"
                yield key, {"id": key, "image": io.BytesIO(png(image)), "label": label}

    builder = Cifar10(data_dir=data_dir)
    shards = tfds.download.DownloadConfig(num_shards=n_shards)
    # in a process of its own, because array_record's threads would break later forks of this one
    child.call(lambda: builder.download_and_prepare(download_config=shards, file_format=file_format))
    return Path(builder.data_dir)


@functools.cache
def register_stripes() -> None:
    """Make `tfds/striped_squares` a known data set that is not prepared yet: grey 8 x 8 images of two classes.

    Each preparation adds a line to <data_dir>/downloads/preparations.
    """
    import tensorflow_datasets as tfds

    class StripedSquares(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "picture": tfds.features.Image(shape=(8, 8, 1)),
                "kind": tfds.features.ClassLabel(names=["flat", "steep"]),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            downloads = Path(dl_manager.download_dir)
            downloads.mkdir(parents=True, exist_ok=True)
            with (downloads / "preparations").open("a") as file:
                file.write("one\n")
            return {"train": self._generate_examples(40, 0), "validation": self._generate_examples(20, 1)}

        def _generate_examples(self, n: int, seed: int) -> Iterator[tuple[int, dict[str, Any]]]:
            for index, (image, label) in enumerate(striped_images(n, seed, size=8, n_classes=2)):
                yield index, {"picture": io.BytesIO(png(image[:, :, 0])), "kind": label}
