"""From raw bytes to what a rule combines, tile by tile: widen, check for NaN and infinity, DARE, task vector, sparsify."""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._cast import largest_bits, widen
from mixmerge.kernels._compile import compiled
from mixmerge.kernels._layout import DARE_NONE, DARE_RANDOM, SPARSE_BERNOULLI, SPARSE_NONE
from mixmerge.kernels._random import random_keep

_INFINITE = np.uint32(0x7F800000)
_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def _dare(row, base, k, first, count, low, kept):
    if low.dare_weight == 0:
        for i in range(count):
            row[i] = row[i] - base[i]
    if low.dare == DARE_RANDOM:
        random_keep(low.keys[k], first, count, low.dare_drop, kept)
    else:
        limit = low.dare_limits[k]
        for i in range(count):
            kept[i] = abs(row[i]) > limit
    divisor = low.dare_divisor
    if divisor != _ONE:
        for i in range(count):
            row[i] = row[i] / divisor
    for i in range(count):
        row[i] = row[i] if kept[i] else _ZERO
    if low.dare_weight == 0:
        for i in range(count):
            row[i] = base[i] + row[i]


@compiled
def sparsify(row, k, first, count, low, kept):
    if low.sparse == SPARSE_BERNOULLI:
        random_keep(low.keys[k], first, count, low.keeps[k], kept)
        for i in range(count):
            row[i] = row[i] if kept[i] else _ZERO
    else:
        limit = low.limits[k]
        if low.cuts[k] >= first + count:
            for i in range(count):
                row[i] = row[i] if abs(row[i]) >= limit else _ZERO
        else:
            last = low.cuts[k] - first
            for i in range(count):
                size = abs(row[i])
                row[i] = row[i] if size > limit or (size == limit and i <= last) else _ZERO
    factor = low.factors[k]
    if factor != _ONE:
        for i in range(count):
            row[i] = row[i] * factor


@compiled
def prepare(raw, start, first, count, low, level, tiles, kept, nonfinite):
    """Fill tiles[k][:count] for every source and tiles[n] with the base, from elements start .. of the raw rows.

    first: index in the tensor of element `start` of the rows. level: 0 as stored, 1 after DARE, 2 as the rule's space
    asks, 3 sparsified too. nonfinite (int64, n + 1): set to 1 for inputs with NaN or infinity.
    """
    n = len(low.weights)
    if low.codes[n] >= 0:
        widen(raw[n], low.codes[n], start, count, tiles[n])
        if largest_bits(tiles[n], count) >= _INFINITE:
            nonfinite[n] = 1
    for k in range(n):
        row = tiles[k]
        widen(raw[k], low.codes[k], start, count, row)
        if largest_bits(row, count) >= _INFINITE:
            nonfinite[k] = 1
        if level >= 1 and low.dare != DARE_NONE:
            _dare(row, tiles[n], k, first, count, low, kept)
        if level >= 2 and low.delta == 1:
            base = tiles[n]
            for i in range(count):
                row[i] = row[i] - base[i]
        if level >= 3 and low.sparse != SPARSE_NONE:
            sparsify(row, k, first, count, low, kept)
