"""`hf/<name or folder>[:<configuration>]`: images or texts with labels, through Hugging Face datasets.

The name is one of the hub's (`hf/stanfordnlp/imdb`, `hf/nyu-mll/glue:sst2`), or a folder of Parquet, JSON, CSV or
image files, or one that `save_to_disk` wrote. A split that comes class by class, as imdb and folders of images do,
is shuffled once, so that any slice has all classes; others stay in their order. What is read is kept as Arrow files
under data_dir/hf, and texts are kept there as tokens; once a data set is there the network is not asked again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from src import hub
from src.config import Config
from src.data.source import Source, Split
from src.data.splits import named_splits, stratified_order
from src.data.texts import Texts, quiet
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
    """Images if the data have an image column (and `text_columns` is not set), else texts, tokenised when asked to be.

    Raises ValueError for what a user can mend: data that cannot be had or read, columns that are not found by
    the usual names, labels that are no classes or are missing.
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
        _refuse_missing(labels[split], split, label, config)
        rows = parts[split].select_columns(columns)
        if _class_by_class(labels[split]):
            order = stratified_order(labels[split], config.data_split_seed)
            rows, labels[split] = rows.select(order), labels[split][order]
        title = f"split {split!r} of {config.dataset!r}"
        splits[split] = (
            Images(rows, labels[split], title)
            if is_image
            else Texts(rows, labels[split], title, Path(config.data_dir) / "hf" / "tokens")
        )
    return Source(splits, n_classes=len(class_names), class_names=class_names, kind="image" if is_image else "text")


# --- the rows -----------------------------------------------------------------------------------------


class Images(Dataset):
    """Items (PIL image as decoded, label)."""

    def __init__(self, rows: Any, labels: np.ndarray, title: str) -> None:
        self.rows, self.labels, self.title = rows, labels, title
        (self.column,) = rows.column_names

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.rows[index][self.column], int(self.labels[index])

    def describe(self, index: int) -> str:
        from datasets import Image

        file = self.rows.cast_column(self.column, Image(decode=False))[index][self.column]["path"]
        return f"image {index} of {self.title}" + (f" ({file})" if file else "")


# --- columns ------------------------------------------------------------------------------------------


def _text_columns(features: Any, config: Config) -> list[str]:
    if config.text_columns is not None:
        columns = [column.strip() for column in config.text_columns.split(",")]
        _refuse_unknown("text_columns", columns, features, config)
        if len(columns) > 2:
            raise ValueError(f"text_columns {config.text_columns!r} must name one column, or two joined by a comma")
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


def _label_column(features: Any, config: Config, taken: Sequence[str]) -> str:
    if config.label_column is not None:
        _refuse_unknown("label_column", [config.label_column], features, config)
        return config.label_column
    for usual in _LABELS:
        if usual in features and usual not in taken:
            return usual
    classes = [column for column, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    if len(classes) == 1:
        return classes[0]
    raise ValueError(
        f"dataset {config.dataset!r} has no label column with a usual name; set label_column to one of its columns: "
        f"{', '.join(features)}"
    )


def _refuse_unknown(option: str, columns: Sequence[str], features: Any, config: Config) -> None:
    for column in columns:
        if column not in features:
            close = difflib.get_close_matches(column, features, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(features)}"
            raise ValueError(f"{option}: dataset {config.dataset!r} has no column {column!r}; {hint}")


def _labels(parts: dict[str, Any], column: str, config: Config) -> tuple[dict[str, np.ndarray], list[str]]:
    """int64 labels of each split, -1 where there is none, and the names of the classes.

    Classes that the data set does not declare are the sorted values of all its splits, so that they do not
    depend on which splits are used; a split whose labels are all -1 is one without labels.
    """
    kinds = {str(part.features.get(column)): part.features.get(column) for part in parts.values()}
    if len(kinds) > 1:
        raise ValueError(f"the splits of {config.dataset!r} do not agree on the classes in column {column!r}")
    (feature,) = kinds.values()
    values = {split: part.select_columns([column]).to_pandas()[column] for split, part in parts.items()}
    if type(feature).__name__ == "ClassLabel":
        return {split: held.fillna(-1).to_numpy(np.int64) for split, held in values.items()}, list(feature.names)

    import pandas as pd

    dtype = getattr(feature, "dtype", None)  # of a single value; lists have none
    known: list[Any] = []
    if dtype is not None:
        known = sorted(
            pd.concat([held.dropna() for held in values.values() if not (held == -1).all()] or [pd.Series()]).unique()
        )
    if dtype is None or any(isinstance(value, float) and not value.is_integer() for value in known):
        raise ValueError(
            f"column {column!r} of {config.dataset!r} holds {dtype or 'several values a row'}, which are no classes; "
            "set label_column to another one"
        )
    codes = {split: pd.Index(known).get_indexer(held) for split, held in values.items()}  # -1 for what is not known
    return codes, [str(int(value)) if isinstance(value, float) else str(value) for value in known]


def _refuse_missing(labels: np.ndarray, split: str, column: str, config: Config) -> None:
    missing = np.flatnonzero(labels < 0)
    if len(missing):
        raise ValueError(
            f"{len(missing)} of the {len(labels)} examples in split {split!r} of {config.dataset!r} have no label in column "
            f"{column!r}, the first is example {missing[0]}; use another split, or save the data without them "
            "(filter and save_to_disk of datasets) and name that folder"
        )


def _class_by_class(labels: np.ndarray) -> bool:
    """Whether all examples of a class stand together, for several classes of several examples."""
    n_classes = len(np.unique(labels))
    return 1 < n_classes < len(labels) and np.count_nonzero(np.diff(labels)) == n_classes - 1


# --- reading ------------------------------------------------------------------------------------------


def _read(name: str, config: Config) -> dict[str, Any]:
    """All splits, as memory-mapped tables."""
    import datasets

    path, _, subset = (name, "", "") if Path(name).exists() else name.partition(":")
    folder, cache = Path(path), Path(config.data_dir) / "hf"
    try:
        with quiet():
            if folder.is_file():
                raise ValueError("it is a file; name the folder that holds it")
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
    """What the hub has under that name: from data_dir, else from the hub."""
    import datasets
    from huggingface_hub import constants

    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path):  # as no name on the hub looks
        raise ValueError("there is no such folder")
    # a folder for each name: in a shared one, a name without configuration would find whichever is there
    cache = Path(config.data_dir) / "hf" / "--".join(filter(None, [*path.split("/"), subset]))
    by_hand = (
        f"copy {cache} from a machine with network, or put the files of {constants.ENDPOINT}/datasets/{path} "
        "in a folder and name that: hf/<folder>"
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
            f"there is no such folder, it is not in {cache} and it could not be fetched ({_reason(error)}); {by_hand}"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of an error of datasets, or of what caused it; of an unknown configuration, those there are."""
    there_are = re.search(r"(?:Available|available configs): (\[.*\])", str(error))
    if there_are:
        names = ", ".join(re.findall(r"'([^']*)'", there_are[1]))
        return f"a configuration must be named after a colon, one of {names}"
    if error.__cause__ is not None and type(error).__name__ == "DatasetGenerationError":
        error = error.__cause__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
