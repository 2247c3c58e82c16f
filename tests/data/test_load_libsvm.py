from __future__ import annotations

import bz2
import gzip
import lzma

import numpy as np
import pytest
import torch
from scipy import sparse

from src.data import load_data

WHOLE = {"train": "train"}


def test_a_published_test_file_is_the_test_split(make_config, published, numbers):
    x = numbers(30, 10)
    published("a9a", x[:20], np.tile([-1, 1], 10))
    published("a9a_test", x[20:], np.tile([-1, 1], 5))

    data = load_data(make_config(dataset="libsvm/a9a"))

    assert {name: len(split) for name, split in data.splits.items()} == {"train": 20, "test": 10}
    assert (data.n_classes, data.input_shape) == (2, (123,))  # the width that libsvmdata knows of a9a
    test = data.splits["test"]
    expected = x[20:] / np.linalg.norm(x[20:], axis=1, keepdims=True)
    np.testing.assert_allclose(test.x[:, :10], expected, rtol=1e-6)
    assert test.x.dtype == torch.float32
    assert test.y.tolist() == [0, 1] * 5
    assert test.y.dtype == torch.int64


def test_the_test_file_is_fetched_only_if_a_split_names_it(make_config, published, numbers):
    published("a9a", numbers(20, 5), np.tile([-1, 1], 10))

    data = load_data(make_config(dataset="libsvm/a9a", data_splits_map=WHOLE, data_download=False))

    assert list(data.splits) == ["train"]
    with pytest.raises(ValueError, match="a9a_test"):
        load_data(make_config(dataset="libsvm/a9a", data_download=False))


def test_each_experiment_reads_its_own_data_dir(make_config, libsvm_file, numbers, tmp_path):
    for folder, n in (("one", 4), ("two", 6)):
        libsvm_file(tmp_path / folder / "libsvm" / "a9a", numbers(n, 3), np.arange(n) % 2)

    sizes = [
        len(
            load_data(make_config(dataset="libsvm/a9a", data_dir=str(tmp_path / d), data_splits_map=WHOLE)).splits[
                "train"
            ]
        )
        for d in ("one", "two", "one")
    ]

    assert sizes == [4, 6, 4]


@pytest.mark.parametrize("labels", [[-1, 1], [1, 2, 3], [0, 1], [2, 5, 6, 40], [-3.0, 7.0]])
def test_labels_of_any_kind_become_classes_from_zero(make_config, libsvm_file, numbers, tmp_path, labels):
    y = np.tile(labels, 6)
    path = libsvm_file(tmp_path / "own", numbers(len(y), 4), y)
    libsvm_file(tmp_path / "own_test", numbers(2, 4), [labels[-1], labels[0]])

    data = load_data(make_config(dataset=f"libsvm/{path}"))

    assert data.n_classes == len(labels)
    assert data.splits["train"].y.tolist() == list(range(len(labels))) * 6
    assert data.splits["test"].y.tolist() == [len(labels) - 1, 0]


def test_a_multiclass_set_that_comes_as_one_split_can_be_cut(make_config, published, numbers):
    published("letter", numbers(260, 16), np.arange(260) % 26 + 1)

    splits = {"train": "train[:50%]", "test": "train[50%:]"}
    data = load_data(make_config(dataset="libsvm/letter", data_splits_map=splits))

    assert data.n_classes == 26
    for split in data.splits.values():
        assert np.bincount(split.y, minlength=26).tolist() == [5] * 26


def sparse_numbers(n: int, features: int) -> sparse.csr_matrix:
    return sparse.csr_matrix(sparse.random(n, features, density=0.1, random_state=0))


@pytest.mark.parametrize("normalize", [True, False])
def test_sparse_and_dense_data_hold_the_same_values(make_config, published, normalize):
    published("a9a", sparse_numbers(50, 123), np.arange(50) % 2)
    options = {"dataset": "libsvm/a9a", "data_splits_map": WHOLE, "libsvm_normalize": normalize}

    dense = load_data(make_config(**options)).splits["train"]
    kept = load_data(make_config(**options, max_dense_gb=1e-6)).splits["train"]

    assert isinstance(dense.x, torch.Tensor)
    assert sparse.issparse(kept.x)
    assert kept.x.dtype == np.float32
    assert torch.equal(dense.x, torch.from_numpy(kept.x.toarray()))
    assert torch.equal(dense.y, kept.y)


def test_data_without_zeros_are_held_dense_whatever_the_limit(make_config, published, numbers):
    published("a9a", numbers(50, 123), np.arange(50) % 2)  # sparse storage would take twice the memory

    data = load_data(make_config(dataset="libsvm/a9a", data_splits_map=WHOLE, max_dense_gb=0))

    assert isinstance(data.splits["train"].x, torch.Tensor)


def test_rows_have_unit_norm_and_a_row_of_zeros_stays_zero(make_config, libsvm_file, numbers, tmp_path):
    x = numbers(6, 5)
    x[2] = 0
    path = libsvm_file(tmp_path / "own", x, [1, 2, 1, 2, 1, 2])

    norms = load_data(make_config(dataset=f"libsvm/{path}", data_splits_map=WHOLE)).splits["train"].x.norm(dim=1)

    assert sorted(norms.round(decimals=5).tolist()) == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
@pytest.mark.parametrize("mark", [".t", "_test"])
def test_a_local_file_may_be_compressed_and_have_a_test_file_beside_it(
    make_config, libsvm_file, numbers, tmp_path, ending, compress, mark
):
    plain = libsvm_file(tmp_path / "own.svm", numbers(8, 3), np.arange(8) % 2)
    packed = tmp_path / f"own.svm{ending}"
    packed.write_bytes(compress.compress(plain.read_bytes()))
    libsvm_file(tmp_path / f"own.svm{mark}", numbers(4, 5), np.arange(4) % 2)

    data = load_data(make_config(dataset=f"libsvm/{packed}"))

    assert data.input_shape == (5,)  # of the wider of both
    assert [len(split) for split in data.splits.values()] == [8, 4]


def test_a_local_file_is_regression_with_a_squared_loss(make_config, libsvm_file, numbers, tmp_path):
    y = [0.5, -1.25, 3.0, 2.5]
    path = libsvm_file(tmp_path / "own", numbers(4, 3), y)

    data = load_data(make_config(dataset=f"libsvm/{path}", data_splits_map=WHOLE, loss="mse"))

    assert data.n_classes is None
    assert data.splits["train"].y.dtype == torch.float32
    assert sorted(data.splits["train"].y.tolist()) == sorted(y)
    with pytest.raises(ValueError, match=r"not whole numbers.*loss: mse"):
        load_data(make_config(dataset=f"libsvm/{path}", data_splits_map=WHOLE))


def test_a_published_set_and_a_file_of_it_are_one_task_if_it_is_set(
    make_config, published, libsvm_file, numbers, tmp_path
):
    x, y = numbers(10, 5), np.tile([-1, 1], 5)
    published("a9a", x, y)
    for name in ("a9a", libsvm_file(tmp_path / "own", x, y)):
        options = {"dataset": f"libsvm/{name}", "data_splits_map": WHOLE, "loss": "mse"}
        assert load_data(make_config(**options, libsvm_task="classification")).n_classes == 2
        assert load_data(make_config(**options, libsvm_task="regression")).n_classes is None


def test_a_published_regression_set_refuses_cross_entropy(make_config, published, numbers):
    published("abalone", numbers(10, 8), np.linspace(1, 9, 10))

    options = {"dataset": "libsvm/abalone", "data_splits_map": WHOLE}
    assert load_data(make_config(**options, loss="square")).n_classes is None
    with pytest.raises(ValueError, match=r"'log' is for classification.*use mse"):
        load_data(make_config(**options))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a9b", "did you mean 'a9a'"),
        ("news20", r"did you mean 'news20\.binary' or 'news20\.multiclass'"),
        ("rcv1", r"did you mean 'rcv1\.binary'"),
        ("no/such/file.svm", "neither a name that libsvmdata knows nor a file"),
        ("yeast", "several labels"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_the_reason(make_config, name, message):
    with pytest.raises(ValueError, match=message):
        load_data(make_config(dataset=f"libsvm/{name}"))


@pytest.mark.parametrize("content", [b"this is not libsvm data\n", b"1,2 1:0.5\n", b"1 3:1 2:1\n", b"\n"])
def test_a_file_in_another_format_is_named(make_config, tmp_path, content):
    (tmp_path / "own.svm").write_bytes(content)
    with pytest.raises(ValueError, match=r"own.svm"):
        load_data(make_config(dataset=f"libsvm/{tmp_path / 'own.svm'}", data_splits_map=WHOLE))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"1 1:0.5 2:nan", "feature 2 is nan"),
        (b"inf 1:0.5", "the label is inf"),
        (b"1 99999999999:1", "there is no feature 99999999999"),
        (b"1 3:1 2:1", "feature 2 comes after 3"),
        (b"1 2:0.5 3", "'1 2:0.5 3' cannot be read"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(make_config, tmp_path, line, problem):
    (tmp_path / "own.svm").write_bytes(b"0 1:0.5\n# a comment\n" + line + b"\n1 1:0.5\n")
    with pytest.raises(ValueError, match=f"own.svm, line 3: {problem}; a line is"):
        load_data(make_config(dataset=f"libsvm/{tmp_path / 'own.svm'}", data_splits_map=WHOLE))


def test_a_damaged_archive_is_named(make_config, tmp_path):
    (tmp_path / "own.gz").write_bytes(gzip.compress(b"1 1:0.5\n" * 1000)[:40])
    with pytest.raises(ValueError, match=r"own.gz"):
        load_data(make_config(dataset=f"libsvm/{tmp_path / 'own.gz'}", data_splits_map=WHOLE))
