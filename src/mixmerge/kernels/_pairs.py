"""The usual merges in one loop each: two BF16 sources, with or without a base, into BF16, in registers throughout.

A 32-bit word holds two elements. Each half becomes a float32 by one mask or shift, and goes back into its half after
rounding, so nothing is shuffled. The loops compute what `_prepare`, `_rules` and `_cast` compute, to the last bit, and
give up where a number is not finite: the tiles then tell which input it is in. With DARE they go tile by tile, beside
masks of one half-word an element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from mixmerge.kernels._compile import merged, part
from mixmerge.kernels._layout import DARE_NONE, DARE_RANDOM, SPARSE_NONE, SPARSE_TRIM, TILE
from mixmerge.kernels._machine import address_of, as_bits, as_float, seen_as, seen_at
from mixmerge.kernels._prepare import staying
from mixmerge.kernels._random import spread

SPAN: Final = 16_384
"""Elements of one call of a loop; what is done again where one of them is not finite."""

REFUSED: Final = -(2**40)
"""A loop's answer instead of the sum of signs: nothing it wrote counts."""

_HALF, _ONE, _BELOW_HALF = np.uint32(16), np.uint32(1), np.uint32(0x7FFF)
_HIGH, _MAGNITUDE = np.uint32(0xFFFF0000), np.uint32(0x7FFFFFFF)
_MAGNITUDES, _STEPS, _SIGNS = np.uint32(0x7FFF7FFF), np.uint32(0x00800080), np.uint32(0x80008000)
_INFINITE = np.uint32(0x7F800000)
_ZERO, _WHOLE = np.float32(0), np.float32(1)
_TAME = np.float32(2.0**100)
"""A change below it takes no finite BF16 number to infinity: it is less than half the step of the largest."""
_BELOW_ZERO = np.float32(-(2.0**-149))


@merged
def bfloat_pair(raw, low):
    """Whether there are two sources, they and the base, if there is one, BF16 at even addresses of words."""
    misplaced = len(low.weights) != 2
    for k in range(len(low.codes)):
        if low.codes[k] >= 0:
            misplaced |= low.codes[k] != 2 or raw[k] & 3 != 0
    return not misplaced


@merged
def usual_pair(raw, first, count, low, out):
    """Whether the loops of this module do what the numbers ask for."""
    if not bfloat_pair(raw, low) or low.out_code != 2 or low.divisor != np.float32(1):
        return False
    if low.dare != DARE_NONE and (low.dare != DARE_RANDOM or low.dare_weight):
        return False
    for k in range(2):
        if low.factors[k] != np.float32(1) or not low.limits[k] >= _ZERO or low.cuts[k] < first + count:
            return False
    return address_of(out) & 3 == 0


@part
def low_half(word):
    return as_float(np.uint32(word << _HALF))


@part
def high_half(word):
    return as_float(np.uint32(word & _HIGH))


@part
def _nearest(value):
    """Its leading 16 bits are the value as BF16, ties to even. A NaN made of BF16 numbers has no bit to carry from."""
    bits = as_bits(value)
    return np.uint32(np.uint32(bits + _BELOW_HALF) + np.uint32(np.uint32(bits >> _HALF) & _ONE))


@part
def _joined(low, high):
    return np.uint32(np.uint32(_nearest(low) >> _HALF) | np.uint32(_nearest(high) & _HIGH))


@part
def _carries(word):
    """The sign of each half is set where its exponent is all ones."""
    return np.uint32(np.uint32(word & _MAGNITUDES) + _STEPS)


@part
def all_finite(found):
    """Of what `_carries` found, by `or`."""
    return (found & _SIGNS) == np.uint32(0)


@part
def any_carries(x, y, word):
    """Of two sources and the result, which is not finite where the base is not."""
    return np.uint32(np.uint32(_carries(x) | _carries(y)) | _carries(word))


@part
def _sum(a, b, w0, w1, count, out):
    found = np.uint32(0)
    for i in range(count):
        x, y = a[i], b[i]
        word = _joined(w0 * low_half(x) + w1 * low_half(y), w0 * high_half(x) + w1 * high_half(y))
        out[i] = word
        found = np.uint32(found | _carries(word))
    return all_finite(found)


@part
def _moved(base, x, y, w0, w1, scale):
    return base + scale * (w0 * (x - base) + w1 * (y - base))


@part
def _delta_sum(a, b, base, w0, w1, scale, count, out):
    found = np.uint32(0)
    for i in range(count):
        x, y, z = a[i], b[i], base[i]
        low = _moved(low_half(z), low_half(x), low_half(y), w0, w1, scale)
        word = _joined(low, _moved(high_half(z), high_half(x), high_half(y), w0, w1, scale))
        out[i] = word
        found = np.uint32(found | _carries(word))
    return all_finite(found)


@part
def trimmed(delta, limit):
    return delta if abs(delta) >= limit else _ZERO


@part
def _largest(a, b, c, d):
    """Bit patterns order as magnitudes do, infinity and NaN last."""
    first = max(np.uint32(as_bits(a) & _MAGNITUDE), np.uint32(as_bits(b) & _MAGNITUDE))
    return max(first, max(np.uint32(as_bits(c) & _MAGNITUDE), np.uint32(as_bits(d) & _MAGNITUDE)))


@part
def _elected(base, a, b, total, w0, w1, scale, edge):
    """As `rule_elect_mix_pair`, where there is a majority. total: a + b. edge: see `_edge`."""
    low, high = min(a, b), max(a, b)
    lone = high if total > edge else low
    alike = (low > _ZERO) | (high < _ZERO)
    return base + scale * ((w0 * a + w1 * b if alike else lone) + _ZERO)


@part
def sign(total, edge):
    """1 or -1 of a sum other than 0: with an edge below it, 0 counts on both sides."""
    return np.int32(np.int32(total > edge) - np.int32(total < -edge))


@merged
def _edge(majority):
    """What the sums that elect the larger number are above: 0, or where numbers that cancel do so too, just below."""
    return _BELOW_ZERO if majority > _ZERO else _ZERO


@part
def _finite(words, count):
    found = np.uint32(0)
    for i in range(count):
        found = np.uint32(found | _carries(words[i]))
    return all_finite(found)


@part
def _elect_mix_pair(a, b, base, w0, w1, scale, edge, limit0, limit1, count, out):
    largest, signs = np.uint32(0), np.int32(0)
    for i in range(count):
        x, y, z = a[i], b[i], base[i]
        c, d = low_half(x) - low_half(z), low_half(y) - low_half(z)
        e, f = high_half(x) - high_half(z), high_half(y) - high_half(z)
        largest = max(largest, _largest(c, d, e, f))
        c, d, e, f = trimmed(c, limit0), trimmed(d, limit1), trimmed(e, limit0), trimmed(f, limit1)
        s, t = c + d, e + f
        low = _elected(low_half(z), c, d, s, w0, w1, scale, edge)
        out[i] = _joined(low, _elected(high_half(z), e, f, t, w0, w1, scale, edge))
        signs = np.int32(signs + np.int32(sign(s, edge) + sign(t, edge)))
    gain = abs(scale) * max(_WHOLE, abs(w0) + abs(w1))
    fine = largest < _INFINITE and (as_float(largest) * gain < _TAME or _finite(out, count))
    return np.int64(signs) if fine else np.int64(REFUSED)


@part
def _masked(value, halves):
    return as_float(np.uint32(as_bits(value) & halves))


@part
def _kept(x, base, divisor, halves):
    """A weight after DARE."""
    return base + _masked((x - base) / divisor, halves)


@part
def thinned(x, base, divisor, halves):
    """A task vector after DARE: what is left of it once it has been added to the base."""
    return _kept(x, base, divisor, halves) - base


@part
def low_mask(mask):
    return np.uint32((mask & ~_HIGH) | np.uint32(mask << _HALF))


@part
def high_mask(mask):
    return np.uint32((mask & _HIGH) | np.uint32(mask >> _HALF))


@part
def _dare_sum(a, b, base, m, n, divisor, w0, w1, count, out):
    found = np.uint32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        c, d, e, f = low_half(x), low_half(y), high_half(x), high_half(y)
        g, h = low_half(z), high_half(z)
        c, d = _kept(c, g, divisor, low_mask(keep)), _kept(d, g, divisor, low_mask(hold))
        e, f = _kept(e, h, divisor, high_mask(keep)), _kept(f, h, divisor, high_mask(hold))
        word = _joined(w0 * c + w1 * d, w0 * e + w1 * f)
        out[i] = word
        found = np.uint32(found | any_carries(x, y, word))
    return all_finite(found)


@part
def _dare_delta_sum(a, b, base, m, n, divisor, w0, w1, scale, count, out):
    found = np.uint32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        c, d, e, f = low_half(x), low_half(y), high_half(x), high_half(y)
        g, h = low_half(z), high_half(z)
        c, d = thinned(c, g, divisor, low_mask(keep)), thinned(d, g, divisor, low_mask(hold))
        e, f = thinned(e, h, divisor, high_mask(keep)), thinned(f, h, divisor, high_mask(hold))
        word = _joined(g + scale * (w0 * c + w1 * d), h + scale * (w0 * e + w1 * f))
        out[i] = word
        found = np.uint32(found | any_carries(x, y, word))
    return all_finite(found)


@part
def _dare_elect(a, b, base, m, n, divisor, w0, w1, scale, edge, limit0, limit1, count, out):
    found, signs = np.uint32(0), np.int32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        c, d, e, f = low_half(x), low_half(y), high_half(x), high_half(y)
        g, h = low_half(z), high_half(z)
        c, d = thinned(c, g, divisor, low_mask(keep)), thinned(d, g, divisor, low_mask(hold))
        e, f = thinned(e, h, divisor, high_mask(keep)), thinned(f, h, divisor, high_mask(hold))
        c, d, e, f = trimmed(c, limit0), trimmed(d, limit1), trimmed(e, limit0), trimmed(f, limit1)
        s, t = c + d, e + f
        word = _joined(_elected(g, c, d, s, w0, w1, scale, edge), _elected(h, e, f, t, w0, w1, scale, edge))
        out[i] = word
        found = np.uint32(found | any_carries(x, y, word))
        signs = np.int32(signs + np.int32(sign(s, edge) + sign(t, edge)))
    return np.int64(signs) if all_finite(found) else np.int64(REFUSED)


@part
def _settled(base, a, b, both, w0, w1, scale):
    """`_elected` of what is known to stay in the end. both: negative where that is a number of each source."""
    return base + scale * ((w0 * a + w1 * b if both < 0 else a + b) + _ZERO)


@part
def _dare_settled(a, b, base, m, n, divisor, w0, w1, scale, count, out):
    """`_dare_elect` with masks that leave out what is trimmed and what is not elected, too; it counts no signs."""
    found = np.uint32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        g, h, both = low_half(z), high_half(z), np.uint32(keep & hold)
        c, d = thinned(low_half(x), g, divisor, low_mask(keep)), thinned(low_half(y), g, divisor, low_mask(hold))
        e, f = thinned(high_half(x), h, divisor, high_mask(keep)), thinned(high_half(y), h, divisor, high_mask(hold))
        low = _settled(g, c, d, np.int32(both << _HALF), w0, w1, scale)
        word = _joined(low, _settled(h, e, f, np.int32(both), w0, w1, scale))
        out[i] = word
        found = np.uint32(found | any_carries(x, y, word))
    return np.int64(0) if all_finite(found) else np.int64(REFUSED)


@merged
def words_of(raw, k, start, count):
    return seen_at(raw[k] + 2 * start, count // 2, np.uint32)


@merged
def masks_of(k, first, count, low, words, row):
    """Source k's mask in a row of scratch: one half-word an element."""
    spread(staying(k, first, count, low, words), count, seen_as(row, np.uint16))
    return seen_as(row, np.uint32)


@merged
def pair_sum(raw, first, start, count, low, out, tiles, words):
    dared = low.dare != DARE_NONE
    if low.delta or dared != (low.codes[2] >= 0) or low.sparse != SPARSE_NONE or count & 1:
        return np.int64(REFUSED)
    a, b, target = words_of(raw, 0, start, count), words_of(raw, 1, start, count), seen_as(out, np.uint32)[start // 2 :]
    w0, w1, fine = low.weights[0], low.weights[1], True
    if not dared:
        fine = _sum(a, b, w0, w1, count // 2, target)
    else:
        base = words_of(raw, 2, start, count)
        for at in range(0, count, TILE):
            size, i = min(TILE, count - at), at // 2
            m = masks_of(0, first + at, size, low, words, tiles[3])
            n = masks_of(1, first + at, size, low, words, tiles[4])
            fine &= _dare_sum(a[i:], b[i:], base[i:], m, n, low.dare_divisor, w0, w1, size // 2, target[i:])
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def pair_delta_sum(raw, first, start, count, low, out, tiles, words):
    if not low.delta or low.sparse != SPARSE_NONE or count & 1:
        return np.int64(REFUSED)
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    target, w0, w1, scale = seen_as(out, np.uint32)[start // 2 :], low.weights[0], low.weights[1], low.scale
    fine = True
    if low.dare == DARE_NONE:
        fine = _delta_sum(a, b, base, w0, w1, scale, count // 2, target)
    else:
        for at in range(0, count, TILE):
            size, i = min(TILE, count - at), at // 2
            m = masks_of(0, first + at, size, low, words, tiles[3])
            n = masks_of(1, first + at, size, low, words, tiles[4])
            fine &= _dare_delta_sum(
                a[i:], b[i:], base[i:], m, n, low.dare_divisor, w0, w1, scale, size // 2, target[i:]
            )
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def pair_elect_mix_pair(raw, first, start, count, low, out, tiles, words):
    if not low.delta or low.sparse != SPARSE_TRIM or low.majority == _ZERO or count & 1:
        return np.int64(REFUSED)
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    target, w0, w1, scale = seen_as(out, np.uint32)[start // 2 :], low.weights[0], low.weights[1], low.scale
    limit0, limit1, edge, signs = low.limits[0], low.limits[1], _edge(low.majority), np.int64(0)
    if low.dare == DARE_NONE:
        signs = _elect_mix_pair(a, b, base, w0, w1, scale, edge, limit0, limit1, count // 2, target)
    else:
        for at in range(0, count, TILE):
            size, i = min(TILE, count - at), at // 2
            m = masks_of(0, first + at, size, low, words, tiles[3])
            n = masks_of(1, first + at, size, low, words, tiles[4])
            x, y, z, to, half = a[i:], b[i:], base[i:], target[i:], size // 2
            if low.settled:
                signs += _dare_settled(x, y, z, m, n, low.dare_divisor, w0, w1, scale, half, to)
            else:
                signs += _dare_elect(x, y, z, m, n, low.dare_divisor, w0, w1, scale, edge, limit0, limit1, half, to)
    return signs if signs > REFUSED // 2 else np.int64(REFUSED)


LOOPS: Final[Mapping[str, Callable[..., Any]]] = {
    "sum": pair_sum,
    "delta_sum": pair_delta_sum,
    "elect_mix_pair": pair_elect_mix_pair,
}
