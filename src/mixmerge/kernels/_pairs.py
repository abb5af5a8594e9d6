"""The usual merges in one loop each: two BF16 sources, with or without a base, into BF16, in registers throughout.

A 32-bit word holds two elements. Each half becomes a float32 by one mask or shift, and goes back into its half after
rounding, so nothing is shuffled. The loops compute what `_prepare`, `_rules` and `_cast` compute, to the last bit, and
give up where a number is not finite: the tiles then tell which input it is in. With DARE they go tile by tile, beside
masks of one half-word an element. Which of them may be called is told in `_choice`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from mixmerge.kernels._choice import DARED, PLAIN, SETTLED
from mixmerge.kernels._compile import bound, compiled, merged, part
from mixmerge.kernels._layout import REFUSED, TILE
from mixmerge.kernels._machine import as_bits, as_float, borrowed, seen_as, seen_at
from mixmerge.kernels._prepare import staying
from mixmerge.kernels._random import spread

SPAN: Final = 16_384
"""Elements of one call of a loop without masks; those with masks take a tile."""

STEP: Final = 0
"""Stands in `merge_pair` for the one or the other."""

_HALF, _ONE, _BELOW_HALF = np.uint32(16), np.uint32(1), np.uint32(0x7FFF)
_HIGH, _MAGNITUDE = np.uint32(0xFFFF0000), np.uint32(0x7FFFFFFF)
_MAGNITUDES, _STEPS, _SIGNS = np.uint32(0x7FFF7FFF), np.uint32(0x00800080), np.uint32(0x80008000)
_INFINITE = np.uint32(0x7F800000)
_ZERO, _WHOLE = np.float32(0), np.float32(1)
_TAME = np.float32(2.0**100)
"""A change below it takes no finite BF16 number to infinity: it is less than half the step of the largest."""
_BELOW_ZERO = np.float32(-(2.0**-149))


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
def _sum_pair(raw, first, start, count, low, target, tiles, words):  # noqa: ARG001
    a, b = words_of(raw, 0, start, count), words_of(raw, 1, start, count)
    fine = _sum(a, b, low.weights[0], low.weights[1], count // 2, target)
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def _sum_dared_pair(raw, first, start, count, low, target, tiles, words):
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    m, n = masks_of(0, first, count, low, words, tiles[3]), masks_of(1, first, count, low, words, tiles[4])
    fine = _dare_sum(a, b, base, m, n, low.dare_divisor, low.weights[0], low.weights[1], count // 2, target)
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def _delta_sum_pair(raw, first, start, count, low, target, tiles, words):  # noqa: ARG001
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    fine = _delta_sum(a, b, base, low.weights[0], low.weights[1], low.scale, count // 2, target)
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def _delta_sum_dared_pair(raw, first, start, count, low, target, tiles, words):
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    m, n = masks_of(0, first, count, low, words, tiles[3]), masks_of(1, first, count, low, words, tiles[4])
    w0, w1, scale = low.weights[0], low.weights[1], low.scale
    fine = _dare_delta_sum(a, b, base, m, n, low.dare_divisor, w0, w1, scale, count // 2, target)
    return np.int64(0) if fine else np.int64(REFUSED)


@merged
def _elect_pair(raw, first, start, count, low, target, tiles, words):  # noqa: ARG001
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    w0, w1, scale, edge = low.weights[0], low.weights[1], low.scale, _edge(low.majority)
    return _elect_mix_pair(a, b, base, w0, w1, scale, edge, low.limits[0], low.limits[1], count // 2, target)


@merged
def _elect_dared_pair(raw, first, start, count, low, target, tiles, words):
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    m, n = masks_of(0, first, count, low, words, tiles[3]), masks_of(1, first, count, low, words, tiles[4])
    w0, w1, scale, edge, half = low.weights[0], low.weights[1], low.scale, _edge(low.majority), count // 2
    limit0, limit1, divisor = low.limits[0], low.limits[1], low.dare_divisor
    return _dare_elect(a, b, base, m, n, divisor, w0, w1, scale, edge, limit0, limit1, half, target)


@merged
def _elect_settled_pair(raw, first, start, count, low, target, tiles, words):
    a, b, base = words_of(raw, 0, start, count), words_of(raw, 1, start, count), words_of(raw, 2, start, count)
    m, n = masks_of(0, first, count, low, words, tiles[3]), masks_of(1, first, count, low, words, tiles[4])
    w0, w1, scale = low.weights[0], low.weights[1], low.scale
    return _dare_settled(a, b, base, m, n, low.dare_divisor, w0, w1, scale, count // 2, target)


def loop(raw, first, start, count, low, target, tiles, words):
    """Stands in `merge_pair` for the loop of a rule."""
    raise NotImplementedError


def merge_pair(raw, first, count, low, out, tiles, words):
    """As `merge_block`, an even number of elements, where `_choice.merged_pair` says so; REFUSED where something is not
    finite."""
    raw, low, out, tiles, words = borrowed((raw, low, out, tiles, words))
    target, elected = seen_as(out, np.uint32), np.int64(0)
    for start in range(0, count, STEP):
        size = min(STEP, count - start)
        found = loop(raw, first + start, start, size, low, target[start // 2 :], tiles, words)
        if found == REFUSED:
            return np.int64(REFUSED)
        elected += found
    return elected


_LOOPS: Final[Mapping[tuple[str, str], Callable[..., Any]]] = {
    ("sum", PLAIN): _sum_pair,
    ("sum", DARED): _sum_dared_pair,
    ("delta_sum", PLAIN): _delta_sum_pair,
    ("delta_sum", DARED): _delta_sum_dared_pair,
    ("elect_mix_pair", PLAIN): _elect_pair,
    ("elect_mix_pair", DARED): _elect_dared_pair,
    ("elect_mix_pair", SETTLED): _elect_settled_pair,
}

MERGE_PAIR: Final[Mapping[tuple[str, str], Callable[..., int]]] = {
    (rule, kind): compiled(
        bound(merge_pair, f"merge_pair_{rule}_{kind}", loop=function, STEP=SPAN if kind == PLAIN else TILE)
    )
    for (rule, kind), function in _LOOPS.items()
}
