"""libsvmdata's cache: filled by hand, by a download, or by several processes at once; and what can go wrong."""

from __future__ import annotations

import bz2
import functools
import http.server
import multiprocessing
import threading
import time

import numpy as np
import pytest
import torch

from src.data import load_data

WHOLE = {"train": "train"}


def test_without_a_network_the_error_says_where_to_put_the_file_by_hand(make_config, monkeypatch, tmp_path):
    from libsvmdata import ALL_DATASETS

    url = "http://127.0.0.1:9/a9a"  # nothing listens there
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(ALL_DATASETS["a9a"], "dataset_url", url)

    with pytest.raises(ValueError) as caught:
        load_data(make_config(dataset="libsvm/a9a"))

    message = str(caught.value)
    assert "could not be fetched" in message
    assert url in message
    assert str(tmp_path / "data" / "libsvm" / "a9a") in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["a9a", "sector"])  # sector's file is in a folder of its own, and compressed
def test_a_raw_file_put_there_by_hand_is_read_and_kept(make_config, libsvm_file, numbers, tmp_path, name):
    from libsvmdata import ALL_DATASETS

    raw = libsvm_file(tmp_path / "data" / "libsvm" / ALL_DATASETS[name].dataset_file, numbers(6, 4), [1, 2] * 3)
    if raw.suffix == ".bz2":
        raw.write_bytes(bz2.compress(raw.read_bytes()))
    before = raw.read_bytes()
    config = make_config(dataset=f"libsvm/{name}", data_splits_map=WHOLE, data_download=False)

    first = load_data(config).splits["train"]
    raw.rename(tmp_path / "moved away")
    second = load_data(config).splits["train"]

    assert (tmp_path / "moved away").read_bytes() == before
    assert torch.equal(first.x, second.x)


def test_data_are_downloaded_once(make_config, libsvm_file, numbers, monkeypatch, tmp_path):
    from libsvmdata import ALL_DATASETS

    served = libsvm_file(tmp_path / "site" / "a9a", numbers(6, 4), [1, 2] * 3)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served.parent))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    config = make_config(dataset="libsvm/a9a", data_splits_map=WHOLE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        url = f"http://127.0.0.1:{server.server_address[1]}/a9a"
        monkeypatch.setattr(ALL_DATASETS["a9a"], "dataset_url", url)
        first = load_data(config).splits["train"]
        server.shutdown()

    second = load_data(config).splits["train"]  # the server is gone

    assert len(first) == 6
    assert torch.equal(first.x, second.x)


def test_a_raw_file_in_another_format_leaves_no_cache_behind(make_config, libsvm_file, numbers, tmp_path):
    raw = tmp_path / "data" / "libsvm" / "a9a"
    raw.parent.mkdir(parents=True)
    raw.write_text("<html>not found</html>")
    config = make_config(dataset="libsvm/a9a", data_splits_map=WHOLE)

    with pytest.raises(ValueError, match=r"a9a.*cannot be read as libsvm data"):
        load_data(config)
    libsvm_file(raw, numbers(6, 4), [1, 2] * 3)

    assert len(load_data(config).splits["train"]) == 6


def test_a_damaged_cache_file_is_named(make_config, published, numbers, tmp_path):
    published("a9a", numbers(20, 123), np.tile([-1, 1], 10))
    cached = tmp_path / "data" / "libsvm" / "a9a_X.npy"
    cached.write_bytes(cached.read_bytes()[:100])

    with pytest.raises(ValueError, match="a9a_X or _y is damaged"):
        load_data(make_config(dataset="libsvm/a9a", data_splits_map=WHOLE))


def test_processes_that_start_at_once_prepare_the_data_once(make_config, libsvm_file, numbers, monkeypatch, tmp_path):
    from libsvmdata.libsvm import LibsvmDataset

    raw = libsvm_file(tmp_path / "data" / "libsvm" / "a9a", numbers(40, 10), np.arange(40) % 2)
    prepare, prepared = LibsvmDataset._load_file_and_save_data, tmp_path / "prepared"

    def slowly(*args):
        with prepared.open("a") as file:
            file.write("x")
        time.sleep(0.2)  # the others come meanwhile
        return prepare(*args)

    monkeypatch.setattr(LibsvmDataset, "_load_file_and_save_data", slowly)
    config = make_config(dataset="libsvm/a9a", data_splits_map=WHOLE)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=lambda: results.put(load_data(config).splits["train"].x.double().sum().item()))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    sums = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()

    assert len(set(sums)) == 1
    assert prepared.read_text() == "x"
    assert raw.exists()
    assert sorted(path.name for path in raw.parent.iterdir() if path.name[0] != ".") == [
        "a9a",
        "a9a_X.npz",
        "a9a_y.npy",
    ]
