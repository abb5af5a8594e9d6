"""Counting the magnitudes of prepared rows: below a window, and in its bins."""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import part
from mixmerge.kernels._machine import below_and_inside, bits_set, lowest_bit, seen_as

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_ONE = np.uint32(1)
_GROUP = 32


@part
def _bin(bits, place, low_bits, width, shift, table):
    """Count one magnitude into its bin where it is inside the window; 1 where it is below."""
    magnitude = np.uint32(bits[place] & _MAGNITUDE)
    if magnitude < low_bits:
        return np.int64(1)
    offset = np.uint32(magnitude - low_bits)
    if offset < width:
        table[offset >> shift] += 1
    return np.int64(0)


@part
def _histogram_tile(bits, count, low_bits, width, shift, below, table):
    """Counts magnitudes below the window and bins those inside, which are few once the window is narrow."""
    fewer, whole = np.int64(0), count - count % _GROUP
    for start in range(0, whole, _GROUP):
        under, inside = below_and_inside(bits, start, low_bits, width)
        fewer += bits_set(under)
        if width == _ONE:
            table[0] += bits_set(inside)
        else:
            while inside:
                _bin(bits, start + np.int64(lowest_bit(inside)), low_bits, width, shift, table)
                inside &= np.uint32(inside - _ONE)
    for i in range(whole, count):
        fewer += _bin(bits, i, low_bits, width, shift, table)
    below[0] += fewer


@part
def histogram_rows(tiles, start, n, width, windows, below, tables):
    """`width` elements of every row, from `start` on, into its histogram, where its window holds anything."""
    for k in range(n):
        window = windows[k]
        if window[1]:
            bits = seen_as(tiles[k, start:], np.uint32)
            _histogram_tile(bits, width, window[0], window[1], window[2], below[k : k + 1], tables[k])
