"""Philox 4x64 with ten rounds over element indices (Salmon et al., "Parallel random numbers", 2011).

Word w of a stream is what numpy.random.Philox(key=key).random_raw() gives at position w.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import full_product, part

_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ZERO = np.uint64(0)


@part
def _philox(counter, key0, key1):
    c0, c1, c2, c3 = counter, _ZERO, _ZERO, _ZERO
    for _ in range(10):
        low0, high0 = full_product(_M0, c0)
        low1, high1 = full_product(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0 += _W0
        key1 += _W1
    return c0, c1, c2, c3


@part
def random_words(key, first, count, words):
    """The 64-bit words that hold the 32-bit numbers of elements first .. first + count, two an element pair.

    first is a multiple of 8; `words` (uint64) has room for half of count rounded up to a multiple of 8.
    """
    key0, key1 = key[0], key[1]
    counter = np.uint64(first // 8) + np.uint64(1)  # numpy steps its counter before it draws
    for at in range(0, (count + 1) // 2, 4):
        words[at], words[at + 1], words[at + 2], words[at + 3] = _philox(counter, key0, key1)
        counter += np.uint64(1)
