"""From raw bytes to what a rule combines, tile by tile: widen, check, DARE, task vector, sparsify.

Neighbouring steps are one loop where that is the usual case. Every loop writes another row than it reads, and touches
few arrays: so it becomes vector code.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._cast import widen
from mixmerge.kernels._compile import merged, part
from mixmerge.kernels._layout import DARE_NONE, DARE_RANDOM, SPARSE_BERNOULLI, SPARSE_NONE, SPARSE_TRIM
from mixmerge.kernels._machine import seen_as, seen_at
from mixmerge.kernels._random import random_bits, random_mask, spread

_ZERO, _ONE = np.float32(0), np.float32(1)
_NONE = np.float32(-1)  # a limit that every number reaches
_KEPT, _DROPPED, _BIT = np.uint8(255), np.uint8(0), np.uint8(1)


@part
def _delta(stored, base, count, limit, out):
    """Task vectors; those smaller than the limit are 0, as is what is not a number. limit: negative keeps all."""
    if limit < _ZERO:
        for i in range(count):
            out[i] = stored[i] - base[i]
        return
    for i in range(count):
        value = np.float32(stored[i] - base[i])
        out[i] = value if abs(value) >= limit else _ZERO


@part
def _dare(stored, base, count, divisor, mask, out):
    """Weights whose task vector is masked and rescaled."""
    for i in range(count):
        value = np.float32(np.float32(stored[i] - base[i]) / divisor)
        out[i] = base[i] + (value if mask[i] else _ZERO)


@part
def _dare_delta(stored, base, count, divisor, mask, limit, out):
    """`_dare` and `_delta` at once: the same roundings, no row between."""
    for i in range(count):
        value = np.float32(np.float32(stored[i] - base[i]) / divisor)
        thinned = np.float32(base[i] + (value if mask[i] else _ZERO))
        value = np.float32(thinned - base[i])
        out[i] = value if (abs(value) >= limit) | (limit < _ZERO) else _ZERO


@part
def _dare_weights(stored, count, divisor, mask, out):
    for i in range(count):
        value = np.float32(stored[i] / divisor)
        out[i] = value if mask[i] else _ZERO


@part
def _large_mask(stored, base, count, of_weight, limit, mask):
    """mask[i]: 255 where the size of the weight, or of the task vector, is above the limit."""
    if of_weight:
        for i in range(count):
            mask[i] = _KEPT if abs(stored[i]) > limit else _DROPPED
    else:
        for i in range(count):
            mask[i] = _KEPT if abs(np.float32(stored[i] - base[i])) > limit else _DROPPED


@merged
def staying(k, first, count, low, words):
    """Bits of the elements of source k that random DARE leaves, 32 a word: those at hand, else made in `words`."""
    if low.stays[k]:
        return seen_at(low.stays[k] + first // 8, (count + 31) // 32, np.uint32)
    return random_bits(low.keys[k], first, count, low.dare_drop, words)


@merged
def _dare_mask(stored, base, k, first, count, low, words, mask):
    if low.dare == DARE_RANDOM:
        spread(staying(k, first, count, low, words), count, mask)
    else:
        _large_mask(stored, base, count, low.dare_weight == 1, low.dare_limits[k], mask)


@part
def _masked(row, count, mask):
    bits = seen_as(row, np.uint32)
    for i in range(count):
        bits[i] = np.uint32(bits[i] & np.uint32(np.uint32(0) - np.uint32(mask[i] & _BIT)))


@part
def _trim(row, count, limit):
    bits = seen_as(row, np.uint32)
    for i in range(count):
        keep = np.uint32(np.uint32(0) - np.uint32(abs(row[i]) >= limit))
        bits[i] = np.uint32(bits[i] & keep)


@merged
def _finish(row, k, first, count, low, words, mask):
    """What sparsifying asks beside a threshold: cuts among equals, random masks, rescaling."""
    if low.sparse == SPARSE_BERNOULLI:
        random_mask(low.keys[k], first, count, low.keeps[k], words, mask)
        _masked(row, count, mask)
    else:
        limit = low.limits[k]
        for i in range(max(low.cuts[k] - first + 1, 0), count):
            if abs(row[i]) == limit:
                row[i] = _ZERO
    factor = low.factors[k]
    if factor != _ONE:
        for i in range(count):
            row[i] = row[i] * factor


@merged
def sparsify(row, k, first, count, low, words, mask):
    """Thin one source's task vector in place, as the method says, and rescale what stays. mask: uint8 of scratch."""
    if low.sparse == SPARSE_TRIM:
        _trim(row, count, low.limits[k])
    _finish(row, k, first, count, low, words, mask)


@merged
def _thinned(stored, base, k, first, count, low, limit, words, mask, spare, row):
    """From a source's stored values to its task vector, after DARE where there is one; see `_delta` for limit."""
    if low.dare == DARE_NONE:
        _delta(stored, base, count, limit, row)
        return
    _dare_mask(stored, base, k, first, count, low, words, mask)
    if low.dare_weight:
        _dare_weights(stored, count, low.dare_divisor, mask, spare)
        _delta(spare, base, count, limit, row)
    else:
        _dare_delta(stored, base, count, low.dare_divisor, mask, limit, row)


@merged
def _dared(stored, base, k, first, count, low, words, mask, row):
    _dare_mask(stored, base, k, first, count, low, words, mask)
    if low.dare_weight:
        _dare_weights(stored, count, low.dare_divisor, mask, row)
    else:
        _dare(stored, base, count, low.dare_divisor, mask, row)


@merged
def prepare(raw, start, first, count, low, level, tiles, words, nonfinite):
    """Fill tiles[k][:count] for every source and tiles[n] with the base, from elements start .. of the raw rows.

    raw: int64 (n + 1,), the address of each row. first: index in the tensor of element `start` of the rows. level: 0
    as stored, 1 after DARE, 2 as the rule's space asks, 3 sparsified too. words: uint64 (TILE / 8,) of scratch; the
    rows of tiles after the base are scratch as well.
    nonfinite (int64, n + 1): set to 1 for inputs with NaN or infinity.
    """
    n = len(low.weights)
    base, stored, spare, mask = tiles[n], tiles[n + 1], tiles[n + 2], seen_as(tiles[n + 4], np.uint8)
    dared, moved = level >= 1 and low.dare != DARE_NONE, level >= 2 and low.delta == 1
    if low.codes[n] >= 0 and widen(raw[n], low.codes[n], start, count, base):
        nonfinite[n] = 1
    for k in range(n):
        row = tiles[k]
        if widen(raw[k], low.codes[k], start, count, stored if dared or moved else row):
            nonfinite[k] = 1
        if moved:
            limit = low.limits[k] if level >= 3 and low.sparse == SPARSE_TRIM else _NONE
            _thinned(stored, base, k, first, count, low, limit, words, mask, spare, row)
        elif dared:
            _dared(stored, base, k, first, count, low, words, mask, row)
        if level >= 3 and low.sparse != SPARSE_NONE:
            if not moved and low.sparse == SPARSE_TRIM:
                _trim(row, count, low.limits[k])
            _finish(row, k, first, count, low, words, mask)
