"""Philox 4x64 with ten rounds over element indices (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

Word w of a stream is what numpy.random.Philox(key=key).random_raw() gives at position w.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import compiled, high_product

_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_LOW, _U32, _ZERO = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(0)


@compiled
def _philox(counter, key0, key1):
    c0, c1, c2, c3 = counter, _ZERO, _ZERO, _ZERO
    for _ in range(10):
        low0, high0 = _M0 * c0, high_product(_M0, c0)
        low1, high1 = _M1 * c2, high_product(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0 += _W0
        key1 += _W1
    return c0, c1, c2, c3


@compiled
def _keep_pair(word, threshold, kept, at):
    kept[at] = (word & _LOW) >= threshold
    kept[at + 1] = (word >> _U32) >= threshold


@compiled
def random_keep(key, first, count, threshold, kept):
    """kept[i]: whether element first + i stays, its 32-bit number being at or above the threshold.

    first is a multiple of 8; `kept` (bool) has room for count rounded up to a multiple of 8.
    """
    key0, key1 = key[0], key[1]
    counter = np.uint64(first // 8) + np.uint64(1)  # numpy steps its counter before it draws
    for at in range(0, count, 8):
        w0, w1, w2, w3 = _philox(counter, key0, key1)
        _keep_pair(w0, threshold, kept, at)
        _keep_pair(w1, threshold, kept, at + 2)
        _keep_pair(w2, threshold, kept, at + 4)
        _keep_pair(w3, threshold, kept, at + 6)
        counter += np.uint64(1)
