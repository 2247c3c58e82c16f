"""`python/<module>:<callable>`: the user's own data set.

The callable is called as `callable(split="train", data_dir="data")`, once for each split that the config names, and
returns a map-style torch Dataset: a length, and items (x, y). In classification it has an attribute `classes` (a list)
or `n_classes` (a number), and y is a label from 0.
"""

from __future__ import annotations

from torch.utils.data import Dataset

from src import families
from src.config import Config
from src.data.source import Source, Split
from src.data.splits import named_splits
from src.python_object import call


def load_source(name: str, config: Config) -> Source:
    splits: dict[str, Split] = {}
    for split in named_splits(config):
        splits[split] = call(name, "dataset", split=split, data_dir=config.data_dir)
        if not (hasattr(splits[split], "__len__") and hasattr(splits[split], "__getitem__")):
            raise ValueError(f"dataset 'python/{name}' must return a torch Dataset with __len__ and __getitem__")
    counts = {_count_classes(dataset) for dataset in splits.values()}  # type: ignore[arg-type]
    if len(counts) > 1:
        raise ValueError(f"the splits of dataset 'python/{name}' have different numbers of classes")
    n_classes = counts.pop()
    if n_classes is None and config.loss in families.CROSS_ENTROPY:
        raise ValueError(
            f"dataset 'python/{name}' needs an attribute `classes` or `n_classes`; for regression, set loss: mse"
        )
    return Source(splits, task="regression" if n_classes is None else "classification", n_classes=n_classes)


def _count_classes(dataset: Dataset) -> int | None:
    classes = getattr(dataset, "classes", None)
    return len(classes) if classes is not None else getattr(dataset, "n_classes", None)
