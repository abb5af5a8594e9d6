"""From raw bytes to what a rule combines, tile by tile: widen, check, DARE, task vector, sparsify.

Neighbouring steps are one loop where that is the usual case. Every loop writes another row than it reads, and touches
few arrays: so it becomes vector code.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._cast import widen
from mixmerge.kernels._choice import DARED, DRAWN, PLAIN
from mixmerge.kernels._compile import bound, merged, part
from mixmerge.kernels._layout import DARE_NONE, DARE_RANDOM, SPARSE_NONE, SPARSE_TRIM
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


@part
def _rescale(row, factor, count):
    if factor != _ONE:
        for i in range(count):
            row[i] = row[i] * factor


@merged
def _moved(stored, base, k, first, count, low, moved, limit, words, mask, spare, row):  # noqa: ARG001
    _delta(stored, base, count, limit, row)


@merged
def _dared(stored, base, k, first, count, low, moved, limit, words, mask, spare, row):
    _dare_mask(stored, base, k, first, count, low, words, mask)
    if low.dare_weight:
        _dare_weights(stored, count, low.dare_divisor, mask, spare if moved else row)
        if moved:
            _delta(spare, base, count, limit, row)
    elif moved:
        _dare_delta(stored, base, count, low.dare_divisor, mask, limit, row)
    else:
        _dare(stored, base, count, low.dare_divisor, mask, row)


@merged
def _seen(row, k, first, count, low, trimmed, words, mask):
    """Nothing is sparsified that is only looked at."""


@merged
def _cut(row, k, first, count, low, trimmed, words, mask):  # noqa: ARG001
    """What is below the threshold is 0, unless that has been seen to, and what is to go of those that equal it."""
    if low.sparse != SPARSE_NONE:
        limit = low.limits[k]
        if not trimmed:
            _trim(row, count, limit)
        for i in range(max(low.cuts[k] - first + 1, 0), count):
            if abs(row[i]) == limit:
                row[i] = _ZERO
        _rescale(row, low.factors[k], count)


@merged
def _draw(row, k, first, count, low, trimmed, words, mask):  # noqa: ARG001
    """What a random mask does not leave is 0."""
    random_mask(low.keys[k], first, count, low.keeps[k], words, mask)
    _masked(row, count, mask)
    _rescale(row, low.factors[k], count)


def change(stored, base, k, first, count, low, moved, limit, words, mask, spare, row):
    """Stands in `_prepare` for `_moved` or `_dared`: from a source's stored values to those after DARE, and to the task
    vector if that is asked for (moved); see `_delta` for limit."""
    raise NotImplementedError


def sparsify(row, k, first, count, low, trimmed, words, mask):
    """Stands in `_prepare` for one of `SPARSIFY`, or `_seen`: thins one source's task vector in place, as the method
    says, and rescales what stays. trimmed: its threshold has been applied. mask: uint8 of scratch."""
    raise NotImplementedError


def _prepare(raw, start, first, count, low, level, tiles, words, nonfinite):
    """Fill tiles[k][:count] for every source and tiles[n] with the base, from elements start .. of the raw rows.

    raw: int64 (n + 1,), the address of each row. first: index in the tensor of element `start` of the rows. level: 0
    as stored, 1 after DARE, 2 as the rule's space asks, 3 sparsified too. words: uint64 (TILE / 8,) of scratch; the
    rows of tiles after the base are scratch as well.
    nonfinite (int64, n + 1): set to 1 for inputs with NaN or infinity.
    """
    n = len(low.weights)
    base, stored, spare, mask = tiles[n], tiles[n + 1], tiles[n + 2], seen_as(tiles[n + 4], np.uint8)
    moved = level >= 2 and low.delta == 1
    changed = moved or (level >= 1 and low.dare != DARE_NONE)
    if low.codes[n] >= 0 and widen(raw[n], low.codes[n], start, count, base):
        nonfinite[n] = 1
    for k in range(n):
        row = tiles[k]
        if widen(raw[k], low.codes[k], start, count, stored if changed else row):
            nonfinite[k] = 1
        if changed:
            limit = low.limits[k] if level >= 3 and low.sparse == SPARSE_TRIM else _NONE
            change(stored, base, k, first, count, low, moved, limit, words, mask, spare, row)
        if level >= 3:
            sparsify(row, k, first, count, low, moved, words, mask)


def _prepared(name, changing, sparsifying):
    """`_prepare` compiled for one kind of tensor, without what others ask for: that would take most of the time."""
    return merged(bound(_prepare, f"prepare_{name}", change=changing, sparsify=sparsifying))


SPARSIFY = {PLAIN: _cut, DARED: _cut, DRAWN: _draw}
SEE = {PLAIN: _prepared("seen", _moved, _seen), DARED: _prepared("seen_dared", _dared, _seen)}
"""`_prepare` up to level 2."""

PREPARE = {
    PLAIN: _prepared("plain", _moved, _cut),
    DARED: _prepared("dared", _dared, _cut),
    DRAWN: _prepared("drawn", _moved, _draw),
}
