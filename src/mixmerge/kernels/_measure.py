"""Measure passes over one block: what a method must know of a whole tensor or model before it can be applied.

Counts are integers, and sums run over fixed chunks, so no result depends on blocks or threads.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._choice import DARED, DRAWN, PLAIN
from mixmerge.kernels._compile import bound, compiled, merged, part
from mixmerge.kernels._histogram import histogram_rows
from mixmerge.kernels._layout import CHUNK, LANES, STRIP, TILE
from mixmerge.kernels._machine import above_and_equal, borrowed, seen_as
from mixmerge.kernels._prepare import PREPARE, SEE, SPARSIFY
from mixmerge.kernels._rules import elect, sum_of_signs

_ZERO = np.float32(0)
_GROUP = 32


def prepare(raw, start, first, count, low, level, tiles, words, nonfinite):
    """Stands in the loops for one of `SEE`, in `settle_block` of `PREPARE`."""
    raise NotImplementedError


def sparsify(row, k, first, count, low, trimmed, words, mask):
    """Stands in `l1_block` for one of `SPARSIFY`."""
    raise NotImplementedError


def histogram_block(raw, first, count, low, level, windows, below, tables, tiles, words, nonfinite):
    """Histogram the bit patterns of magnitudes in a window, for every source.

    windows: uint32 (n, 3): lowest pattern, number of patterns, right shift from pattern to bin. below: int64 (n,) and
    tables: int64 (n, bins) are added to. level: see `prepare`.
    """
    raw, low, windows, below, tables, tiles, words, nonfinite = borrowed(
        (raw, low, windows, below, tables, tiles, words, nonfinite)
    )
    n = len(low.weights)
    for start in range(0, count, STRIP):
        width = min(STRIP, count - start)
        prepare(raw, start, first + start, width, low, level, tiles, words, nonfinite)
        histogram_rows(tiles, 0, n, width, windows, below, tables)


@merged
def _trimmed_sum(tiles, n, count, low):
    """Row n + 1: the sum of the task vectors that reach their limits, in source order."""
    sums, row, limit = tiles[n + 1], tiles[0], low.limits[0]
    for i in range(count):
        value = row[i]
        sums[i] = value if abs(value) >= limit else _ZERO
    for k in range(1, n):
        row, limit = tiles[k], low.limits[k]
        for i in range(count):
            value = row[i]
            sums[i] = sums[i] + (value if abs(value) >= limit else _ZERO)


def survey_block(raw, first, count, low, windows, below, tables, tiles, words, nonfinite):
    """`histogram_block` of task vectors, and the sum of the signs that those which reach low.limits elect: no cuts."""
    raw, low, windows, below, tables, tiles, words, nonfinite = borrowed(
        (raw, low, windows, below, tables, tiles, words, nonfinite)
    )
    n = len(low.weights)
    elected = np.int64(0)
    for start in range(0, count, STRIP):
        width = min(STRIP, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        histogram_rows(tiles, 0, n, width, windows, below, tables)
        _trimmed_sum(tiles, n, width, low)
        elected += sum_of_signs(tiles[n + 1], width)
    return elected


def equal_block(raw, first, count, low, limits, counts, tiles, words, nonfinite):
    """counts (int64, (n, chunks)): in each chunk of the block, how many magnitudes equal the source's limit."""
    raw, low, limits, counts, tiles, words, nonfinite = borrowed((raw, low, limits, counts, tiles, words, nonfinite))
    n = len(low.weights)
    for start in range(0, count, STRIP):
        width = min(STRIP, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        for k in range(n):
            row, limit = tiles[k], limits[k]
            equal = np.int32(0)
            for i in range(width):
                equal += np.int32(abs(row[i]) == limit)
            counts[k, start // CHUNK] += equal


def equal_place(raw, first, count, low, limit, source, wanted, tiles, words, nonfinite):
    """Index in the tensor of the `wanted`-th (from 1) magnitude of one source that equals the limit; -1 if fewer."""
    for start in range(0, count, STRIP):
        width = min(STRIP, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        row = tiles[source]
        for i in range(width):
            if abs(row[i]) == limit:
                wanted -= 1
                if wanted == 0:
                    return np.int64(first + start + i)
    return np.int64(-1)


@part
def _agreeing(row, sign, count, flags, bits, at):
    """bits[at + g]: which of the elements of a row have the sign, 32 a word. flags: uint8 of scratch."""
    groups = (count + _GROUP - 1) // _GROUP
    for i in range(count):
        flags[i] = np.uint8(row[i] * sign[i] > _ZERO)
    for i in range(count, groups * _GROUP):
        flags[i] = np.uint8(0)
    for g in range(groups):
        bits[at + g] = above_and_equal(flags, g * _GROUP, np.uint8(0))[0]


def settle_block(raw, first, count, low, bits, tiles, words, nonfinite):
    """bits (uint32, (n, words)), of a whole tensor: what is left of each source in the end, after DARE and trimming, of
    the elected sign; they may be the masks at low.stays. Rules that elect give the same bytes with them as with those.
    """
    raw, low, bits, tiles, words, nonfinite = borrowed((raw, low, bits, tiles, words, nonfinite))
    n = len(low.weights)
    for start in range(0, count, STRIP):
        width = min(STRIP, count - start)
        prepare(raw, start, first + start, width, low, 3, tiles, words, nonfinite)
        elect(tiles, n, width, low.majority, tiles[n + 2])
        for k in range(n):
            flags = seen_as(tiles[n + 3], np.uint8)
            _agreeing(tiles[k], tiles[n + 2], width, flags, bits[k], (first + start) // _GROUP)


@part
def _l1_tile(row, count, lanes):
    """Sum of |row| in LANES interleaved float64 sums, added in order."""
    for j in range(LANES):
        lanes[j] = 0.0
    for start in range(0, count, LANES):
        for j in range(min(LANES, count - start)):
            lanes[j] += np.float64(abs(row[start + j]))
    result = 0.0
    for j in range(LANES):
        result += lanes[j]
    return result


def l1_block(raw, first, count, low, sums, lanes, tiles, words, nonfinite):
    """sums (float64, (n, chunks, 2)): L1 norm of each chunk's task vector, whole and as sparsified.

    lanes: float64 (LANES,) of scratch. low.factors are 1.
    """
    raw, low, tiles, words, nonfinite = borrowed((raw, low, tiles, words, nonfinite))
    n = len(low.weights)
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        for k in range(n):
            sums[k, start // CHUNK, 0] += _l1_tile(tiles[k], width, lanes)
            sparsify(tiles[k], k, first + start, width, low, False, words, seen_as(tiles[n + 4], np.uint8))
            sums[k, start // CHUNK, 1] += _l1_tile(tiles[k], width, lanes)


def _of_kind(block, kind, **parts):
    return compiled(bound(block, f"{block.__name__}_{kind}", **parts))


_SEEING = (histogram_block, survey_block, equal_block, equal_place)
MEASURE = {
    **{(block.__name__, kind): _of_kind(block, kind, prepare=see) for block in _SEEING for kind, see in SEE.items()},
    ("settle_block", DARED): _of_kind(settle_block, DARED, prepare=PREPARE[DARED]),
    ("l1_block", PLAIN): _of_kind(l1_block, PLAIN, prepare=SEE[PLAIN], sparsify=SPARSIFY[PLAIN]),
    ("l1_block", DARED): _of_kind(l1_block, DARED, prepare=SEE[DARED], sparsify=SPARSIFY[DARED]),
    ("l1_block", DRAWN): _of_kind(l1_block, DRAWN, prepare=SEE[PLAIN], sparsify=SPARSIFY[DRAWN]),
}
"""The loops of this module for each kind of tensor that asks for them."""
