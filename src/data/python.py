"""`python/<module>:<callable>`: the user's own data set.

The callable is called as `callable(split="train", data_dir="data", **dataset_kwargs)`, once for each split that the
config names; without a parameter `data_dir` it is not given that. It returns a map-style torch Dataset: a length, and items (x, y). In classification it has an attribute `classes` (a list)
or `n_classes` (a number), and y is a label from 0.
"""

from __future__ import annotations

from torch.utils.data import Dataset

from src import families
from src.config import Config
from src.data.source import Source, Split
from src.data.splits import named_splits
from src.python_object import call, taken


def load_source(name: str, config: Config) -> Source:
    for key in ("split", "data_dir"):
        if key in config.dataset_kwargs:
            raise ValueError(f"dataset_kwargs: {key!r} comes from another option; remove it")
    arguments = taken(name, "dataset", {"data_dir": config.data_dir}) | config.dataset_kwargs
    splits: dict[str, Split] = {}
    for split in named_splits(config):
        splits[split] = call(name, "dataset", split=split, **arguments)
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
