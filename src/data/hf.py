"""`hf/<name or folder>[:<configuration>]`: images or texts with labels, through Hugging Face datasets.

The name is one on the hub (`hf/stanfordnlp/imdb`, `hf/nyu-mll/glue:sst2`), or a folder of Parquet, JSON, CSV or image
files, or a folder that `save_to_disk` wrote. A split that comes class by class, as imdb and image folders do, is
shuffled once, so that every slice has all classes; other splits keep their order. Data are stored as Arrow files under
data_dir/hf, texts also as tokens; once a data set is there, the network is not used again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from src import families, hub
from src.config import Config
from src.data.source import Labelled, Source, Split
from src.data.splits import named_splits
from src.data.texts import Texts, quiet
from src.hints import did_you_mean
from src.optional import require

_LABELS = ("label", "labels", "fine_label", "target", "class", "category", "intent")
_TEXTS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("text1", "text2"),
    ("text",),
    ("sentence",),
    ("content",),
    ("review",),
    ("tweet",),
)


def load_source(name: str, config: Config) -> Source:
    """Images if the data have an image column and `text_columns` is not set, else texts, which are tokenised later.

    Raises ValueError for what a user can fix: data that cannot be fetched or read, columns without a usual name,
    labels that are not classes or are missing.
    """
    require("datasets", "datasets", f"dataset {config.dataset!r}")
    parts = _read(name, config)
    named = named_splits(config, list(parts))
    features = parts[named[0]].features
    images = [column for column, feature in features.items() if type(feature).__name__ == "Image"]
    is_image = bool(images) and config.text_columns is None
    columns = images[:1] if is_image else _text_columns(features, config)
    label = _label_column(features, config, columns)
    labels, class_names = _labels(parts, label, config)
    splits: dict[str, Split] = {}
    for split in named:
        _check_labels(labels[split], split, label, config)
        rows, title = parts[split].select_columns(columns), f"split {split!r} of {config.dataset!r}"
        if is_image:
            splits[split] = Images(rows, labels[split], title)
        else:
            splits[split] = Texts(rows, labels[split], title, Path(config.data_dir) / "hf" / "tokens")
    kind: Literal["image", "text"] = "image" if is_image else "text"
    notes = []
    if class_names[:3] == ["-1", "0", "1"]:
        notes.append(f"-1 in column {label!r} is a class of its own; if it marks missing labels, remove these examples")
    return Source(splits, shuffle="sorted", n_classes=len(class_names), class_names=class_names, kind=kind, notes=notes)


class Images(Labelled):
    """Items (PIL image, label) from a table with one column."""

    def read(self, index: int) -> Any:
        (image,) = self.data[index].values()
        if image is None:
            raise ValueError("it has no image")
        return image

    def describe(self, index: int) -> str:
        from datasets import Image

        (column,) = self.data.column_names
        file = self.data.cast_column(column, Image(decode=False))[index][column]["path"]
        return super().describe(index) + (f" ({file})" if file else "")


# --- columns ------------------------------------------------------------------------------------------


def _text_columns(features: Any, config: Config) -> list[str]:
    if config.text_columns is not None:
        columns = [column.strip() for column in config.text_columns.split(",")]
        _check_columns("text_columns", columns, features, config)
        if len(columns) > 2:
            raise ValueError(f"text_columns {config.text_columns!r} must name one column, or two, separated by a comma")
        return columns
    texts = [
        column for column, feature in features.items() if getattr(feature, "dtype", "") in ("string", "large_string")
    ]
    for usual in _TEXTS:
        if set(usual) <= set(texts):
            return list(usual)
    others = [column for column in texts if column not in _LABELS]
    if len(others) == 1:
        return others
    raise ValueError(
        f"dataset {config.dataset!r} has no image column, and no text column with a usual name; set text_columns to "
        f"one of its columns: {', '.join(features)}"
    )


def _label_column(features: Any, config: Config, used: Sequence[str]) -> str:
    if config.label_column is not None:
        _check_columns("label_column", [config.label_column], features, config)
        return config.label_column
    for usual in _LABELS:
        if usual in features and usual not in used:
            return usual
    classes = [column for column, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    if len(classes) == 1:
        return classes[0]
    raise ValueError(
        f"dataset {config.dataset!r} has no label column with a usual name; set label_column to one of its columns: "
        f"{', '.join(features)}"
    )


def _check_columns(option: str, columns: Sequence[str], features: Any, config: Config) -> None:
    for column in columns:
        if column not in features:
            hint = did_you_mean(column, features) or f"; it has {', '.join(features)}"
            raise ValueError(f"{option}: dataset {config.dataset!r} has no column {column!r}{hint}")


def _labels(parts: dict[str, Any], column: str, config: Config) -> tuple[dict[str, np.ndarray], list[str]]:
    """int64 labels of each split, -1 for a missing label, and the names of the classes.

    If the data set does not declare its classes, they are the sorted values of all its splits, so that they do not
    depend on which splits are used; a split whose labels are all -1 is a split without labels.
    """
    features = {str(part.features.get(column)): part.features.get(column) for part in parts.values()}
    if len(features) > 1:
        raise ValueError(f"the splits of {config.dataset!r} do not agree on the classes in column {column!r}")
    (feature,) = features.values()
    values = {split: part.select_columns([column]).to_pandas()[column] for split, part in parts.items()}
    if type(feature).__name__ == "ClassLabel":
        return {split: series.fillna(-1).to_numpy(np.int64) for split, series in values.items()}, list(feature.names)

    import pandas as pd

    is_regression = config.loss in families.SQUARED_ERROR
    dtype = getattr(feature, "dtype", None)  # of a single value; lists have none
    known: list[Any] = []
    if dtype is not None:
        labelled = [series.dropna() for series in values.values() if not (series == -1).all()]
        known = sorted(pd.concat(labelled or [pd.Series()]).unique())
    if dtype is None or any(isinstance(value, float) and not value.is_integer() for value in known):
        way_out = "hf/ reads no regression, so use python/<module>:<callable>, or set" if is_regression else "set"
        raise ValueError(
            f"column {column!r} of {config.dataset!r} holds {dtype or 'several values a row'}, which are not classes; "
            f"{way_out} label_column to another column"
        )
    codes = {split: pd.Index(known).get_indexer(series) for split, series in values.items()}  # -1 for other values
    return codes, [str(int(value)) if isinstance(value, float) else str(value) for value in known]


def _check_labels(labels: np.ndarray, split: str, column: str, config: Config) -> None:
    missing = np.flatnonzero(labels < 0)
    if len(missing):
        raise ValueError(
            f"{len(missing)} of the {len(labels)} examples in split {split!r} of {config.dataset!r} have no label in column "
            f"{column!r}, the first is example {missing[0]}; use another split, or save the data without them "
            "(filter and save_to_disk of datasets) and name that folder"
        )


# --- reading ------------------------------------------------------------------------------------------


def _read(name: str, config: Config) -> dict[str, Any]:
    """All splits, as memory-mapped tables."""
    import datasets

    path, _, subset = (name, "", "") if Path(name).exists() else name.partition(":")
    folder, cache = Path(path), Path(config.data_dir) / "hf"
    try:
        with quiet():
            if folder.is_file():
                raise ValueError("it is a file; name the folder that contains it")
            if not folder.is_dir():
                return dict(_from_hub(path, subset or None, config))
            with hub.cache_only():
                if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
                    saved = datasets.load_from_disk(path)
                    return dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
                return dict(datasets.load_dataset(path, subset or None, cache_dir=str(cache)))
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"dataset {config.dataset!r} cannot be read: {_reason(error)}") from error


def _from_hub(path: str, subset: str | None, config: Config) -> Any:
    """The data set that the hub has under that name: from data_dir, else from the hub."""
    import datasets
    from huggingface_hub import constants

    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path):  # the form of every name on the hub
        raise ValueError("there is no such folder")
    # one folder per name: in a shared one, a name without configuration finds whatever configuration is there
    cache = Path(config.data_dir) / "hf" / "--".join(filter(None, [*path.split("/"), subset]))
    by_hand = (
        f"copy {cache} from a machine with network, or put the files of {constants.ENDPOINT}/datasets/{path} "
        "in a folder and name it: hf/<folder>"
    )
    try:
        with hub.cache_only():
            return datasets.load_dataset(path, subset, cache_dir=str(cache))
    except (OSError, ValueError) as error:
        if not config.data_download:
            raise ValueError(f"it is not in {cache}, and data_download is false; {by_hand}") from error
    try:
        with hub.without_waiting():
            return datasets.load_dataset(path, subset, cache_dir=str(cache))
    except OSError as error:
        raise ValueError(
            f"there is no such folder, it is not in {cache}, and it could not be fetched ({_reason(error)}); {by_hand}"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of an error of datasets, or of its cause; for an unknown configuration, the known ones."""
    there_are = re.search(r"(?:Available|available configs): (\[.*\])", str(error))
    if there_are:
        names = ", ".join(re.findall(r"'([^']*)'", there_are[1]))
        return f"a configuration must be named after a colon, one of {names}"
    if error.__cause__ is not None and type(error).__name__ == "DatasetGenerationError":
        error = error.__cause__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
