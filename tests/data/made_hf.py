"""Small data sets and models in Hugging Face's own formats, made without a network, that its libraries read as real ones."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "poor", "awful", "dull")
OTHERS = ("the", "film", "book", "was", "a", "very", "story", "with", "and", "people")


def sentences(n: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """n sentences of 5 to 12 words and their labels: 1 if their one telling word is good, 0 if it is bad."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        label = int(rng.integers(2))
        words = list(rng.choice(OTHERS, rng.integers(4, 12)))
        words.insert(int(rng.integers(len(words))), str(rng.choice((BAD, GOOD)[label])))
        texts.append(" ".join(words))
        labels.append(label)
    return texts, labels


def make_texts(folder: Path, n_train: int = 200, n_test: int = 60) -> Path:
    """A folder of Parquet files train.parquet and test.parquet with the columns `text` and `label` (a ClassLabel).

    Use: dataset: hf/<folder>.
    """
    from datasets import ClassLabel, Dataset

    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, n) in enumerate({"train": n_train, "test": n_test}.items()):
        texts, labels = sentences(n, seed)
        table = Dataset.from_dict({"text": texts, "label": labels})
        with _no_progress():
            table = table.cast_column("label", ClassLabel(names=["bad", "good"]))
            table.to_parquet(str(folder / f"{split}.parquet"))
    return folder


def make_rows(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    """A folder of JSON lines, one file a split: `make_rows(folder, train=[{"text": "a", "label": 0}])`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def make_downloaded(data_dir: Path, name: str, subset: str | None = None) -> None:
    """Puts the data of `make_texts` into data_dir as if they had been fetched from the hub as `name`, such as user/films.

    Use: dataset: hf/<name>, or hf/<name>:<subset>.
    """
    kept = data_dir / "hf" / "--".join([*name.split("/"), *filter(None, [subset])])
    from datasets.packaged_modules.parquet.parquet import Parquet

    subset = subset or "default"
    files = make_texts(data_dir / "files")
    builder = Parquet(
        cache_dir=str(data_dir / "scratch"),
        dataset_name=name.split("/")[-1],
        config_name=subset,
        data_files={split: str(files / f"{split}.parquet") for split in ("train", "test")},
    )
    with _no_progress():
        builder.download_and_prepare(str(kept / name.replace("/", "___") / subset / "0.0.0" / "0123456789abcdef"))


def make_images(folder: Path, n_train: int = 60, n_test: int = 20, size: int = 16) -> Path:
    """A folder <split>/<class>/<number>.png of colour images that are mostly red, green or blue.

    Use: dataset: hf/<folder>.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, n in {"train": n_train, "test": n_test}.items():
        for number in range(n):
            colour = number % 3
            pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
            pixels[..., colour] += 100
            file = folder / split / ("red", "green", "blue")[colour] / f"{number:03d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return folder


def make_bert(folder: Path, weights: bool = False, n_labels: int = 2, **fields: Any) -> Path:
    """A BERT of two narrow layers with a WordPiece tokenizer of the words above, and random weights if asked for.

    `fields` are those of BertConfig. Use: model: hf/<folder>.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHERS]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=32).save_pretrained(folder)
    narrow = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 32,
        "num_labels": n_labels,
    }
    config = BertConfig(**narrow | fields)
    if weights:
        _save_weights(BertForSequenceClassification, config, folder)
    else:
        config.save_pretrained(folder)
    return folder


def make_vit(folder: Path, weights: bool = False, n_labels: int = 3, **fields: Any) -> Path:
    """A vision transformer of two narrow layers for 16 x 16 images with its image processor, and random weights if asked for.

    `fields` are those of ViTConfig. Use: model: hf/<folder>.
    """
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    narrow = {
        "image_size": 16,
        "patch_size": 4,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_labels": n_labels,
    }
    config = ViTConfig(**narrow | fields)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]
    size = {"height": config.image_size, "width": config.image_size}
    ViTImageProcessor(size=size, image_mean=mean, image_std=std, resample=2).save_pretrained(folder)
    if weights:
        _save_weights(ViTForImageClassification, config, folder)
    else:
        config.save_pretrained(folder)
    return folder


def _save_weights(kind: Any, config: Any, folder: Path) -> None:
    import torch

    with torch.random.fork_rng(), _no_progress():
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)


@contextlib.contextmanager
def _no_progress() -> Iterator[None]:
    """Hides what datasets and transformers say while they write."""
    import datasets

    level = logging.getLogger("transformers").level
    datasets.disable_progress_bars()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger("transformers").setLevel(level)
        datasets.enable_progress_bars()
