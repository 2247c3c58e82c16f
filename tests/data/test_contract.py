"""What items, batches and a model's outputs must look like: each error names the item and the way out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from helpers import run_command

from src.config import Config
from src.training.losses import build_loss
from train import experiment_generator

DATA = """
import numpy as np
import torch
from PIL import Image

X = torch.ones(4)

class Data:
    n_classes, n, bad = 3, 12, 0

    def __init__(self, split, data_dir):
        pass

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return self.item(index) if index == self.bad else (X * index, index % 3)

def data(of_item, bad=0, n_classes=3):
    return type("Own", (Data,), {"item": lambda self, index: of_item(index), "bad": bad, "n_classes": n_classes})

three = data(lambda i: (X, 1, "file.png"))
dictionary = data(lambda i: {"image": X, "label": 1})
picture = data(lambda i: (Image.new("L", (8, 8)), 1))
text = data(lambda i: ("a text", 1))
nested = data(lambda i: ((X, X), 1))
whole = data(lambda i: (X.long(), 1))
boolean = data(lambda i: (X.bool(), 1))
one_hot = data(lambda i: (X, torch.tensor([0, 1, 0])))
long_label = data(lambda i: (X, torch.tensor([1])))
named_label = data(lambda i: (X, "cat"))
half = data(lambda i: (X, 0.5), bad=7)
missing_key = data(lambda i: {}["b"], bad=7)
ragged = data(lambda i: (torch.ones(5), 1), bad=7)

class Targets(Data):
    n_classes = None

    def __getitem__(self, index):
        return torch.tensor([index / 10, 1.0, 0.0]), torch.tensor([index / 10, 1 - index / 10])

class Fine(Data):
    bad = None

class Tokens(Fine):
    def __getitem__(self, index):
        return torch.full((5,), index % 3), index % 3

class Bag(torch.nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.layer = torch.nn.EmbeddingBag(3, num_classes)

    def forward(self, x):
        return self.layer(x)

class Pairs(torch.nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.layer = torch.nn.Linear(4, num_classes)

    def forward(self, x):
        return self.layer(x), x

class Maps(Pairs):
    def forward(self, x):
        return self.layer(x)[:, :, None, None]

class TooFew(Pairs):
    def forward(self, x):
        return self.layer(x)[:, :2]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_items.py").write_text(DATA)
    monkeypatch.syspath_prepend(str(tmp_path))


def run(small, **changes):
    options = {
        "dataset": "python/own_items:Fine",
        "data_splits_map": {"train": "train", "test": "train"},
        "num_workers": 0,
    }
    config: Config = small(**options | changes)
    for stats, _ in experiment_generator(config):
        last = stats
    return last


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("three", r"item 0 of split 'train' is a tuple of 3; return a pair \(x, y\)"),
        ("dictionary", r"item 0 of split 'train' is a dictionary with the keys 'image', 'label'; return a pair"),
        ("picture", "item 0 .* PIL image as x; return a float tensor .*to_tensor"),
        ("text", "item 0 .* the text 'a text' as x"),
        ("nested", "item 0 .* a tuple of 2 as x"),
        ("whole", r"item 0 .* an x of int64, and the model takes float32; return x.float\(\)"),
        ("boolean", "item 0 .* an x of bool"),
        ("one_hot", r"item 0 .* a label of shape \[3\]; return one number, y.argmax\(\)"),
        ("long_label", r"item 0 .* a label of shape \[1\]; return one number, y.item\(\)"),
        ("named_label", "item 0 .* the text 'cat' as label; return the number of a class, 0 to 2"),
        ("half", "item 7 .* label 0.5, which is no class"),
        ("missing_key", "item 7 .* cannot be read: KeyError: 'b'"),
        ("ragged", r"item \d+ .* an x of shape \[.\], and .* must have one shape: cut or pad"),
    ],
)
def test_a_bad_item_is_named_with_its_data_set_and_the_way_out(small, own, name, message):
    with pytest.raises(ValueError, match=f"dataset 'python/own_items:{name}': {message}"):
        run(small, dataset=f"python/own_items:{name}", batch_size=12)


def test_a_users_own_model_may_take_whole_numbers(small, own):
    last = run(small, dataset="python/own_items:Tokens", model="python/own_items:Bag", train_length=60)
    assert last["test/last/accuracy"].iloc[-1] == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Pairs", r"the model returned a tuple of 2; it must return one tensor"),
        ("Maps", r"outputs of shape \[16, 3, 1, 1\] for 16 samples, not \[16, 3\]; average or flatten"),
        ("TooFew", "the model has 2 outputs, and the data 3 classes"),
    ],
)
@pytest.mark.parametrize("train_length", [0, 1])
def test_a_models_outputs_of_a_wrong_shape_are_an_error_at_the_first_batch(small, own, name, message, train_length):
    with pytest.raises(ValueError, match=message.replace("16", "12")):
        run(small, model=f"python/own_items:{name}", batch_size=12, train_length=train_length)


def test_regression_on_several_targets_has_an_output_for_each(small, own):
    options = {"dataset": "python/own_items:Targets", "loss": "mse", "metrics": [], "base_lr": 0.5, "batch_size": 12}
    last = run(small, **options, train_length=300)
    assert last["test/last/loss"].iloc[-1] < 1e-3  # the second target falls as the first one rises
    with pytest.raises(ValueError, match="model_output_dim 1: regression on targets of 2 values needs 2 outputs"):
        run(small, **options, model_output_dim=1, resume="never")


def test_label_smoothing_gives_nothing_to_outputs_that_are_no_class():
    outputs, targets = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]]), torch.tensor([0, 1])
    weights = torch.tensor([[0.95, 0.05, 0.0], [0.05, 0.95, 0.0]])
    expected = -(weights * outputs.log_softmax(1)).sum(1)
    torch.testing.assert_close(build_loss("log", 2, label_smoothing=0.1)(outputs, targets), expected)


def test_a_bad_item_ends_a_run_with_loader_processes(own, tmp_path):
    (tmp_path / "cfg.yaml").write_text(
        "{dataset: python/own_items:missing_key, model: linear, data_splits_map: {train: train}, train_length: 20,\n"
        f"batch_size: 4, num_workers: 2, base_lr: 0.1, output_dir: '{tmp_path / 'run'}'}}"
    )
    start = time.monotonic()
    done = run_command("train.py", tmp_path / "cfg.yaml", env=os.environ | {"PYTHONPATH": str(tmp_path)}, timeout=60)
    assert (done.returncode, time.monotonic() - start < 30) == (1, True)
    assert "item 7 of split 'train' cannot be read: KeyError: 'b'" in done.stderr
    assert "own_items.py" in (tmp_path / "run" / "training.log").read_text()  # its traceback


def log_of(small, **changes):
    config = small(**changes)
    for _ in experiment_generator(config):
        pass
    return (Path(str(config.output_dir)) / "training.log").read_text()


def test_the_log_notes_splits_that_overlap_with_train(small):
    splits = {"train": "train[:80%]", "all": "train", "late": "train[70%:]", "rest": "train[80%:]"}
    log = log_of(small, data_splits_map=splits)
    assert "split 'all' has 120 examples of the train split" in log
    assert "split 'late' has 15 examples of the train split" in log
    assert "'rest'" not in log


def test_the_log_notes_a_train_split_of_one_class_and_the_task_of_a_local_file(small, tmp_path):
    (tmp_path / "own.svm").write_text("1 1:0.5\n" * 20)
    options = {"dataset": f"libsvm/{tmp_path / 'own.svm'}"}
    log = log_of(small, **options)
    assert "the train split has one class only" in log and "own.svm is read as classification, since loss is log" in log
    log = log_of(small, **options, loss="mse", metrics=[], resume="never", output_dir=str(tmp_path / "other"))
    assert "own.svm is read as regression, since loss is mse" in log and "one class" not in log


def test_a_size_for_images_is_refused_for_other_data(small):
    with pytest.raises(ValueError, match="image_size is for images, and 'sklearn/iris' is not; remove it"):
        log_of(small, image_size=32)
