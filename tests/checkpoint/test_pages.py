"""Blocks cut at pages: nothing is lost or written twice, in whatever order they come."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.checkpoint.pages import Bytes, SharedPages, divided
from mixmerge.fileio import PAGE, address_of


@given(offset=st.integers(0, 5 * PAGE), size=st.integers(0, 4 * PAGE))
def test_a_block_is_whole_pages_and_what_is_left(offset: int, size: int) -> None:
    data = np.arange(size, dtype=np.uint16).astype(np.uint8)
    whole, edges = divided(data, offset)
    assert all(0 < part.size < PAGE and at // PAGE == (at + part.size - 1) // PAGE for at, part in edges)
    parts = sorted([*edges, *([] if whole is None else [whole])], key=lambda part: part[0])
    assert sum(part.size for _, part in parts) == size
    for at, part in parts:
        np.testing.assert_array_equal(part, data[at - offset : at - offset + part.size])
    if whole is not None:
        assert whole[0] % PAGE == whole[1].size % PAGE == 0 < whole[1].size
    if whole is None:
        assert size < 2 * PAGE


class File:
    """Bytes, and which of them were there before."""

    def __init__(self, size: int, fill: int = 0) -> None:
        self.data = np.full(size, fill, np.uint8)
        self.reads = 0

    def read(self, out: Bytes, at: int) -> None:
        out[:] = self.data[at : at + out.size]
        self.reads += 1

    def write(self, at: int, data: Bytes) -> None:
        assert at + data.size <= self.data.size, "beyond the end"
        self.data[at : at + data.size] = data


@st.composite
def cuts(draw: st.DrawFn) -> list[int]:
    """Where blocks of a file begin and end, in bytes."""
    size = draw(st.integers(1, 6 * PAGE))
    inner = draw(st.sets(st.integers(1, size), max_size=12))
    return sorted({0, size} | inner)


@given(cuts=cuts(), seed=st.integers(0, 99), passes=st.integers(1, 2))
def test_pages_come_out_once_they_are_full(cuts: list[int], seed: int, passes: int) -> None:
    """Also where all is written a second time, with other bytes."""
    size = cuts[-1]
    file = File(size)
    pages = SharedPages(size, file.read, begun=False)
    for number in range(passes):
        data = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
        blocks = list(itertools.pairwise(cuts))
        random.Random(seed + number).shuffle(blocks)
        for low, high in blocks:
            whole, edges = divided(data[low:high], low)
            full = [page for page in (pages.add(*edge) for edge in edges) if page is not None]
            assert all(address_of(part) % PAGE == 0 and part.size == PAGE for _, part in full)
            for at, part in full if whole is None else [whole, *full]:
                assert at % PAGE == part.size % PAGE == 0
                file.write(at, part)
    for at, part in pages.rest():
        file.write(at, part)
    np.testing.assert_array_equal(file.data, data)
    assert list(pages.rest()) == []


def test_what_a_file_held_before_stays() -> None:
    file = File(3 * PAGE - 5, fill=7)
    pages = SharedPages(file.data.size, file.read, begun=True)
    assert pages.add(PAGE + 10, np.full(20, 1, np.uint8)) is None
    assert pages.add(2 * PAGE + 1, np.full(PAGE - 6, 2, np.uint8)) is None, "the last page is never full"
    for at, part in pages.rest():
        file.write(at, part)
    expected = np.full(3 * PAGE - 5, 7, np.uint8)
    expected[PAGE + 10 : PAGE + 30] = 1
    expected[2 * PAGE + 1 :] = 2
    np.testing.assert_array_equal(file.data, expected)
    assert file.reads == 2


def test_a_page_written_for_want_of_the_rest_is_read_again() -> None:
    file = File(2 * PAGE)
    pages = SharedPages(file.data.size, file.read, begun=False)
    pages.add(0, np.full(100, 1, np.uint8))
    for at, part in pages.rest():
        file.write(at, part)
    pages.add(100, np.full(PAGE - 101, 2, np.uint8))
    for at, part in pages.rest():
        file.write(at, part)
    assert file.data[:PAGE].tolist() == [1] * 100 + [2] * (PAGE - 101) + [0]


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_fill_pages_together(threads: int) -> None:
    size = 40 * PAGE
    data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    file = File(size)
    pages = SharedPages(size, file.read, begun=False)

    def put(low: int) -> None:
        page = pages.add(low, data[low : low + 64])
        if page is not None:
            file.write(*page)

    places = list(range(0, size, 64))
    random.Random(1).shuffle(places)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, places))
    assert list(pages.rest()) == []
    np.testing.assert_array_equal(file.data, data)
