"""Philox 4x64 with ten rounds over element indices (Salmon et al., "Parallel random numbers", 2011), as masks.

Word w of a stream is what numpy.random.Philox(key=key).random_raw() gives at position w. The number of an element is
defined in `rng.mask_numbers`: its leading byte is one byte of the stream, so one block of the generator decides for
32 elements, and the other 24 bits are looked at only where the leading byte leaves it open.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import compiled, merged, part
from mixmerge.kernels._layout import TILE
from mixmerge.kernels._machine import above_and_equal, borrowed, full_product, lowest_bit, seen_as, spread_bits

_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ZERO, _ONE, _EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
_REST = np.uint64(0xFFFFFF)
_GROUP = 32


@merged
def _philox(counter, high, key0, key1):
    """Written into its callers: as a call of its own it takes twice the time, its answer going through memory."""
    c0, c1, c2, c3 = counter, _ZERO, _ZERO, high
    for _ in range(10):
        low0, high0 = full_product(_M0, c0)
        low1, high1 = full_product(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0 += _W0
        key1 += _W1
    return c0, c1, c2, c3


@part
def _leading_bytes(key, first, count, words):
    """The bytes of elements first .. first + count, in order; whole blocks of the generator, from a multiple of 32."""
    key0, key1 = key[0], key[1]
    counter = np.uint64(first // _GROUP) + _ONE  # numpy steps its counter before it draws
    for at in range(0, (count + 7) // 8, 4):
        words[at], words[at + 1], words[at + 2], words[at + 3] = _philox(counter, _ZERO, key0, key1)
        counter += _ONE


@part
def _rest(key, element):
    """The 24 bits of one element's number below its leading byte."""
    place = np.uint64(element)
    a, b, c, d = _philox(place // _EIGHT + _ONE, _ONE, key[0], key[1])
    odd, late = place & np.uint64(2), place & np.uint64(4)
    early_word, late_word = b if odd else a, d if odd else c
    word = late_word if late else early_word
    return (word >> ((place & _ONE) << np.uint64(5))) & _REST


@part
def random_bits(key, first, count, threshold, words):
    """Bit j of word g of the answer (uint32): whether element first + 32 g + j stays, its 32-bit number being at or
    above the threshold.

    first is a multiple of 32; threshold: uint64 in [0, 2^32]. words: uint64, room for count rounded up to a multiple of
    32 bytes; the answer lies at its beginning.
    """
    bits, groups = seen_as(words, np.uint32), (count + _GROUP - 1) // _GROUP
    if threshold >> np.uint64(32):
        for g in range(groups):
            bits[g] = np.uint32(0)
        return bits
    _leading_bytes(key, first, count, words)
    digits, leading, rest = seen_as(words, np.uint8), np.uint8(threshold >> np.uint64(24)), threshold & _REST
    for g in range(groups):
        stays, open_ = above_and_equal(digits, g * _GROUP, leading)
        if rest == _ZERO:
            stays |= open_
            open_ = np.uint32(0)
        while open_:
            place = lowest_bit(open_)
            found = np.uint32(_rest(key, first + g * _GROUP + np.int64(place)) >= rest)
            stays |= np.uint32(found << place)
            open_ &= np.uint32(open_ - np.uint32(1))
        bits[g] = stays
    return bits


@compiled
def stay_block(key, first, count, threshold, bits, words):
    """`random_bits` of any number of elements, kept. bits: uint32, one a group of 32. words: uint64 (TILE / 8,)."""
    key, bits, words = borrowed((key, bits, words))
    for start in range(0, count, TILE):
        width = min(TILE, count - start)
        found = random_bits(key, first + start, width, threshold, words)
        for g in range((width + _GROUP - 1) // _GROUP):
            bits[start // _GROUP + g] = found[g]


@part
def spread(bits, count, mask):
    """mask[i] (uint8 or uint16): all ones where bit i is set, else 0; room for count rounded up to 32."""
    for g in range((count + _GROUP - 1) // _GROUP):
        spread_bits(bits[g], mask, g * _GROUP)


@part
def random_mask(key, first, count, threshold, words, mask):
    """`random_bits`, spread to bytes."""
    spread(random_bits(key, first, count, threshold, words), count, mask)
