from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch.utils.data import Dataset

from src.config import Config
from src.data import Examples
from src.data.batches import eval_batches, micro_batch_size, steps_per_pass, train_batches
from src.data.source import Items

CPU = torch.device("cpu")


def config_of(**options):
    return Config(**({"num_workers": 0} | options))


def numbered(n: int) -> Examples:
    """n samples that hold their own number, which is their label too."""
    return Examples(torch.arange(n, dtype=torch.float32).view(n, 1), torch.arange(n))


class Noisy(Dataset):
    """Items that hold their own number and draw random ones in every way an augmentation may."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int):
        noise = [random.random(), np.random.rand(), torch.rand(1).item()]
        return torch.tensor([index, *noise]), torch.tensor(index)


def noisy_items(n: int) -> Items:
    return Items(Noisy(n), "train", n_classes=n)


def take(
    dataset, steps: int, start_step: int = 0, seed: int = 0, **options
) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    batches = train_batches(dataset, config_of(**options), CPU, seed, start_step)
    taken = list(itertools.islice(batches, steps))
    batches.close()
    return taken


def as_lists(steps) -> list:
    return [[(x.tolist(), y.tolist()) for x, y in step] for step in steps]


def labels_of(steps) -> list[int]:
    return [label for step in steps for _, y in step for label in y.tolist()]


sizes = {"n": st.integers(1, 40), "batch_size": st.integers(1, 50), "parts": st.integers(1, 50)}


@given(**sizes)
def test_each_pass_visits_each_example_once(n, batch_size, parts):
    options = {"batch_size": batch_size, "grad_accum_steps": min(parts, batch_size)}
    per_pass = steps_per_pass(n, batch_size)

    steps = take(numbered(n), 2 * per_pass, **options)

    for one_pass in (steps[:per_pass], steps[per_pass:]):
        assert sorted(labels_of(one_pass)) == list(range(n))
    for step in steps:
        assert len(step) <= options["grad_accum_steps"]
        assert all(1 <= len(y) <= micro_batch_size(**options) for _, y in step)
        assert all(torch.equal(x[:, 0], y.float()) for x, y in step)
    assert all(len(labels_of([step])) == min(batch_size, n) for step in steps[: per_pass - 1])


@given(**sizes, start=st.integers(0, 100))
def test_batches_from_any_step_are_those_of_an_uninterrupted_run(n, batch_size, parts, start):
    options = {"batch_size": batch_size, "grad_accum_steps": min(parts, batch_size)}

    uninterrupted = take(numbered(n), start + 5, **options)
    resumed = take(numbered(n), 5, start, **options)

    assert as_lists(resumed) == as_lists(uninterrupted[start:])


@given(**sizes)
@settings(max_examples=25)
def test_loaded_data_come_in_the_order_of_data_held_in_memory(n, batch_size, parts):
    options = {"batch_size": batch_size, "grad_accum_steps": min(parts, batch_size)}
    held, loaded = take(numbered(n), 7, **options), take(noisy_items(n), 7, **options)

    assert [[y.tolist() for _, y in step] for step in held] == [[y.tolist() for _, y in step] for step in loaded]


def test_a_batch_larger_than_the_data_is_the_whole_data():
    steps = take(numbered(5), 3, batch_size=100, grad_accum_steps=2)
    assert [sorted(labels_of([step])) for step in steps] == [[0, 1, 2, 3, 4]] * 3
    assert [len(step) for step in steps] == [1, 1, 1]


def test_each_pass_and_each_seed_has_an_order_of_its_own():
    options = {"batch_size": 50}
    first, second = (labels_of([step]) for step in take(numbered(50), 2, **options))
    other = labels_of(take(numbered(50), 1, seed=1, **options))
    assert len({tuple(first), tuple(second), tuple(other), tuple(range(50))}) == 4


def test_loaded_data_do_not_depend_on_workers_or_on_where_the_run_was_resumed():
    options = {"batch_size": 4, "grad_accum_steps": 2}

    expected = as_lists(take(noisy_items(10), 9, num_workers=0, **options))

    assert as_lists(take(noisy_items(10), 9, num_workers=2, **options)) == expected
    for workers, start in ((0, 4), (2, 4), (2, 6)):
        assert as_lists(take(noisy_items(10), 9 - start, start, num_workers=workers, **options)) == expected[start:]


def test_an_example_is_augmented_anew_in_each_pass():
    first, second = take(noisy_items(6), 2, batch_size=6)
    noise = [{y.item(): x[1:].tolist() for x, y in zip(*step[0], strict=True)} for step in (first, second)]
    for index in range(6):
        assert all(a != b for a, b in zip(noise[0][index], noise[1][index], strict=True))
    assert len({value for values in noise[0].values() for value in values}) == 18


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", [numbered(8), noisy_items(8)])
def test_batches_leave_the_programs_random_numbers_alone(dataset, workers):
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seed():
        random.seed(0), np.random.seed(0), torch.manual_seed(0)

    seed()
    expected = draws()
    seed()
    take(dataset, 3, batch_size=3, num_workers=workers)
    list(eval_batches(dataset, 3, CPU, workers, seed=0))

    assert draws() == expected


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", [numbered(10), noisy_items(10)])
def test_an_evaluation_sees_all_examples_once_in_their_order(dataset, workers):
    first, second = (list(eval_batches(dataset, 4, CPU, workers, seed=0)) for _ in range(2))

    assert [y.tolist() for _, y in first] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))


def test_sparse_batches_hold_the_values_of_dense_ones():
    matrix = sparse.csr_matrix(sparse.random(30, 12, density=0.2, dtype=np.float32, random_state=0))
    y = torch.arange(30)
    held, kept = Examples(torch.from_numpy(matrix.toarray()), y), Examples(matrix, y)
    options = {"batch_size": 8, "grad_accum_steps": 3}

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch has notes about sparse tensors that no user can act on
        pairs = list(zip(take(held, 9, **options), take(kept, 9, **options), strict=True))

    for dense_step, sparse_step in pairs:
        for (x, y_dense), (x_sparse, y_sparse) in zip(dense_step, sparse_step, strict=True):
            assert x_sparse.layout == torch.sparse_csr
            assert torch.equal(x_sparse.to_dense(), x)
            assert torch.equal(y_sparse, y_dense)
    (whole,) = eval_batches(kept, 100, CPU, num_workers=0, seed=0)
    assert torch.equal(whole[0].to_dense(), held.x)


def test_a_model_that_works_in_place_does_not_change_the_data():
    dataset = numbered(6)
    for x, _ in eval_batches(dataset, 100, CPU, num_workers=0, seed=0):
        x.zero_()
    assert dataset.x.sum() == 15


def test_closing_the_batches_ends_the_workers():
    batches = train_batches(noisy_items(20), config_of(num_workers=2, batch_size=4), CPU, seed=0)
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2

    batches.close()

    assert not any(worker.is_alive() for worker in workers)


def test_workers_outlive_the_signals_that_tell_the_trainer_to_stop():
    config = config_of(num_workers=2, batch_size=4)
    expected = as_lists(take(noisy_items(20), 8, batch_size=4))
    batches = train_batches(noisy_items(20), config, CPU, seed=0)
    got = [next(batches), next(batches)]  # one from each worker: both have started

    for worker in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(worker.pid, number)

    got += itertools.islice(batches, 6)
    batches.close()
    assert as_lists(got) == expected
