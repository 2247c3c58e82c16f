"""Texts: what a data family returns, how they become tokens once, and how tokens become batches."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.metadata
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from src.data.files import prepared

# What a tokenizer's configuration says of where it was read from.
_WHENCE = {"is_local", "local_files_only", "name_or_path"}


class Texts(Dataset):
    """Texts, or pairs of them, and labels: items (tuple of one or two texts, label)."""

    def __init__(self, rows: Any, labels: np.ndarray, title: str, cache: Path) -> None:
        self.rows, self.labels, self.title, self.cache = rows, labels, title, cache

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[tuple[str, ...], int]:
        return tuple(text or "" for text in self.rows[index].values()), int(self.labels[index])

    def describe(self, index: int) -> str:
        return f"text {index} of {self.title}"

    def tokenized(self, tokenizer: Any, max_tokens: int | None) -> Tokens:
        """The same as tokens, cut to `max_tokens` (None: the most that the tokenizer's model takes).

        The first call for these texts and this tokenizer writes them to disk; later ones, by any process, read them.
        """
        tokenizer = copy.deepcopy(tokenizer)  # using one changes what it would write to its files
        limit = max_tokens or (tokenizer.model_max_length if tokenizer.model_max_length < 1e9 else None)
        key = hashlib.sha256(
            repr((self.rows._fingerprint, self.rows.column_names, limit, _identity(tokenizer))).encode()
        ).hexdigest()[:32]

        def encode(columns: dict[str, list[str | None]]) -> dict[str, list[list[int]]]:
            texts = [[text or "" for text in column] for column in columns.values()]
            return dict(tokenizer(*texts, truncation=limit is not None, max_length=limit))

        def make(scratch: Path) -> None:
            with quiet():
                self.rows.map(
                    encode,
                    batched=True,
                    remove_columns=self.rows.column_names,
                    cache_file_name=str(scratch / "tokens.arrow"),
                    new_fingerprint=key,
                    desc=f"tokenizing {self.title}",
                )

        from datasets import Dataset as Table

        return Tokens(Table.from_file(str(prepared(self.cache / key, make) / "tokens.arrow")), self.labels, self.title)


class Tokens(Dataset):
    """Items ({"input_ids": int64 tensor (n_tokens,), "attention_mask": the same, ...}, label)."""

    def __init__(self, rows: Any, labels: np.ndarray, title: str) -> None:
        self.rows, self.labels, self.title = rows, labels, title

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], int]:
        row = self.rows[index]
        return {name: torch.tensor(ids, dtype=torch.int64) for name, ids in row.items()}, int(self.labels[index])

    def describe(self, index: int) -> str:
        return f"text {index} of {self.title}"


def padded(tokenizer: Any, texts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `tokenizer.pad` makes of the texts, at a thirtieth of the time: int64 tensors (n, longest of the texts)."""
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    return {
        name: pad_sequence(
            [text[name] for text in texts],
            batch_first=True,
            padding_value=fill.get(name, 0),
            padding_side=tokenizer.padding_side,
        )
        for name in texts[0]
    }


def _identity(tokenizer: Any) -> str:
    """A hash of the files that describe the tokenizer, and of the libraries that it is made with."""
    digest = hashlib.sha256()
    for library in ("transformers", "tokenizers"):
        digest.update(importlib.metadata.version(library).encode())
    with tempfile.TemporaryDirectory() as folder:
        for file in map(Path, sorted(tokenizer.save_pretrained(folder))):
            text = file.read_bytes()
            if file.name == "tokenizer_config.json":
                own = json.loads(text)
                text = repr(sorted((key, own[key]) for key in own.keys() - _WHENCE)).encode()
            digest.update(text)
    return digest.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only errors of datasets are shown, and its progress bars only in a terminal."""
    import datasets

    logger, were_off = logging.getLogger("datasets"), datasets.are_progress_bars_disabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not were_off:
            datasets.enable_progress_bars()
