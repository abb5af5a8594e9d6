"""Compiled kernels work on groups of 32 elements: odd sizes give the same bytes, and nothing is written elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kernels.test_kernels_equal_definition import ITEMSIZE, VARIANTS, lowered, raw_rows, run_merge, scratch
from mixmerge.kernels import SCRATCH, TILE, load

COUNTS = (*range(1, 71), TILE - 1, TILE + 1, TILE + 33)
CODES = [2, 1, 0]
WINDOWS = np.array([[0, 2**31, 15], [0x3F000000, 1, 0]], np.uint32)  # the second: one pattern, 0.5
RULE = "elect_mix_pair"


class Guarded:
    """Buffers of exactly the size the kernels ask for, filled with garbage, between bytes that must stay."""

    def __init__(self) -> None:
        self._all: list[tuple[np.ndarray, int]] = []

    def buffer(self, shape: Sequence[int], kind: Any, fill: int = 0xFF) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        whole = np.full(size + 512, 0xA5, np.uint8)
        whole[256 : 256 + size] = fill
        self._all.append((whole, size))
        return whole[256 : 256 + size].view(kind).reshape(shape)

    def scratch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tiles = self.buffer((3 + SCRATCH, TILE), np.float32)
        return tiles, self.buffer((TILE // 8,), np.uint64), self.buffer((4,), np.int64, 0)

    def whole(self) -> bool:
        return all((all_[:256] == 0xA5).all() and (all_[256 + size :] == 0xA5).all() for all_, size in self._all)


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_count(variant: str) -> None:
    rng = np.random.default_rng(8)
    low = lowered(CODES, **VARIANTS[variant])
    made, defined = load(compiled=True), load(compiled=False)
    for count in COUNTS:
        rows = raw_rows(rng, CODES, count, odd=False)[:, : 4 * count]
        guarded = Guarded()
        raw = guarded.buffer(rows.shape, np.uint8)
        raw[:] = rows
        out, mine = guarded.buffer((count * ITEMSIZE[low.out_code],), np.uint8), guarded.scratch()
        elected = made.merge_block[RULE](raw, 0, count, low, out, *mine)
        assert (out.tobytes(), mine[2].tolist(), elected) == run_merge(defined, RULE, raw, count, low), count
        seen = []
        for kernels, buffers in ((made, guarded.scratch()), (defined, scratch(2))):
            below, tables = guarded.buffer((2,), np.int64, 0), guarded.buffer((2, 65_536), np.int64, 0)
            kernels.histogram_block(raw, 0, count, low, 2, WINDOWS, below, tables, *buffers)
            seen.append((below.tolist(), tables.tobytes()))
        assert seen[0] == seen[1], count
        assert np.array_equal(raw, rows)
        assert guarded.whole(), count
