"""Stand-ins for torchvision's data sets and for folders of images, in the files that the real classes read.

    make_mnist("data")                        # dataset: timm/torch/mnist
    with made_cifar("data", "cifar10"): ...   # dataset: timm/torch/cifar10, within the block
    make_class_folders("images")              # dataset: timm/folder/images
    with served_mnist("site") as site: ...    # dataset: timm/torch/mnist is downloaded from this process

A class is a direction of stripes (data.made_tfds), so that a network can learn it.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from data.made_tfds import striped_images

_IDX = {np.dtype(np.uint8): 8, np.dtype(np.int32): 12}  # the codes of MNIST's file format


def made_images(n: int, seed: int, size: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, size, size, 3), and their classes (n,)."""
    images, labels = zip(*striped_images(n, seed, size, n_classes), strict=True)
    return np.stack(images), np.array(labels)


def make_mnist(
    data_dir: str | Path, name: str = "MNIST", n_train: int = 600, n_test: int = 100, packed: bool = False
) -> Path:
    """A data set of MNIST's family: `name` is torchvision's class, MNIST, FashionMNIST, KMNIST or QMNIST.

    Returns its folder <data_dir>/<name>/raw. `packed` writes the .gz files that are downloaded.
    """
    folder = Path(data_dir, name, "raw")
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, n) in enumerate({"train": n_train, "test" if name == "QMNIST" else "t10k": n_test}.items()):
        images, labels = made_images(n, seed, 28, 10)
        if name == "QMNIST":  # eight numbers a label, the class first
            wide = np.zeros((n, 8), np.int32)
            wide[:, 0] = labels
            arrays = {f"qmnist-{part}-images-idx3-ubyte": images[..., 0], f"qmnist-{part}-labels-idx2-int": wide}
        else:
            arrays = {f"{part}-images-idx3-ubyte": images[..., 0], f"{part}-labels-idx1-ubyte": labels.astype(np.uint8)}
        for file, array in arrays.items():
            if packed:
                (folder / f"{file}.gz").write_bytes(gzip.compress(_idx(array), mtime=0))
            else:
                (folder / file).write_bytes(_idx(array))
    return folder


def _idx(array: np.ndarray) -> bytes:
    """The format of MNIST's files: a code for the type, the shape, the values, all big-endian."""
    head = np.array([_IDX[array.dtype] << 8 | array.ndim, *array.shape], dtype=">i4")
    return head.tobytes() + array.astype(array.dtype.newbyteorder(">")).tobytes()


@contextmanager
def made_cifar(data_dir: str | Path, name: str = "cifar10", n_train: int = 500, n_test: int = 100) -> Iterator[Path]:
    """CIFAR-10 or CIFAR-100 in data_dir. Within the block torchvision's class expects the checksums of these files."""
    from torchvision import datasets

    kind: Any = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    n_classes, key = (10, "labels") if name == "cifar10" else (100, "fine_labels")
    folder = Path(data_dir, kind.base_folder)
    folder.mkdir(parents=True, exist_ok=True)

    def write(file: str, content: dict[str, Any]) -> str:
        data = pickle.dumps(content)
        (folder / file).write_bytes(data)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    lists = {}
    for seed, (attribute, n) in enumerate({"train_list": n_train, "test_list": n_test}.items()):
        images, labels = made_images(n, seed, 32, n_classes)
        rows = images.transpose(0, 3, 1, 2).reshape(n, -1)  # as in the published files: red, green, blue
        files = [file for file, _ in getattr(kind, attribute)]
        shares = zip(files, np.array_split(rows, len(files)), np.array_split(labels, len(files)), strict=True)
        lists[attribute] = [[file, write(file, {"data": part, key: own.tolist()})] for file, part, own in shares]
    names = {kind.meta["key"]: [f"class {label}" for label in range(n_classes)]}
    meta = kind.meta | {"md5": write(kind.meta["filename"], names)}
    with mock.patch.multiple(kind, **lists, meta=meta):
        yield folder


def make_class_folders(
    folder: str | Path,
    splits: tuple[str, ...] = ("train", "val"),
    n_each: int = 20,
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
) -> Path:
    """PNG files of 24 x 24 pixels in <folder>/<split>/<class>/, n_each of each class; no splits: <folder>/<class>/."""
    from PIL import Image

    for seed, split in enumerate(splits or ("",)):
        images, labels = made_images(n_each * len(classes), seed, 24, len(classes))
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = Path(folder, split, classes[label], f"{index}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return Path(folder)


class Site(http.server.ThreadingHTTPServer):
    """Serves the files of a folder on the loopback device."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Files)
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.fetched: list[str] = []  # names of the files, as often as they were asked for
        # called when half of the file of that name has been sent; False: the connection is cut there
        self.half_way: Callable[[str], bool] = lambda name: True


class _Files(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_HEAD(self) -> bytes:
        content = (self.server.folder / Path(self.path).name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def do_GET(self) -> None:
        name = Path(self.path).name
        content = self.do_HEAD()
        if self.headers.get("Method") == "HEAD":  # how torchvision looks for a redirection
            return
        self.server.fetched.append(name)
        half = len(content) // 2
        with suppress(ConnectionError):  # of a reader that was killed
            self.wfile.write(content[:half])
            if self.server.half_way(name):
                self.wfile.write(content[half:])

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def served_mnist(folder: str | Path, n_train: int = 600, n_test: int = 100) -> Iterator[Site]:
    """A site in a thread of this process that, within the block, torchvision's MNIST is downloaded from.

    A process that is forked within the block takes it from there too.
    """
    from torchvision.datasets import MNIST

    files = make_mnist(folder, n_train=n_train, n_test=n_test, packed=True)
    resources = [
        (name, hashlib.md5((files / name).read_bytes(), usedforsecurity=False).hexdigest())
        for name, _ in MNIST.resources
    ]
    with (
        Site(files) as site,
        mock.patch.multiple(MNIST, mirrors=[site.url], resources=resources),
        mock.patch.dict(os.environ, no_proxy="127.0.0.1"),
    ):
        threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
        yield site
        site.shutdown()
