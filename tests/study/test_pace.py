"""The time a study says is left: told once there is a second draw, and not spoilt by the first, which loads all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.study.pace import time_left


@pytest.mark.parametrize(
    ("ended", "at_once", "remaining", "left"),
    [
        ([], 1, 4, None),
        ([60.0], 1, 3, None),
        ([60.0, 61.0], 1, 2, 2.0),
        ([60.0, 61.0, 64.0], 1, 10, 20.0),
        ([60.0, 61.0, 62.0], 3, 5, None),
        ([60.0, 61.0, 62.0, 63.0], 3, 5, 5.0),
        ([60.0], 1, 0, 0.0),
    ],
)
def test_the_first_draw_of_each_worker_says_nothing_of_the_others(
    ended: list[float], at_once: int, remaining: int, left: float | None
) -> None:
    assert time_left(ended, at_once, remaining) == left


@given(st.floats(0, 1e6), st.floats(0.01, 1e4), st.integers(1, 50), st.integers(1, 1000))
def test_draws_that_take_the_same_time_take_it_in_future_too(
    loading: float, each: float, done: int, remaining: int
) -> None:
    ended = [loading + each * number for number in range(1, done + 2)]
    assert time_left(ended, 1, remaining) == pytest.approx(remaining * each, rel=1e-3)
