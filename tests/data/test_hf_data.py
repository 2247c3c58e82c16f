"""hf/ data: small data sets in the formats that Hugging Face datasets reads, through the real library, without a network."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from data.made_hf import BAD, GOOD, make_bert, make_downloaded, make_images, make_rows, make_texts, sentences
from helpers import ROOT
from PIL import UnidentifiedImageError

from src import config as configs
from src.data import hf, load_data
from src.data.batches import eval_batches
from src.data.source import Inputs
from src.data.texts import padded
from src.models import hf as hf_models


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def load(make_config):
    """`load(name, **options)`: the Source of hf/<name>; of all its splits unless options say otherwise."""

    def load(name, splits=("train",), **options):
        splits_map = {split: split for split in splits}
        return hf.load_source(str(name), make_config(dataset=f"hf/{name}", data_splits_map=splits_map, **options))

    return load


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return hf_models.inputs(str(make_bert(tmp_path_factory.mktemp("bert"))), configs.Config()).tokenizer


# --- texts --------------------------------------------------------------------------------------------


def test_texts_are_read_with_their_labels_and_class_names(load, tmp_path):
    source = load(make_texts(tmp_path / "films"), ["train", "test"])

    assert (source.kind, source.task, source.n_classes, source.class_names) == (
        "text",
        "classification",
        2,
        ["bad", "good"],
    )
    for seed, (split, n) in enumerate({"train": 200, "test": 60}.items()):
        texts, labels = sentences(n, seed)
        part = source.splits[split]
        assert [part[i] for i in range(n)] == [((text,), label) for text, label in zip(texts, labels, strict=True)]
        assert part.labels.dtype == np.int64
        assert part.labels.tolist() == labels


def test_only_the_named_splits_are_given(load, tmp_path):
    assert list(load(make_texts(tmp_path / "films"), ["train"]).splits) == ["train"]
    with pytest.raises(ValueError, match=r"'validation', and 'hf/.*films' has 'train' and 'test'"):
        load(tmp_path / "films", ["train", "validation"])


def test_tokens_are_those_of_the_tokenizer(load, tmp_path, tokenizer):
    split = load(make_texts(tmp_path / "films")).splits["train"]
    tokens = split.tokenized(tokenizer, None)

    assert len(tokens) == len(split)
    for index in (0, 7, 199):
        (text,), label = split[index]
        expected = tokenizer(text)
        x, y = tokens[index]
        assert {name: ids.tolist() for name, ids in x.items()} == dict(expected)
        assert all(ids.dtype == torch.int64 for ids in x.values())
        assert y == label == tokens.labels[index]


def test_long_texts_are_cut_to_the_limit_or_else_to_what_the_model_takes(load, tmp_path, tokenizer):
    rows = [{"text": "film " * 100, "label": 0}, {"text": "good film", "label": 1}]
    split = load(make_rows(tmp_path / "long", train=rows)).splits["train"]

    def lengths(limit):
        return [len(x["input_ids"]) for x, _ in (split.tokenized(tokenizer, limit)[i] for i in range(2))]

    assert tokenizer.model_max_length == 32
    assert lengths(None) == [32, 4]
    assert lengths(6) == [6, 4]
    assert lengths(3) == [3, 3]


def test_a_missing_text_counts_as_an_empty_one(load, tmp_path, tokenizer):
    rows = [{"text": "a film", "label": 0}, {"text": None, "label": 1}]
    split = load(make_rows(tmp_path / "gaps", train=rows)).splits["train"]

    assert split[1] == (("",), 1)
    assert split.tokenized(tokenizer, None)[1][0]["input_ids"].tolist() == [2, 3]


def test_pairs_of_texts_are_tokenized_as_pairs(load, tmp_path, tokenizer):
    rows = [{"premise": "the film was good", "hypothesis": "a book", "label": 0, "idx": 3}]
    split = load(make_rows(tmp_path / "pairs", train=rows)).splits["train"]

    assert split[0] == (("the film was good", "a book"), 0)
    x, _ = split.tokenized(tokenizer, None)[0]
    assert x["input_ids"].tolist() == tokenizer("the film was good", "a book")["input_ids"]
    assert x["token_type_ids"].tolist() == [0] * 6 + [1] * 3


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_padded_as_the_tokenizer_pads(load, tmp_path, tokenizer, side):
    tokens = load(make_texts(tmp_path / "films")).splits["train"].tokenized(tokenizer, None)
    texts = [tokens[i][0] for i in range(20)]
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = side

    expected = tokenizer.pad(texts, return_tensors="pt")
    found = padded(tokenizer, texts)
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in found)


@pytest.mark.parametrize("workers", [0, 2])
def test_slices_of_texts_come_as_batches_each_as_long_as_its_longest_text(make_config, tmp_path, tokenizer, workers):
    config = make_config(
        dataset=f"hf/{make_texts(tmp_path / 'films')}",
        data_splits_map={"train": "train[:50%]+test[:10]", "test": "test[10:]"},
        text_max_tokens=9,
        num_workers=workers,
    )
    data = load_data(config, Inputs(tokenizer=tokenizer))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 110, "test": 50}
    assert (data.kind, data.n_classes, data.class_names) == ("text", 2, ["bad", "good"])

    batches = list(eval_batches(data.splits["test"], 20, torch.device("cpu"), workers, seed=0))
    assert [len(y) for _, y in batches] == [20, 20, 10]
    assert torch.cat([y for _, y in batches]).tolist() == sentences(60, 1)[1][10:]
    for x, y in batches:
        lengths = x["attention_mask"].sum(1)
        assert x["input_ids"].shape == (len(y), lengths.max()) == x["token_type_ids"].shape
        assert lengths.max() <= 9


def test_model_input_shape_is_refused_unless_it_is_that_of_the_first_text(make_config, tmp_path, tokenizer):
    options = {"dataset": f"hf/{make_texts(tmp_path / 'films')}"}
    found = load_data(make_config(**options), Inputs(tokenizer=tokenizer)).input_shape
    again = load_data(make_config(**options, model_input_shape=list(found)), Inputs(tokenizer=tokenizer))
    assert again.input_shape == found
    with pytest.raises(
        ValueError, match=r"model_input_shape \[7, 7\]: .* is text, which has no fixed shape; remove it"
    ):
        load_data(make_config(**options, model_input_shape=[7, 7]), Inputs(tokenizer=tokenizer))


def test_texts_are_tokenized_once_for_each_tokenizer_and_limit(load, tmp_path, tokenizer):
    folder = make_texts(tmp_path / "films")
    kept = tmp_path / "data" / "hf" / "tokens"

    def files():
        return {file: file.stat().st_mtime_ns for file in kept.rglob("*.arrow")}

    first = load(folder).splits["train"].tokenized(tokenizer, 8)
    before = files()
    again = load(folder).splits["train"].tokenized(tokenizer, 8)
    assert len(before) == 1
    assert files() == before
    assert first[5][0]["input_ids"].equal(again[5][0]["input_ids"])

    load(folder).splits["train"].tokenized(tokenizer, 9)
    load(folder, ["test", "train"]).splits["test"].tokenized(tokenizer, 8)
    assert len(files()) == 3


OTHER_PROCESS = """
import sys
sys.path.insert(0, "tests")
from data.test_hf_data import tokens_of
print("ready", flush=True)
sys.stdin.readline()
print(tokens_of(*sys.argv[1:]))
"""


def tokens_of(data_dir, folder, model):
    """The first tokens of each text, all of which are read and tokenized for it."""
    from transformers import BertTokenizerFast

    options = {"dataset": f"hf/{folder}", "data_splits_map": {"train": "train"}, "data_dir": str(data_dir)}
    split = hf.load_source(str(folder), configs.build(options)).splits["train"]
    tokens = split.tokenized(BertTokenizerFast.from_pretrained(model), None)
    return [int(x["input_ids"][1]) for x, _ in (tokens[i] for i in range(len(tokens)))]


def test_processes_that_start_at_once_prepare_the_data_once(tmp_path, tokenizer):
    texts, model, data_dir = make_texts(tmp_path / "films", 2000), make_bert(tmp_path / "bert"), tmp_path / "data"
    with subprocess.Popen(  # it is not offline, as this process is
        [sys.executable, "-c", OTHER_PROCESS, str(data_dir), str(texts), str(model)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "1"},  # what is written must not depend on Python's hashes
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        here = tokens_of(data_dir, texts, model)
        there = other.communicate(timeout=120)[0]

    assert len(here) == 2000
    assert there == f"{here}\n"
    assert len(list((data_dir / "hf" / "tokens").glob("*/tokens.arrow"))) == 1
    assert not list(data_dir.rglob("*.incomplete"))


# --- columns and labels -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"sentence": "a", "label": 0, "idx": 1}, ("a",)),
        ({"question1": "a", "question2": "b", "label": 0}, ("a", "b")),
        ({"question": "a", "sentence": "b", "label": 0}, ("a", "b")),
        ({"title": "t", "content": "a", "label": 0}, ("a",)),
        ({"headline": "a", "target": 0}, ("a",)),
        ({"text": "a", "label": "x"}, ("a",)),
        ({"text": "a", "coarse_label": 1, "fine_label": 0}, ("a",)),
    ],
)
def test_columns_are_found_by_their_usual_names(load, tmp_path, row, text):
    source = load(make_rows(tmp_path / "rows", train=[row]))
    assert source.splits["train"][0] == (text, 0)


def test_columns_can_be_named(load, tmp_path):
    rows = [{"text": "a", "title": "t", "label": 0, "stars": stars} for stars in (5, 3)]
    source = load(make_rows(tmp_path / "rows", train=rows), text_columns="title, text", label_column="stars")

    assert [source.splits["train"][i] for i in range(2)] == [(("t", "a"), 1), (("t", "a"), 0)]
    assert source.class_names == ["3", "5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no text column with a usual name; set text_columns to one of its columns: alpha, beta, mark"),
        ({"text_columns": "alpha"}, "no label column with a usual name; set label_column .* alpha, beta, mark"),
        ({"text_columns": "alhpa"}, "text_columns: .* has no column 'alhpa'; did you mean 'alpha'"),
        ({"text_columns": "alpha", "label_column": "nark"}, "label_column: .* did you mean 'mark'"),
        ({"text_columns": "alpha,beta,alpha"}, "one column, or two"),
    ],
)
def test_columns_that_are_not_found_are_asked_for(load, tmp_path, options, message):
    folder = make_rows(tmp_path / "rows", train=[{"alpha": "a", "beta": "b", "mark": 1}])
    with pytest.raises(ValueError, match=message):
        load(folder, **options)


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        ([3, 1, 7], [1, 0, 2], ["1", "3", "7"]),
        ([-1, 1, -1], [0, 1, 0], ["-1", "1"]),
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        ([True, False, True], [1, 0, 1], ["False", "True"]),
        ([2.0, 1.0, 2.0], [1, 0, 1], ["1", "2"]),
    ],
)
def test_labels_become_numbers_from_zero_in_their_own_order(load, tmp_path, labels, codes, names):
    source = load(make_rows(tmp_path / "rows", train=[{"text": "a", "label": label} for label in labels]))
    assert source.splits["train"].labels.tolist() == codes
    assert source.class_names == names
    assert source.n_classes == len(names)


def test_the_number_of_a_class_does_not_depend_on_the_splits_in_use(load, tmp_path):
    splits = {"train": ["b", "d"], "test": ["a", "d"], "validation": ["c", "b"]}
    rows = {split: [{"text": "x", "label": label} for label in labels] for split, labels in splits.items()}
    folder = make_rows(tmp_path / "rows", **rows)

    assert load(folder, ["train"]).class_names == load(folder, ["train", "test"]).class_names == ["a", "b", "c", "d"]
    assert load(folder, ["train"]).splits["train"].labels.tolist() == [1, 3]


def test_a_split_that_comes_class_by_class_is_shuffled_so_that_any_slice_has_all_classes(
    make_config, tmp_path, tokenizer
):
    words = [*GOOD[:3], *BAD[:3]]  # two of each class
    rows = [{"text": words[i // 25], "label": i // 50} for i in range(150)]
    folder = make_rows(tmp_path / "sorted", train=rows)
    thirds = {"train": "train[:50]", "second": "train[50:100]", "third": "train[100:]"}

    def items(seed):
        config = make_config(dataset=f"hf/{folder}", data_splits_map=thirds, data_split_seed=seed)
        splits = load_data(config, Inputs(tokenizer=tokenizer)).splits.values()
        return [[(tokenizer.decode(x["input_ids"][1]), int(y)) for x, y in split] for split in splits]

    for part in items(0):
        assert np.bincount([label for _, label in part]).tolist() == pytest.approx([50 / 3] * 3, abs=1)
        assert all(words.index(word) // 2 == label for word, label in part)
    assert items(0) == items(0)
    assert items(0) != items(1)


def test_a_split_without_labels_is_refused_only_where_it_is_used(load, tmp_path):
    train = [{"text": "x", "label": i % 2} for i in range(4)]
    hidden = [{"text": "x", "label": -1} for i in range(3)]
    folder = make_rows(tmp_path / "rows", train=train, test=hidden)

    assert load(folder, ["train"]).n_classes == 2
    with pytest.raises(ValueError, match=r"3 of the 3 examples in split 'test' .* no label .* the first is example 0"):
        load(folder, ["train", "test"])


def test_single_missing_labels_are_named_by_their_index(load, tmp_path):
    rows = [{"text": "x", "label": label} for label in (0, 1, None, 1, None)]
    with pytest.raises(ValueError, match=r"2 of the 5 .* the first is example 2; .* save the data without them"):
        load(make_rows(tmp_path / "rows", train=rows))


@pytest.mark.parametrize("label", [0.5, [0, 1]])
def test_labels_that_are_no_classes_are_refused(load, tmp_path, label):
    with pytest.raises(ValueError, match=r"'label' of 'hf/.*' holds .*, which are not classes; set label_column"):
        load(make_rows(tmp_path / "rows", train=[{"text": "x", "label": label}]))


# --- images -------------------------------------------------------------------------------------------


def test_images_are_read_as_they_are_with_their_classes(load, tmp_path):
    source = load(make_images(tmp_path / "colours"), ["train", "test"])

    assert (source.kind, source.n_classes, source.class_names) == ("image", 3, ["blue", "green", "red"])
    train = source.splits["train"]
    assert (len(train), len(source.splits["test"])) == (60, 20)
    for index in (0, 25, 59):
        image, label = train[index]
        assert (image.size, image.mode, label) == ((16, 16), "RGB", train.labels[index])
        blue_green_red = np.asarray(image).mean((0, 1))[::-1]
        assert blue_green_red.argmax() == label


def test_a_damaged_image_raises_what_its_reader_raises_and_is_described_by_its_file(load, tmp_path):
    folder = make_images(tmp_path / "colours", n_train=6)
    damaged = folder / "train" / "green" / "001.png"
    damaged.write_bytes(b"no image at all")
    train = load(folder).splits["train"]
    (index,) = (i for i in range(len(train)) if str(damaged) in train.describe(i))

    with pytest.raises(UnidentifiedImageError):
        train[index]
    assert train[index - 1][0].size == (16, 16)


def test_splits_can_be_sent_to_worker_processes(load, tmp_path, tokenizer):
    images = load(make_images(tmp_path / "colours", n_train=6)).splits["train"]
    tokens = load(make_texts(tmp_path / "films")).splits["train"].tokenized(tokenizer, None)

    assert pickle.loads(pickle.dumps(images))[3][0].tobytes() == images[3][0].tobytes()
    assert pickle.loads(pickle.dumps(tokens))[3][0]["input_ids"].equal(tokens[3][0]["input_ids"])


# --- where data come from -----------------------------------------------------------------------------


def test_what_save_to_disk_wrote_is_read(load, tmp_path):
    import datasets

    table = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]})
    datasets.disable_progress_bars()
    table.filter(lambda row: row["text"] != "a").save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(train=table, test=table.select([1])).save_to_disk(str(tmp_path / "two"))
    datasets.enable_progress_bars()

    assert load(tmp_path / "one").splits["train"].labels.tolist() == [1, 0, 1]
    assert load(tmp_path / "two", ["train", "test"]).splits["test"][0] == (("b",), 1)


def test_folders_of_one_name_are_told_apart_and_changed_files_are_read_anew(load, tmp_path):
    first = make_rows(tmp_path / "1" / "rows", train=[{"text": "first", "label": 0}])
    second = make_rows(tmp_path / "2" / "rows", train=[{"text": "second", "label": 0}])
    assert load(first).splits["train"][0][0] == ("first",)
    assert load(second).splits["train"][0][0] == ("second",)

    make_rows(first, train=[{"text": "changed", "label": 0}])
    os.utime(first / "train.jsonl", (1, 1))
    assert load(first).splits["train"][0][0] == ("changed",)


CONFIGURATIONS = """---
configs:
- config_name: films
  data_files: [{split: train, path: films.jsonl}]
- config_name: books
  data_files: [{split: train, path: books.jsonl}]
---
"""


def test_a_configuration_is_named_after_a_colon(load, tmp_path):
    folder = make_rows(tmp_path / "both", films=[{"text": "film", "label": 0}], books=[{"text": "book", "label": 0}])
    (folder / "README.md").write_text(CONFIGURATIONS)

    assert load(f"{folder}:books").splits["train"][0][0] == ("book",)
    for name in (folder, f"{folder}:boks"):
        with pytest.raises(ValueError, match="a configuration must be named after a colon, one of films, books"):
            load(name)


@pytest.mark.parametrize("subset", [None, "large"])
def test_downloaded_data_are_read_without_asking_the_network(load, tmp_path, monkeypatch, subset):
    import datasets
    from huggingface_hub import constants

    make_downloaded(tmp_path / "data", "user/films", subset)
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", endpoint)
        threading.Thread(target=_note_connections, args=(server, asked), daemon=True).start()
        source = load("user/films" + (f":{subset}" if subset else ""))

    assert len(source.splits["train"]) == 200
    assert source.class_names == ["bad", "good"]
    assert asked == []


def _note_connections(server, asked):
    while True:
        try:
            connection, address = server.accept()
        except OSError:
            return  # it was closed
        asked.append(address)
        connection.close()


@pytest.mark.parametrize("subset", [None, "large"])
def test_another_configuration_that_was_downloaded_is_not_taken_for_the_one_that_is_asked_for(load, tmp_path, subset):
    make_downloaded(tmp_path / "data", "user/films", "small")
    with pytest.raises(ValueError, match="could not be fetched"):
        load("user/films" + (f":{subset}" if subset else ""))


def test_data_that_cannot_be_had_are_said_to_be_missing_where_and_how_to_bring_them(load, tmp_path):
    place = tmp_path / "data" / "hf" / "user--films"
    by_hand = (
        f"copy {place} from a machine with network, or put the files of https://huggingface.co/datasets/user/films"
    )
    with pytest.raises(ValueError, match=f"there is no such folder, it is not in {place}, and .* {by_hand}"):
        load("user/films")
    with pytest.raises(ValueError, match=f"it is not in {place}, and data_download is false; {by_hand}"):
        load("user/films", data_download=False)


def test_what_is_no_folder_of_data_is_refused_in_one_sentence(load, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "train.parquet").write_bytes(b"PAR1 and then nothing")
    file = make_texts(tmp_path / "films") / "train.parquet"

    for name, reason in [
        (tmp_path / "empty", ".+"),
        (tmp_path / "damaged", "Parquet .+"),
        (file, "it is a file; name the folder that contains it"),
        (tmp_path / "nowhere", "there is no such folder"),
    ]:
        with pytest.raises(ValueError, match=f"^dataset 'hf/{name}' cannot be read: {reason}$"):
            load(name)


def test_reading_prints_nothing_where_there_is_no_terminal(load, tmp_path, tokenizer, capfd):
    folder = make_texts(tmp_path / "films")
    capfd.readouterr()
    load(folder).splits["train"].tokenized(tokenizer, None)
    assert capfd.readouterr() == ("", "")


def test_a_data_folder_that_cannot_be_written_is_named(load, tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(ValueError, match=r"cannot be read: .*data"):
        load(make_texts(tmp_path / "films"))
    assert Path(tmp_path / "data").is_file()


def test_regression_targets_are_refused_with_the_way_out(load, tmp_path):
    rows = make_rows(tmp_path / "rows", train=[{"text": "x", "label": 0.5}, {"text": "y", "label": 1.5}])
    with pytest.raises(ValueError, match="not classes; hf/ reads no regression, so use python/"):
        load(rows, loss="mse")


def test_a_label_of_minus_one_beside_classes_from_zero_is_noted(load, tmp_path):
    labels = (-1, 0, 1)
    source = load(make_rows(tmp_path / "rows", train=[{"text": "x", "label": label} for label in labels]))
    assert source.n_classes == 3 and "-1 in column 'label' is a class of its own" in source.notes[0]
    assert load(make_rows(tmp_path / "two", train=[{"text": "x", "label": i} for i in (-1, 1)])).notes == []


def test_a_missing_image_is_named(load, tmp_path):
    from datasets import Dataset, Features, Image, Value
    from PIL import Image as Pictures

    table = {"image": [Pictures.new("L", (8, 8)), None], "label": [0, 1]}
    Dataset.from_dict(table, Features({"image": Image(), "label": Value("int64")})).save_to_disk(
        str(tmp_path / "saved")
    )
    images = load(tmp_path / "saved").splits["train"]
    assert images[0][1] == 0
    with pytest.raises(ValueError, match="it has no image"):
        images[1]
