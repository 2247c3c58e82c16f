"""learning_rate: what each schedule says at each step."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src import config as configs
from src.optim.schedules import learning_rate
from src.schedules import SCHEDULES


def rates(schedule: str, total: int, steps_per_unit: float = 1, **options: Any) -> list[float]:
    config = configs.build({"lr_schedule": schedule, "base_lr": 2.0, **options})
    return [learning_rate(config, step, total, steps_per_unit) for step in range(total)]


def test_constant_stays() -> None:
    assert rates("constant", 5) == [2.0] * 5


def test_decay_falls_by_its_power_and_never_quite_to_zero() -> None:
    assert rates("linear", 4) == rates("decay_1", 4) == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert rates("decay_2", 4) == pytest.approx([2.0, 2 * 9 / 16, 0.5, 2 / 16])


def test_cosine_falls_from_the_base_rate_through_half_of_it() -> None:
    assert rates("cosine", 4) == pytest.approx([2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)])


def test_every_drops_every_so_many_units() -> None:
    assert rates("every_2_0.1", 5) == pytest.approx([2, 2, 0.2, 0.2, 0.02])
    assert rates("every_1_0.5", 6, steps_per_unit=3) == [2, 2, 2, 1, 1, 1]


def test_at_drops_at_each_time() -> None:
    assert rates("at_1,3_0.5", 5) == [2, 1, 1, 0.5, 0.5]


def test_a_time_between_two_steps_counts_from_the_next_one() -> None:
    assert rates("at_1,2_0.5", 6, steps_per_unit=2.5) == [2, 2, 2, 1, 1, 0.5]


@given(batch=st.integers(1, 5000), step=st.integers(1, 5000))
def test_times_in_samples_are_met_at_the_exact_step(batch: int, step: int) -> None:
    config = configs.build({"lr_schedule": f"at_{batch * step},{batch * step * 3}_0.5", "base_lr": 2.0})
    around = [learning_rate(config, s, 4 * step, 1 / batch) for s in (step - 1, step, 3 * step - 1, 3 * step)]
    assert around == [2, 1, 1, 0.5]
    every = configs.build({"lr_schedule": f"every_{batch * step}_0.5", "base_lr": 2.0})
    assert [learning_rate(every, s, 4 * step, 1 / batch) for s in (3 * step - 1, 3 * step)] == [0.5, 0.25]


def test_warm_up_rises_linearly_and_the_schedule_starts_after_it() -> None:
    assert rates("constant", 6, warmup_steps=4) == [0.5, 1, 1.5, 2, 2, 2]
    assert rates("linear", 6, warmup_steps=2) == pytest.approx([1.0, 2.0, 2.0, 1.5, 1.0, 0.5])


def test_a_warm_up_longer_than_the_run_is_just_cut_off() -> None:
    for schedule in ("constant", "cosine", "decay_3", "every_100_0.1", "at_100_0.1"):
        assert rates(schedule, 3, warmup_steps=10) == pytest.approx([0.2, 0.4, 0.6])


@given(
    schedule=st.sampled_from([form.example for form in SCHEDULES.values()]),
    total=st.integers(1, 60),
    warmup=st.integers(0, 20),
)
def test_a_rate_is_never_negative_nor_above_the_base_and_only_falls_after_warm_up(
    schedule: str, total: int, warmup: int
) -> None:
    series = rates(schedule, total, warmup_steps=warmup)
    assert all(type(rate) is float and 0 <= rate <= 2 for rate in series)
    after = series[warmup:]
    assert after == sorted(after, reverse=True)


def test_poly_falls_with_the_optimizer_steps_whatever_the_length_and_the_unit() -> None:
    for total in (4, 5):
        assert rates("poly_1", total, steps_per_unit=3)[:4] == pytest.approx([2, 1, 2 / 3, 0.5])
    assert rates("poly", 4) == rates("poly_0.5", 4) == pytest.approx([2 / math.sqrt(1 + t) for t in range(4)])
    assert rates("poly_1", 4, warmup_steps=2) == pytest.approx([1, 1, 2 / 3, 0.5])  # counted from the start


def test_step_drops_n_times_at_even_distances_over_the_run() -> None:
    assert rates("step_1_0.5", 4) == [2, 2, 1, 1]
    assert rates("step_2_0.5", 6, steps_per_unit=100) == [2, 2, 1, 1, 0.5, 0.5]
    assert rates("step_2_0.5", 7) == [2, 2, 2, 1, 1, 0.5, 0.5]  # at 7/3 and 14/3
    assert rates("step", 10) == rates("step_4_0.1", 10)
    assert rates("step", 10)[::2] == pytest.approx([2, 0.2, 0.02, 0.002, 0.0002])


def test_step_with_lengths_drops_between_stretches_of_the_run() -> None:
    assert rates("step_2,1,1_0.5", 8) == [2, 2, 2, 2, 1, 1, 0.5, 0.5]
    assert rates("step_0.5,0.25,0.25_0.5", 8) == rates("step_2,1,1_0.5", 8)
    for total in (1, 7, 30):
        assert rates("step_1,1,1,1,1_0.1", total) == rates("step_4_0.1", total)


@given(n=st.integers(1, 40), stretch=st.integers(1, 1000))
def test_the_drops_of_step_are_at_the_exact_steps(n: int, stretch: int) -> None:
    config = configs.build({"lr_schedule": f"step_{n}_0.5", "base_lr": 1.0})
    total = (n + 1) * stretch
    for drop in range(1, n + 1):
        around = [learning_rate(config, s, total, 1) for s in (drop * stretch - 1, drop * stretch)]
        assert around == [0.5 ** (drop - 1), 0.5**drop]
