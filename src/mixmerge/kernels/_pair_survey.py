"""The survey of the usual pair: task vectors of two BF16 sources and the signs they elect, in one loop from raw bytes.

As `_pairs`, with the result in rows of scratch that histograms are taken of. There the lower halves of the words lie
before the upper ones: what is counted has no order.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mixmerge.kernels._choice import DARED, PLAIN
from mixmerge.kernels._compile import bound, compiled, merged, part
from mixmerge.kernels._histogram import histogram_rows
from mixmerge.kernels._layout import REFUSED, STRIP, TILE
from mixmerge.kernels._machine import address_of, borrowed, seen_at
from mixmerge.kernels._pairs import (
    all_finite,
    any_carries,
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
def _plain_deltas(raw, first, start, count, low, tiles, words):  # noqa: ARG001
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    out = seen_at(address_of(tiles), np.int64(2 * TILE), np.float32)
    return _deltas(a, b, base, low.limits[0], low.limits[1], count // 2, out)


@merged
def _dared_deltas(raw, first, start, count, low, tiles, words):
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    m, n = masks_of(0, first, count, low, words, tiles[3]), masks_of(1, first, count, low, words, tiles[4])
    out = seen_at(address_of(tiles), np.int64(2 * TILE), np.float32)
    return _dare_deltas(a, b, base, m, n, low.dare_divisor, low.limits[0], low.limits[1], count // 2, out)


def deltas(raw, first, start, count, low, tiles, words):
    """Stands in `survey_pair` for the loop that fills the first two rows of tiles from a strip. Returns the sum of the
    signs that those which reach low.limits elect; REFUSED where something is not finite."""
    raise NotImplementedError


def survey_pair(raw, first, count, low, windows, below, tables, tiles, words):
    """`survey_block` of the elements before the first strip that has a number which is not finite, or an odd number of
    elements. Their number is left in words[0]."""
    raw, low, windows, below, tables, tiles, words = borrowed((raw, low, windows, below, tables, tiles, words))
    elected, start = np.int64(0), np.int64(0)
    while start < count:
        width = min(STRIP, count - start)
        found = np.int64(REFUSED) if width & 1 else deltas(raw, first + start, start, width, low, tiles, words)
        if found == REFUSED:
            break
        elected += found
        histogram_rows(tiles, 0, 2, width // 2, windows, below, tables)
        histogram_rows(tiles, HALF, 2, width // 2, windows, below, tables)
        start += width
    words[0] = np.uint64(start)
    return elected


SURVEY_PAIR = {
    kind: compiled(bound(survey_pair, f"survey_pair_{kind}", deltas=function))
    for kind, function in ((PLAIN, _plain_deltas), (DARED, _dared_deltas))
}
