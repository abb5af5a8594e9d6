"""Low-rank changes: compiled loop and numpy definition agree bit for bit, wherever a block begins and ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.kernels import TILE, Kernels, load

F32 = np.float32


@pytest.fixture(scope="module")
def both() -> tuple[Kernels, Kernels]:
    return load(compiled=True), load(compiled=False)


def case(rows: int, columns: int, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A matrix and factors over many orders of magnitude, so that every order of the sum gives other bits."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 4, shape)).astype(F32)

    return numbers(rows * columns), numbers(rows, rank), numbers(rank, columns)


def run(
    kernels: Kernels, values: np.ndarray, first: int, left: np.ndarray, right: np.ndarray, scale: float
) -> np.ndarray:
    found = values.copy()
    kernels.add_low_rank(found, first, left, right, F32(scale), np.zeros(TILE, F32))
    return found


def defined(values: np.ndarray, left: np.ndarray, right: np.ndarray, scale: float) -> np.ndarray:
    """The whole matrix, one product and one sum at a time."""
    change = np.zeros((left.shape[0], right.shape[1]), F32)
    for k in range(left.shape[1]):
        product = np.multiply(left[:, k : k + 1], right[k], dtype=F32)
        change = np.add(change, product, dtype=F32)
    return np.add(values, np.multiply(F32(scale), change, dtype=F32).ravel(), dtype=F32)


@pytest.mark.parametrize(
    ("rows", "columns", "rank"),
    [(1, 1, 1), (3, 5, 1), (9, 4, 3), (2, TILE + 5, 4), (70, 33, 5), (4, 3 * TILE, 9), (5_000, 1, 2), (40, 64, 16)],
)
def test_both_give_the_bits_of_the_definition(
    rows: int, columns: int, rank: int, both: tuple[Kernels, Kernels]
) -> None:
    values, left, right = case(rows, columns, rank, 3)
    wanted = defined(values, left, right, 1.7)
    for kernels in both:
        assert run(kernels, values, 0, left, right, 1.7).tobytes() == wanted.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 90), st.integers(1, 9), st.floats(-3, 3, width=32), st.integers(0, 99), st.data()
)
def test_a_block_is_a_part_of_the_whole(
    rows: int, columns: int, rank: int, scale: float, seed: int, data: st.DataObject
) -> None:
    values, left, right = case(rows, columns, rank, seed)
    wanted = defined(values, left, right, scale)
    first = data.draw(st.integers(0, values.size - 1))
    stop = data.draw(st.integers(first, values.size))
    for kernels in (load(compiled=True), load(compiled=False)):
        found = run(kernels, values[first:stop], first, left, right, scale)
        assert found.tobytes() == wanted[first:stop].tobytes()


def test_it_is_near_the_exact_sum(both: tuple[Kernels, Kernels]) -> None:
    """Within the rounding of rank + 2 operations on the sizes that are added."""
    rows, columns, rank = 37, 61, 16
    values, left, right = case(rows, columns, rank, 5)
    wide = [part.astype(np.float64) for part in (values, left, right)]
    exact = wide[0] + 2.5 * (wide[1] @ wide[2]).ravel()
    size = np.abs(wide[0]) + 2.5 * (np.abs(wide[1]) @ np.abs(wide[2])).ravel()
    found = run(both[0], values, 0, left, right, 2.5)
    assert (np.abs(found - exact) <= (rank + 2) * 2.0**-24 * size).all()


def test_infinity_and_nan_go_through(both: tuple[Kernels, Kernels]) -> None:
    """They are told where the block is looked at, not here."""
    values, left, right = np.array([1, 2], F32), np.array([[np.inf], [np.nan]], F32), np.ones((1, 1), F32)
    for kernels in both:
        found = run(kernels, values, 0, left, right, 1)
        assert np.isinf(found[0])
        assert np.isnan(found[1])
