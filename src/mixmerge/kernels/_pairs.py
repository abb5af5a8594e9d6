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


@merged
def usual_pair(raw, first, count, low, out):
    """Whether the loops of this module do what the numbers ask for."""
    if len(low.weights) != 2 or low.out_code != 2 or low.divisor != np.float32(1):
        return False
    if low.dare != DARE_NONE and (low.dare != DARE_RANDOM or low.dare_weight):
        return False
    misplaced = address_of(out) & 3
    for k in range(len(low.codes)):
        if low.codes[k] >= 0:
            if low.codes[k] != 2:
                return False
            misplaced |= raw[k] & 3
    for k in range(2):
        if low.factors[k] != np.float32(1) or not low.limits[k] >= _ZERO or low.cuts[k] < first + count:
            return False
    return misplaced == 0


@part
def _low(word):
    return as_float(np.uint32(word << _HALF))


@part
def _high(word):
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
def _sum(a, b, w0, w1, count, out):
    found = np.uint32(0)
    for i in range(count):
        x, y = a[i], b[i]
        word = _joined(w0 * _low(x) + w1 * _low(y), w0 * _high(x) + w1 * _high(y))
        out[i] = word
        found = np.uint32(found | _carries(word))
    return (found & _SIGNS) == np.uint32(0)


@part
def _moved(base, x, y, w0, w1, scale):
    return base + scale * (w0 * (x - base) + w1 * (y - base))


@part
def _delta_sum(a, b, base, w0, w1, scale, count, out):
    found = np.uint32(0)
    for i in range(count):
        x, y, z = a[i], b[i], base[i]
        low = _moved(_low(z), _low(x), _low(y), w0, w1, scale)
        word = _joined(low, _moved(_high(z), _high(x), _high(y), w0, w1, scale))
        out[i] = word
        found = np.uint32(found | _carries(word))
    return (found & _SIGNS) == np.uint32(0)


@part
def _trimmed(delta, limit):
    return delta if abs(delta) >= limit else _ZERO


@part
def _largest(a, b, c, d):
    """Bit patterns order as magnitudes do, infinity and NaN last."""
    first = max(np.uint32(as_bits(a) & _MAGNITUDE), np.uint32(as_bits(b) & _MAGNITUDE))
    return max(first, max(np.uint32(as_bits(c) & _MAGNITUDE), np.uint32(as_bits(d) & _MAGNITUDE)))


@part
def _elected(base, a, b, w0, w1, scale, majority):
    """As `rule_elect_mix_pair`. majority: 1, -1 or 0."""
    lone = a if abs(a) > abs(b) else b
    lone = lone if a + b != _ZERO else majority * abs(a)
    alike = (min(a, b) > _ZERO) | (max(a, b) < _ZERO)
    return base + scale * ((w0 * a + w1 * b if alike else lone) + _ZERO)


@part
def _sign(value):
    return np.int32(np.int32(value > _ZERO) - np.int32(value < _ZERO))


@part
def _finite(words, count):
    found = np.uint32(0)
    for i in range(count):
        found = np.uint32(found | _carries(words[i]))
    return (found & _SIGNS) == np.uint32(0)


@part
def _elect_mix_pair(a, b, base, w0, w1, scale, majority, limit0, limit1, count, out):
    largest, signs = np.uint32(0), np.int32(0)
    for i in range(count):
        x, y, z = a[i], b[i], base[i]
        c, d = _low(x) - _low(z), _low(y) - _low(z)
        e, f = _high(x) - _high(z), _high(y) - _high(z)
        largest = max(largest, _largest(c, d, e, f))
        c, d, e, f = _trimmed(c, limit0), _trimmed(d, limit1), _trimmed(e, limit0), _trimmed(f, limit1)
        low = _elected(_low(z), c, d, w0, w1, scale, majority)
        out[i] = _joined(low, _elected(_high(z), e, f, w0, w1, scale, majority))
        signs = np.int32(signs + np.int32(_sign(c + d) + _sign(e + f)))
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
def _thinned(x, base, divisor, halves):
    """A task vector after DARE: what is left of it once it has been added to the base."""
    return _kept(x, base, divisor, halves) - base


@part
def _low_half(mask):
    return np.uint32((mask & ~_HIGH) | np.uint32(mask << _HALF))


@part
def _high_half(mask):
    return np.uint32((mask & _HIGH) | np.uint32(mask >> _HALF))


@part
def _dare_sum(a, b, base, m, n, divisor, w0, w1, count, out):
    largest, found = np.uint32(0), np.uint32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        c, d, e, f = _low(x), _low(y), _high(x), _high(y)
        g, h = _low(z), _high(z)
        largest = max(largest, _largest(c - g, d - g, e - h, f - h))
        c, d = _kept(c, g, divisor, _low_half(keep)), _kept(d, g, divisor, _low_half(hold))
        e, f = _kept(e, h, divisor, _high_half(keep)), _kept(f, h, divisor, _high_half(hold))
        word = _joined(w0 * c + w1 * d, w0 * e + w1 * f)
        out[i] = word
        found = np.uint32(found | _carries(word))
    return (largest < _INFINITE) & ((found & _SIGNS) == np.uint32(0))


@part
def _dare_delta_sum(a, b, base, m, n, divisor, w0, w1, scale, count, out):
    largest, found = np.uint32(0), np.uint32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        c, d, e, f = _low(x), _low(y), _high(x), _high(y)
        g, h = _low(z), _high(z)
        largest = max(largest, _largest(c - g, d - g, e - h, f - h))
        c, d = _thinned(c, g, divisor, _low_half(keep)), _thinned(d, g, divisor, _low_half(hold))
        e, f = _thinned(e, h, divisor, _high_half(keep)), _thinned(f, h, divisor, _high_half(hold))
        word = _joined(g + scale * (w0 * c + w1 * d), h + scale * (w0 * e + w1 * f))
        out[i] = word
        found = np.uint32(found | _carries(word))
    return (largest < _INFINITE) & ((found & _SIGNS) == np.uint32(0))


@part
def _dare_elect(a, b, base, m, n, divisor, w0, w1, scale, majority, limit0, limit1, count, out):
    largest, found, signs = np.uint32(0), np.uint32(0), np.int32(0)
    for i in range(count):
        x, y, z, keep, hold = a[i], b[i], base[i], m[i], n[i]
        c, d, e, f = _low(x), _low(y), _high(x), _high(y)
        g, h = _low(z), _high(z)
        largest = max(largest, _largest(c - g, d - g, e - h, f - h))
        c, d = _thinned(c, g, divisor, _low_half(keep)), _thinned(d, g, divisor, _low_half(hold))
        e, f = _thinned(e, h, divisor, _high_half(keep)), _thinned(f, h, divisor, _high_half(hold))
        c, d, e, f = _trimmed(c, limit0), _trimmed(d, limit1), _trimmed(e, limit0), _trimmed(f, limit1)
        low = _elected(g, c, d, w0, w1, scale, majority)
        word = _joined(low, _elected(h, e, f, w0, w1, scale, majority))
        out[i] = word
        found = np.uint32(found | _carries(word))
        signs = np.int32(signs + np.int32(_sign(c + d) + _sign(e + f)))
    return np.int64(signs) if (largest < _INFINITE) & ((found & _SIGNS) == np.uint32(0)) else np.int64(REFUSED)


@merged
def _words(raw, k, start, count):
    return seen_at(raw[k] + 2 * start, count // 2, np.uint32)


@merged
def _masks(k, first, count, low, words, row):
    """Source k's mask in a row of scratch: one half-word an element."""
    spread(staying(k, first, count, low, words), count, seen_as(row, np.uint16))
    return seen_as(row, np.uint32)


@merged
def pair_sum(raw, first, start, count, low, out, tiles, words):
    dared = low.dare != DARE_NONE
    if low.delta or dared != (low.codes[2] >= 0) or low.sparse != SPARSE_NONE or count & 1:
        return np.int64(REFUSED)
    a, b, target = _words(raw, 0, start, count), _words(raw, 1, start, count), seen_as(out, np.uint32)[start // 2 :]
    w0, w1, fine = low.weights[0], low.weights[1], True
    if not dared:
        fine = _sum(a, b, w0, w1, count // 2, target)
    else:
        base = _words(raw, 2, start, count)
        for at in range(0, count, TILE):
            size, i = min(TILE, count - at), at // 2
            m = _masks(0, first + at, size, low, words, tiles[3])
            n = _masks(1, first + at, size, low, words, tiles[4])
            fine &= _dare_sum(a[i:], b[i:], base[i:], m, n, low.dare_divisor, w0, w1, size // 2, target[i:])
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def pair_delta_sum(raw, first, start, count, low, out, tiles, words):
    if not low.delta or low.sparse != SPARSE_NONE or count & 1:
        return np.int64(REFUSED)
    a, b, base = _words(raw, 0, start, count), _words(raw, 1, start, count), _words(raw, 2, start, count)
    target, w0, w1, scale = seen_as(out, np.uint32)[start // 2 :], low.weights[0], low.weights[1], low.scale
    fine = True
    if low.dare == DARE_NONE:
        fine = _delta_sum(a, b, base, w0, w1, scale, count // 2, target)
    else:
        for at in range(0, count, TILE):
            size, i = min(TILE, count - at), at // 2
            m = _masks(0, first + at, size, low, words, tiles[3])
            n = _masks(1, first + at, size, low, words, tiles[4])
            fine &= _dare_delta_sum(
                a[i:], b[i:], base[i:], m, n, low.dare_divisor, w0, w1, scale, size // 2, target[i:]
            )
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def pair_elect_mix_pair(raw, first, start, count, low, out, tiles, words):
    if not low.delta or low.sparse != SPARSE_TRIM or count & 1:
        return np.int64(REFUSED)
    a, b, base = _words(raw, 0, start, count), _words(raw, 1, start, count), _words(raw, 2, start, count)
    target, w0, w1, scale = seen_as(out, np.uint32)[start // 2 :], low.weights[0], low.weights[1], low.scale
    limit0, limit1, signs = low.limits[0], low.limits[1], np.int64(0)
    if low.dare == DARE_NONE:
        signs = _elect_mix_pair(a, b, base, w0, w1, scale, low.majority, limit0, limit1, count // 2, target)
    else:
        for at in range(0, count, TILE):
            size, i = min(TILE, count - at), at // 2
            m = _masks(0, first + at, size, low, words, tiles[3])
            n = _masks(1, first + at, size, low, words, tiles[4])
            signs += _dare_elect(
                a[i:], b[i:], base[i:], m, n, low.dare_divisor, w0, w1, scale, low.majority, limit0, limit1,
                size // 2, target[i:],
            )  # fmt: skip
    return signs if signs > REFUSED // 2 else np.int64(REFUSED)


LOOPS: Final[Mapping[str, Callable[..., Any]]] = {
    "sum": pair_sum,
    "delta_sum": pair_delta_sum,
    "elect_mix_pair": pair_elect_mix_pair,
}
