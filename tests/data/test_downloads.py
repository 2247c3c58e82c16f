"""Data that are downloaded once, by one of many processes, and never read by halves: torchvision's MNIST from a local site."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from data.made_timm import served_mnist

from src.data import timm as timm_data
from src.data.files import make_once

FORK = multiprocessing.get_context("fork")
NAMES = [f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


@pytest.fixture
def site(tmp_path):
    with served_mnist(tmp_path / "site", n_train=30, n_test=20) as site:
        yield site


@pytest.fixture
def load(make_config, tmp_path):
    """Reads MNIST from a folder as a run does; returns the sum of all pixels."""

    def read(data_dir="data"):
        config = make_config(dataset="timm/torch/mnist", data_dir=str(tmp_path / data_dir))
        splits = timm_data.load_source("torch/mnist", config).splits
        return sum(sum(data[i][0].tobytes()) for data in splits.values() for i in range(len(data)))

    return read


@pytest.fixture
def start():
    """Forks a process that calls a function; those that still run at the end are killed."""
    processes = []

    def fork(function):
        process = FORK.Process(target=function)
        process.start()
        processes.append(process)
        return process

    yield fork
    for process in processes:
        process.kill()
        process.join()


def left_in(folder: Path) -> list[str]:
    """What is in the folder but the lock files."""
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".lock"))


def test_data_are_downloaded_once(site, load, tmp_path):
    first = load()
    site.half_way = lambda name: False  # another download would fail

    assert load() == first
    assert site.fetched == NAMES
    assert left_in(tmp_path / "data") == ["MNIST"]


@pytest.mark.parametrize("attempt", range(3))
def test_of_processes_that_start_at_once_one_downloads_and_all_read(site, load, start, attempt):
    together, results = FORK.Barrier(3), FORK.Queue()

    def run():
        together.wait(timeout=60)
        results.put(load())

    for _ in range(3):
        start(run)

    assert len({results.get(timeout=60) for _ in range(3)}) == 1
    assert site.fetched == NAMES


def test_a_process_killed_in_a_download_leaves_the_work_to_the_one_that_waits(site, load, start, tmp_path):
    arrived, waiting_begins, results = threading.Event(), FORK.Event(), FORK.Queue()

    def hold_first(name):
        if name == NAMES[2] and not arrived.is_set():
            arrived.set()
            killed.wait(60)
        return True

    def wait():
        waiting_begins.wait(60)
        results.put(load())

    killed = threading.Event()
    site.half_way = hold_first
    first, second = start(load), start(wait)
    assert arrived.wait(60)
    waiting_begins.set()
    second.join(timeout=0.5)  # it would download now if the lock did not hold it
    assert second.is_alive()
    assert site.fetched == NAMES[:3]
    assert not (tmp_path / "data" / "MNIST").exists()

    first.kill()
    first.join()
    killed.set()

    assert results.get(timeout=60) == load("another folder")
    assert site.fetched == NAMES[:3] + NAMES + NAMES
    assert left_in(tmp_path / "data") == ["MNIST"]


def test_a_download_that_is_cut_off_leaves_nothing_and_is_tried_again_by_the_next_run(site, load, tmp_path):
    site.half_way = lambda name: name != NAMES[1]

    with pytest.raises(ValueError, match="'timm/torch/mnist' could not be fetched"):
        load()
    assert left_in(tmp_path / "data") == []
    site.half_way = lambda name: True

    assert load() == load("another folder")


def test_without_a_network_the_error_says_what_to_put_where(site, load, tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    nobody = "http://127.0.0.1:9/"
    monkeypatch.setattr(MNIST, "mirrors", [nobody])

    with pytest.raises(ValueError, match="could not be fetched") as caught:
        load()

    message = str(caught.value)
    assert all(f"{nobody}{name}" in message for name in NAMES)
    assert str(tmp_path / "data" / "MNIST" / "raw") in message
    assert "\n" not in message


def test_a_site_that_stops_sending_is_given_up(site, load, tmp_path, monkeypatch):
    monkeypatch.setattr(timm_data, "STALLED_SECONDS", 0.2)
    over = threading.Event()
    site.half_way = lambda name: over.wait(60)

    with pytest.raises(ValueError, match=r"could not be fetched \(timed out\)"):
        load()
    over.set()

    assert left_in(tmp_path / "data") == []


def test_a_folder_that_cannot_be_made_is_named(site, load, tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")

    with pytest.raises(ValueError, match=r"data/MNIST cannot be written: (Not a directory|File exists)"):
        load()


def test_a_full_disk_is_no_missing_network(tmp_path):
    def fill(scratch):
        (scratch / "part").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ValueError, match="made cannot be written: No space left on device"):
        make_once(tmp_path / "made", fill)

    assert left_in(tmp_path) == []


def test_what_is_made_has_the_permissions_of_a_new_folder(tmp_path):
    (tmp_path / "plain").mkdir()

    make_once(tmp_path / "made", lambda scratch: (scratch / "file").touch())

    assert (tmp_path / "made").stat().st_mode == (tmp_path / "plain").stat().st_mode
