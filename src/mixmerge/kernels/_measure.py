"""Measure passes over one block: what a method must know of a whole tensor or model before it can be applied.

Counts are integers, and sums run over fixed chunks, so no result depends on blocks or threads.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import compiled, part
from mixmerge.kernels._layout import CHUNK, LANES, TILE
from mixmerge.kernels._prepare import prepare, sparsify
from mixmerge.kernels._rules import sum_of_signs, total

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_U31 = np.uint32(31)
_GROUP = 64


@part
def _count_group(bits, start, stop, low_bits, high_bits):
    """How many magnitudes are below each of two patterns; differences below 2^31 in size, so their sign bit tells."""
    below, below_high = np.uint32(0), np.uint32(0)
    for i in range(start, stop):
        magnitude = np.uint32(bits[i] & _MAGNITUDE)
        below = np.uint32(below + np.uint32(np.uint32(magnitude - low_bits) >> _U31))
        below_high = np.uint32(below_high + np.uint32(np.uint32(magnitude - high_bits) >> _U31))
    return below, below_high


@part
def _bin_group(bits, start, stop, low_bits, width, shift, table):
    for i in range(start, stop):
        offset = np.uint32(np.uint32(bits[i] & _MAGNITUDE) - low_bits)
        if offset < width:
            table[offset >> shift] += 1


@part
def _histogram_tile(bits, count, low_bits, width, shift, below, table):
    """Counts magnitudes below the window and, where a group of elements has any inside, bins them."""
    total, high_bits = np.int64(0), np.uint32(low_bits + width)
    for start in range(0, count, _GROUP):
        stop = min(start + _GROUP, count)
        fewer, fewer_high = _count_group(bits, start, stop, low_bits, high_bits)
        total += fewer
        if width == np.uint32(1):
            table[0] += np.int64(fewer_high) - np.int64(fewer)
        elif fewer_high > fewer:
            _bin_group(bits, start, stop, low_bits, width, shift, table)
    below[0] += total


@compiled
def histogram_block(raw, first, count, low, level, windows, below, tables, tiles, words, nonfinite):
    """Histogram the bit patterns of magnitudes in a window, for every source.

    windows: uint32 (n, 3): lowest pattern, number of patterns, right shift from pattern to bin. below: int64 (n,) and
    tables: int64 (n, bins) are added to. level: see `prepare`.
    """
    n = len(low.weights)
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, level, tiles, words, nonfinite)
        _histogram_rows(tiles, n, width, windows, below, tables)


@part
def _histogram_rows(tiles, n, width, windows, below, tables):
    for k in range(n):
        bits = tiles[k].view(np.uint32)
        window = windows[k]
        _histogram_tile(bits, width, window[0], window[1], window[2], below[k : k + 1], tables[k])


@compiled
def survey_block(raw, first, count, low, windows, below, tables, tiles, words, nonfinite):
    """`histogram_block` of task vectors, and the sum of signs they would elect if trimmed at low.limits."""
    n = len(low.weights)
    elected = np.int64(0)
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        _histogram_rows(tiles, n, width, windows, below, tables)
        for k in range(n):
            sparsify(tiles[k], k, first + start, width, low, words, tiles[n + 4].view(np.uint32))
        total(tiles, n, width, tiles[n + 1])
        elected += sum_of_signs(tiles[n + 1], width)
    return elected


@compiled
def magnitudes_block(raw, first, count, low, level, out, tiles, words, nonfinite):
    """out (float32, (n, count)): magnitudes of every source."""
    n = len(low.weights)
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, level, tiles, words, nonfinite)
        for k in range(n):
            for i in range(width):
                out[k, start + i] = abs(tiles[k, i])


@compiled
def equal_block(raw, first, count, low, limits, counts, tiles, words, nonfinite):
    """counts (int64, (n, chunks)): in each chunk of the block, how many magnitudes equal the source's limit."""
    n = len(low.weights)
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        for k in range(n):
            row, limit = tiles[k], limits[k]
            equal = np.int32(0)
            for i in range(width):
                equal += np.int32(abs(row[i]) == limit)
            counts[k, start // CHUNK] += equal


@compiled
def equal_place(raw, first, count, low, limit, source, wanted, tiles, words, nonfinite):
    """Index in the tensor of the `wanted`-th (from 1) magnitude of one source that equals the limit; -1 if fewer."""
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        row = tiles[source]
        for i in range(width):
            if abs(row[i]) == limit:
                wanted -= 1
                if wanted == 0:
                    return np.int64(first + start + i)
    return np.int64(-1)


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


@compiled
def l1_block(raw, first, count, low, sums, lanes, tiles, words, nonfinite):
    """sums (float64, (n, chunks, 2)): L1 norm of each chunk's task vector, whole and as sparsified.

    lanes: float64 (LANES,) of scratch. low.factors are 1.
    """
    n = len(low.weights)
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        prepare(raw, start, first + start, width, low, 2, tiles, words, nonfinite)
        for k in range(n):
            sums[k, start // CHUNK, 0] += _l1_tile(tiles[k], width, lanes)
            sparsify(tiles[k], k, first + start, width, low, words, tiles[n + 4].view(np.uint32))
            sums[k, start // CHUNK, 1] += _l1_tile(tiles[k], width, lanes)
