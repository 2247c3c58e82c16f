"""When two experiments are the same: a hash over the options that change an experiment's numbers.

Options at their default are excluded, so that a new option changes no hash; so are options that change no number,
such as the output folder or the logging interval. The code is not part of it: config.yaml has the commit.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from src import config

VERSION = 1  # of the rule below; hashes of different rules are never equal
# The options that decide which data and weights are downloaded, and in which form the data are stored.
_FETCHED = (
    *("dataset", "data_dir", "data_splits_map", "data_label_maps", "data_download", "image_size"),
    *("text_columns", "label_column", "text_max_tokens"),
    *("model", "model_pretrained", "model_kwargs", "model_input_shape", "model_output_dim"),
)


def identity(options: Mapping[str, Any]) -> str:
    """`1:<sha256>` for the options of a config; options that are not given have their defaults.

    A null seed is a value like others: two experiments that draw their seeds are the same experiment.
    """
    text = json.dumps(_typed(options, config.CHANGES_NUMBERS))
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()}"


def exactly(options: Mapping[str, Any]) -> str:
    """A text that is the same for two experiments that differ in no option except their folder."""
    return json.dumps(_typed(options, [key for key in config.OPTIONS if key != "output_dir"]))


def needs(options: Mapping[str, Any]) -> str:
    """A text that is the same for two experiments that need the same data and weights."""
    return json.dumps(_typed(options, _FETCHED))


def _typed(options: Mapping[str, Any], keys: Iterable[str]) -> list[tuple[str, str]]:
    """The options among the keys that are not at their default, each with one text for all ways to write its value."""
    texts = {key: _canonical(key, json.dumps(options[key], sort_keys=True)) for key in keys if key in options}
    return sorted((key, text) for key, text in texts.items() if text != _default(key))


@functools.lru_cache(maxsize=100_000)
def _canonical(key: str, value: str) -> str:
    return json.dumps(config.convert(key, json.loads(value)), sort_keys=True)


@functools.cache
def _default(key: str) -> str:
    return _canonical(key, json.dumps(config.DEFAULTS[key]))
