"""`tfds/<name>`: images and class labels of tensorflow-datasets, by its names.

`tfds/cifar10`, `tfds/cifar10:3.0.2`, `tfds/mnist_corrupted/fog`: read from data_dir, which may be tensorflow-datasets'
own folder; a data set that is missing there is downloaded and prepared, as array_record. Both of its common formats,
array_record and tfrecord, are read by position, each example once and in the order of the files, without TensorFlow.
Only the preparation may need TensorFlow (if the script of the data set encodes images from arrays, as cifar10's does).
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from src.config import Config
from src.data import child
from src.data.files import make_once
from src.data.records import ArrayRecords, Records, TFRecords
from src.data.source import Source
from src.data.splits import named_splits
from src.hints import did_you_mean
from src.optional import require


def load_source(name: str, config: Config) -> Source:
    """Splits of `Images`. Raises ValueError for what a user can fix: an unknown name, no network, no images."""
    tfds = require("tensorflow_datasets", "tensorflow-datasets", f"dataset 'tfds/{name}'")
    info = _builder_with_data(tfds, name, config).info
    image, label = _keys(tfds, name, info)
    classes = info.features[label]
    if classes.num_classes is None:
        raise ValueError(f"dataset 'tfds/{name}' does not declare the number of classes of its {label!r}")
    array_record, tfrecord = tfds.core.FileFormat.ARRAY_RECORD, tfds.core.FileFormat.TFRECORD
    if array_record in info.available_file_formats() and info.file_format != array_record:
        info.set_file_format(array_record, override=True, override_if_initialized=True)
    if info.file_format not in (array_record, tfrecord):
        raise ValueError(
            f"dataset 'tfds/{name}' is stored as {info.file_format.value} in {info.data_dir}, and only array_record and "
            "tfrecord can be read; run `tfds build --file_format array_record`"
        )
    splits = {}
    for split in named_splits(config, list(info.splits)):
        stored = info.splits[split]
        if info.file_format == array_record:
            records: Records = ArrayRecords(stored.file_instructions)
        else:
            records = TFRecords([Path(path) for path in stored.filepaths], stored.shard_lengths)
        splits[split] = Images(records, image, label, stored.shard_lengths, f"split {split!r} of tfds/{name}")
    return Source(splits, n_classes=classes.num_classes, class_names=list(classes.names), kind="image")  # type: ignore[arg-type]


class Images(Dataset):
    """Items (PIL image, label) of a split; an image is decoded when its item is read."""

    def __init__(self, records: Records, image: str, label: str, shard_lengths: Sequence[int], where: str) -> None:
        self.records, self.image, self.label, self.where = records, image, label, where
        self.shard_lengths = list(shard_lengths)  # examples in each file, for a slice such as train[2shard]

    def __len__(self) -> int:
        return sum(self.shard_lengths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        features = self._features(index)
        image = Image.open(io.BytesIO(features[self.image].bytes_list.value[0]))
        image.load()
        return image, features[self.label].int64_list.value[0]

    @cached_property
    def labels(self) -> np.ndarray:
        """All labels, int64. This reads every record, but decodes no image."""
        from tqdm import tqdm

        indices = tqdm(range(len(self)), desc=f"labels of {self.where}", disable=len(self) < 100_000)
        return np.fromiter((self._features(index)[self.label].int64_list.value[0] for index in indices), np.int64)

    def describe(self, index: int) -> str:
        return f"record {index} of {self.where}"

    def _features(self, index: int) -> Any:
        from tensorflow_datasets.proto import tf_example_pb2

        return tf_example_pb2.Example.FromString(self.records[index]).features.feature


def _keys(tfds: Any, name: str, info: Any) -> tuple[str, str]:
    """The names of the image feature and the label feature: the supervised keys, or else the only ones of their kinds."""
    features = info.features if isinstance(info.features, tfds.features.FeaturesDict) else {}
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    found = []
    for kind in kinds:
        keys = [key for key in features if isinstance(features[key], kind)]
        supervised = [key for key in keys if key in (info.supervised_keys or ())]
        found.append(supervised or keys)
    if not all(len(keys) == 1 for keys in found) or features[found[0][0]].np_dtype != np.uint8:
        has = ", ".join(f"{key} ({type(features[key]).__name__})" for key in sorted(features)) or "no named features"
        raise ValueError(
            f"dataset 'tfds/{name}' is not image classification: it has {has}, "
            "and one Image of 8 bits and one ClassLabel are needed"
        )
    return found[0][0], found[1][0]


# --- download and preparation -------------------------------------------------------------------------


def _builder_with_data(tfds: Any, name: str, config: Config) -> Any:
    """tensorflow-datasets' builder of a data set in data_dir, which is downloaded if it is missing."""
    builder = _builder(tfds, name, config.data_dir)
    target = Path(builder.data_dir)
    if not target.exists():
        if not config.data_download:
            raise ValueError(
                f"dataset 'tfds/{name}' is not in {target} and data_download is false; {_by_hand(builder)}"
            )
        make_once(target, lambda scratch: child.call(lambda: _download_and_prepare(tfds, name, builder, scratch)))
        builder = _builder(tfds, name, config.data_dir)
    if not builder.info.splits:
        raise ValueError(f"{target} is not a complete data set; delete it to download it again")
    return builder


def _builder(tfds: Any, name: str, data_dir: str | Path) -> Any:
    if re.match(r"\w+:(?!experimental_latest)[A-Za-z]", name):  # tfds would ask the namespace's site at once
        raise ValueError(f"dataset 'tfds/{name}': namespaces are not supported; Hugging Face's data sets are hf/<name>")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        names = tfds.list_builders(with_community_datasets=False)
        hint = did_you_mean(re.split("[/:]", name)[0], names, n=3)
        raise ValueError(
            f"dataset 'tfds/{name}' is neither known to tensorflow-datasets nor in {data_dir}{hint}"
        ) from None
    except (ValueError, AssertionError) as error:  # about the version or the configuration
        reason = re.sub(r"^Failed to construct dataset .*?}\": ", "", " ".join(str(error).split()))
        if reason.startswith("BuilderConfig"):  # it lists only those that are spelt alike
            known = ", ".join(tfds.builder_cls(re.split("[/:]", name)[0]).builder_configs) or "none"
            reason = f"there is no such configuration; known: {known}"
        raise ValueError(f"dataset 'tfds/{name}': {reason}") from None


def _download_and_prepare(tfds: Any, name: str, builder: Any, scratch: Path) -> None:
    """Download and prepare into `scratch`, which becomes the folder of the data set's version. Runs in a child process."""
    from urllib.error import URLError

    from requests.exceptions import RequestException
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # TensorFlow, if the script of the data set uses it, must not take a GPU
    scratch_builder = _builder(tfds, name, scratch / "root")
    try:
        scratch_builder.download_and_prepare(
            download_dir=builder.data_dir_root / "downloads", file_format="array_record"
        )
    except (RequestException, URLError, tfds.download.DownloadError, NonMatchingChecksumError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"dataset 'tfds/{name}' could not be fetched ({reason}); {_by_hand(builder)}") from error
    except ImportError as error:
        raise ValueError(
            f"preparing dataset 'tfds/{name}' needs a package that is not installed ({error}): "
            "pip install -r requirements.txt -r requirements-extras.txt"
        ) from error
    except AssertionError as error:  # files that the user must download, or a version that is too old
        raise ValueError(f"dataset 'tfds/{name}' cannot be prepared: {' '.join(str(error).split())}") from error
    for path in Path(scratch_builder.data_dir).iterdir():
        path.rename(scratch / path.name)
    shutil.rmtree(scratch / "root")


def _by_hand(builder: Any) -> str:
    command = f"tfds build {builder.name} --file_format array_record --data_dir <folder>"
    return f"run `{command}` on a machine with network, and copy its folder to {builder.data_dir}"
