from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from src import config as configs
from src.data import load_data
from src.data.splits import stratified_order


def splits_of_a_file(n: int, splits_map: dict[str, str], test_too: bool) -> dict[str, list[int]]:
    """The numbers of the lines, from 1, that each split of a local file of n lines holds, in its order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.svm")
        path.write_text("".join(f"{line % 3} 1:{line}\n" for line in range(1, n + 1)))
        if test_too:
            Path(folder, "own.svm.t").write_text("1 1:1\n")
        options = {"dataset": f"libsvm/{path}", "data_splits_map": splits_map, "libsvm_normalize": False}
        data = load_data(configs.build(options))
    return {name: [int(value) for value in split.x[:, 0]] for name, split in data.splits.items()}


@given(n=st.integers(2, 60), percent=st.integers(1, 99), test_too=st.booleans())
def test_two_parts_at_any_percentage_hold_each_example_once(n, percent, test_too):
    assume(0 < round(n * percent / 100) < n)  # an empty part is an error
    parts = splits_of_a_file(n, {"train": f"train[:{percent}%]", "val": f"train[{percent}%:]"}, test_too)

    assert len(parts["train"]) == round(n * percent / 100)
    assert sorted(parts["train"] + parts["val"]) == list(range(1, n + 1))


@given(n=st.integers(3, 40), cuts=st.data())
def test_slices_of_a_source_with_several_splits_keep_the_order_of_the_file(n, cuts):
    start = cuts.draw(st.integers(0, n - 1))
    stop = cuts.draw(st.integers(start + 1, n))

    parts = splits_of_a_file(n, {"train": f"train[{start}:{stop}]+train[:1]"}, test_too=True)

    assert parts["train"] == [*range(start + 1, stop + 1), 1]


def test_all_is_every_split_one_after_another():
    splits_map = {"train": "test", "everything": "all", "more": "test+all"}
    parts = splits_of_a_file(5, splits_map, test_too=True)
    assert parts["everything"] == [1, 2, 3, 4, 5, 1] and parts["more"] == [1, 1, 2, 3, 4, 5, 1]


def test_an_expression_that_the_data_cannot_give_is_refused():
    for expression, reason in (("train[2shard]", "not stored in shards"), ("train[:9]", "has 5 examples")):
        with pytest.raises(ValueError, match=reason):
            splits_of_a_file(5, {"train": expression}, test_too=True)
    with pytest.raises(ValueError, match=r"'other' names 'tset', and .* has 'train' and 'test'"):
        splits_of_a_file(5, {"train": "all", "other": "tset"}, test_too=True)


@given(labels=st.lists(st.integers(-2, 4), min_size=1, max_size=200), seed=st.integers(0, 2**32), cuts=st.data())
def test_any_slice_of_the_stratified_order_keeps_the_class_proportions(labels, seed, cuts):
    n = len(labels)
    order = stratified_order(np.array(labels), seed)
    start = cuts.draw(st.integers(0, n))
    stop = cuts.draw(st.integers(start, n))

    assert sorted(order) == list(range(n))
    taken = Counter(labels[index] for index in order[start:stop])
    total = Counter(labels)
    for label, members in total.items():
        # within one member, and its share of the one that each class may be off
        allowed = 1 + len(total) * members / n
        assert abs(taken[label] - members * (stop - start) / n) <= allowed


def test_the_stratified_order_depends_on_its_seed():
    labels = np.arange(300) % 3
    assert (stratified_order(labels, 1) == stratified_order(labels, 1)).all()
    assert (stratified_order(labels, 1) != stratified_order(labels, 2)).any()
