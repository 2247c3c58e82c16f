"""learning_rate: what each schedule says at each step."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src import config as configs
from src.optim.schedules import learning_rate


def rates(schedule: str, total: int, steps_per_unit: float = 1, **options: Any) -> list[float]:
    config = configs.build({"lr_schedule": schedule, "base_lr": 2.0, **options})
    return [learning_rate(config, step, total, steps_per_unit) for step in range(total)]


def test_constant_stays() -> None:
    assert rates("constant", 5) == [2.0] * 5


def test_poly_falls_by_its_power_and_never_quite_to_zero() -> None:
    assert rates("poly_1", 4) == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert rates("poly_2", 4) == pytest.approx([2.0, 2 * 9 / 16, 0.5, 2 / 16])


def test_cosine_falls_from_the_base_rate_through_half_of_it() -> None:
    assert rates("cosine", 4) == pytest.approx([2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)])


def test_step_drops_every_so_many_units() -> None:
    assert rates("step_2_0.1", 5) == pytest.approx([2, 2, 0.2, 0.2, 0.02])
    assert rates("step_1_0.5", 6, steps_per_unit=3) == [2, 2, 2, 1, 1, 1]


def test_multistep_drops_at_each_time() -> None:
    assert rates("step_1,3_0.5", 5) == [2, 1, 1, 0.5, 0.5]


def test_a_time_between_two_steps_counts_from_the_next_one() -> None:
    assert rates("step_1,2_0.5", 6, steps_per_unit=2.5) == [2, 2, 2, 1, 1, 0.5]


@given(batch=st.integers(1, 5000), step=st.integers(1, 5000))
def test_times_in_samples_are_met_at_the_exact_step(batch: int, step: int) -> None:
    config = configs.build({"lr_schedule": f"step_{batch * step},{batch * step * 3}_0.5", "base_lr": 2.0})
    around = [learning_rate(config, s, 4 * step, 1 / batch) for s in (step - 1, step, 3 * step - 1, 3 * step)]
    assert around == [2, 1, 1, 0.5]
    every = configs.build({"lr_schedule": f"step_{batch * step}_0.5", "base_lr": 2.0})
    assert [learning_rate(every, s, 4 * step, 1 / batch) for s in (3 * step - 1, 3 * step)] == [0.5, 0.25]


def test_warm_up_rises_linearly_and_the_schedule_starts_after_it() -> None:
    assert rates("constant", 6, warmup_steps=4) == [0.5, 1, 1.5, 2, 2, 2]
    assert rates("poly_1", 6, warmup_steps=2) == pytest.approx([1.0, 2.0, 2.0, 1.5, 1.0, 0.5])


def test_a_warm_up_longer_than_the_run_is_just_cut_off() -> None:
    for schedule in ("constant", "cosine", "poly_3", "step_100_0.1"):
        assert rates(schedule, 3, warmup_steps=10) == pytest.approx([0.2, 0.4, 0.6])


@given(
    schedule=st.sampled_from(["constant", "cosine", "poly_0.5", "poly_8", "step_3_0.1", "step_2,5_0.5"]),
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
