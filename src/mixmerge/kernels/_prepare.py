"""From raw bytes to what a rule combines, tile by tile: widen, check, DARE, task vector, sparsify.

Every loop writes another value than it reads where it selects, and touches few arrays: so it becomes vector code.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._cast import widen
from mixmerge.kernels._compile import part
from mixmerge.kernels._layout import DARE_NONE, DARE_RANDOM, SPARSE_BERNOULLI, SPARSE_NONE
from mixmerge.kernels._random import random_words

_ZERO, _ONE = np.float32(0), np.float32(1)
_ALL = np.uint32(0xFFFFFFFF)


@part
def _random_mask(key, first, count, threshold, words, mask):
    """mask[i]: all bits set where element first + i stays, its 32-bit number being at or above the threshold."""
    random_words(key, first, count, words)
    if threshold > np.uint64(_ALL):
        for i in range(count):
            mask[i] = np.uint32(0)
        return
    numbers, limit = words.view(np.uint32), np.uint32(threshold)
    for i in range(count):
        mask[i] = np.uint32(0) if numbers[i] < limit else _ALL


@part
def _large_mask(row, count, limit, mask):
    """mask[i]: all bits set where |row[i]| is above the limit."""
    for i in range(count):
        mask[i] = _ALL if abs(row[i]) > limit else np.uint32(0)


@part
def _masked(row, count, mask):
    bits = row.view(np.uint32)
    for i in range(count):
        bits[i] = np.uint32(bits[i] & mask[i])


@part
def _subtract(row, base, count):
    for i in range(count):
        row[i] = row[i] - base[i]


@part
def _add(row, base, count):
    for i in range(count):
        row[i] = base[i] + row[i]


@part
def _dare(row, base, k, first, count, low, words, mask):
    if low.dare_weight == 0:
        _subtract(row, base, count)
    if low.dare == DARE_RANDOM:
        _random_mask(low.keys[k], first, count, low.dare_drop, words, mask)
    else:
        _large_mask(row, count, low.dare_limits[k], mask)
    divisor = low.dare_divisor
    if divisor != _ONE:
        for i in range(count):
            row[i] = row[i] / divisor
    _masked(row, count, mask)
    if low.dare_weight == 0:
        _add(row, base, count)


@part
def _trim_mask(row, count, limit, last, mask):
    """mask[i]: set where |row[i]| is above the limit, or equal to it up to element `last` of the tile."""
    for i in range(count):
        mask[i] = _ALL if abs(row[i]) >= limit else np.uint32(0)
    for i in range(max(last + 1, 0), count):
        if abs(row[i]) == limit:
            mask[i] = np.uint32(0)


@part
def sparsify(row, k, first, count, low, words, mask):
    """Thin one source's task vector in place, as the method says, and rescale what stays."""
    if low.sparse == SPARSE_BERNOULLI:
        _random_mask(low.keys[k], first, count, low.keeps[k], words, mask)
    else:
        _trim_mask(row, count, low.limits[k], low.cuts[k] - first, mask)
    _masked(row, count, mask)
    factor = low.factors[k]
    if factor != _ONE:
        for i in range(count):
            row[i] = row[i] * factor


@part
def prepare(raw, start, first, count, low, level, tiles, words, nonfinite):
    """Fill tiles[k][:count] for every source and tiles[n] with the base, from elements start .. of the raw rows.

    first: index in the tensor of element `start` of the rows. level: 0 as stored, 1 after DARE, 2 as the rule's space
    asks, 3 sparsified too. words: uint64 (TILE / 2,) of scratch; the last row of tiles is scratch as well.
    nonfinite (int64, n + 1): set to 1 for inputs with NaN or infinity.
    """
    n = len(low.weights)
    base, mask = tiles[n], tiles[n + 4].view(np.uint32)
    if low.codes[n] >= 0 and widen(raw[n], low.codes[n], start, count, base):
        nonfinite[n] = 1
    for k in range(n):
        row = tiles[k]
        if widen(raw[k], low.codes[k], start, count, row):
            nonfinite[k] = 1
        if level >= 1 and low.dare != DARE_NONE:
            _dare(row, base, k, first, count, low, words, mask)
        if level >= 2 and low.delta == 1:
            _subtract(row, base, count)
        if level >= 3 and low.sparse != SPARSE_NONE:
            sparsify(row, k, first, count, low, words, mask)
