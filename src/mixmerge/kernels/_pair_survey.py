"""The survey of the usual pair: task vectors of two BF16 sources and the signs they elect, in one loop from raw bytes.

As `_pairs`, with the result in rows of scratch that histograms are taken of. There the lower halves of the words lie
before the upper ones: what is counted has no order.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mixmerge.kernels._compile import merged, part
from mixmerge.kernels._layout import DARE_NONE, DARE_RANDOM, STRIP, TILE
from mixmerge.kernels._machine import address_of, seen_at
from mixmerge.kernels._pairs import (
    REFUSED,
    all_finite,
    any_carries,
    bfloat_pair,
    high_half,
    high_mask,
    low_half,
    low_mask,
    masks_of,
    sign,
    thinned,
    trimmed,
    words_of,
)

HALF: Final = STRIP // 2
"""Words of a strip, and where the upper halves begin in a row."""

_ZERO = np.float32(0)


@merged
def usual_survey(raw, low):
    """Whether the loops of this module do what the numbers ask for, for an even number of elements."""
    dare = low.dare == DARE_NONE or (low.dare == DARE_RANDOM and not low.dare_weight)
    return dare and low.delta == 1 and low.codes[2] >= 0 and bfloat_pair(raw, low)


@part
def _deltas(a, b, base, limit0, limit1, count, out):
    """Task vectors into out, rows of TILE: of a, then of b. Returns the sum of the signs they elect."""
    found, signs = np.uint32(0), np.int32(0)
    for i in range(count):
        x, y, z = a[i], b[i], base[i]
        g, h = low_half(z), high_half(z)
        c, d, e, f = low_half(x) - g, low_half(y) - g, high_half(x) - h, high_half(y) - h
        out[i], out[HALF + i], out[TILE + i], out[TILE + HALF + i] = c, e, d, f
        s, t = trimmed(c, limit0) + trimmed(d, limit1), trimmed(e, limit0) + trimmed(f, limit1)
        found = np.uint32(found | any_carries(x, y, z))
        signs = np.int32(signs + np.int32(sign(s, _ZERO) + sign(t, _ZERO)))
    return np.int64(signs) if all_finite(found) else np.int64(REFUSED)


@part
def _dare_deltas(a, b, base, m, n, divisor, limit0, limit1, count, out):
    """`_deltas` after DARE."""
    found, signs = np.uint32(0), np.int32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        g, h = low_half(z), high_half(z)
        c, d = thinned(low_half(x), g, divisor, low_mask(keep)), thinned(low_half(y), g, divisor, low_mask(hold))
        e, f = thinned(high_half(x), h, divisor, high_mask(keep)), thinned(high_half(y), h, divisor, high_mask(hold))
        out[i], out[HALF + i], out[TILE + i], out[TILE + HALF + i] = c, e, d, f
        s, t = trimmed(c, limit0) + trimmed(d, limit1), trimmed(e, limit0) + trimmed(f, limit1)
        found = np.uint32(found | any_carries(x, y, z))
        signs = np.int32(signs + np.int32(sign(s, _ZERO) + sign(t, _ZERO)))
    return np.int64(signs) if all_finite(found) else np.int64(REFUSED)


@merged
def pair_deltas(raw, first, start, count, low, tiles, words):
    """Fill the first two rows of tiles from `count` elements, a strip at most. Returns the sum of the signs that those
    which reach low.limits elect; REFUSED where something is not finite, or the number of elements odd."""
    if count & 1:
        return np.int64(REFUSED)
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    out = seen_at(address_of(tiles), np.int64(2 * TILE), np.float32)
    if low.dare == DARE_NONE:
        return _deltas(a, b, base, low.limits[0], low.limits[1], count // 2, out)
    m = masks_of(0, first + start, count, low, words, tiles[3])
    n = masks_of(1, first + start, count, low, words, tiles[4])
    return _dare_deltas(a, b, base, m, n, low.dare_divisor, low.limits[0], low.limits[1], count // 2, out)
