"""`sklearn/<name>`: small real data sets that are part of scikit-learn, so nothing is downloaded.

Each has one split, `train`. Digits are images (1, 8, 8) with values in [0, 1].
"""

from __future__ import annotations

import torch

from src.config import Config
from src.data.source import Examples, Source
from src.data.splits import named_splits


def load_source(name: str, config: Config) -> Source:
    from sklearn import datasets

    named_splits(config, ["train"])
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "digits":
        x = x.reshape(-1, 1, 8, 8) / 16  # grey levels are 0 to 16
    examples = Examples(torch.from_numpy(x).float(), torch.from_numpy(y))
    return Source(
        {"train": examples},
        task="regression" if name == "diabetes" else "classification",
        shuffle="always",
        standardize=config.sklearn_standardize and name != "digits",
    )
