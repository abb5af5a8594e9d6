"""Widening to float32 and rounding from it (to nearest, ties to even), as bit operations on tiles."""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import part
from mixmerge.kernels._machine import seen_as, seen_at

_U13, _U16, _ONE = np.uint32(13), np.uint32(16), np.uint32(1)
_SIGN, _MAGNITUDE, _INFINITE = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
_STEP = np.uint32(0x00800000)
_HALF_SCALE = np.float32(2.0**112)
_HALF_OVERFLOW, _HALF_NORMAL = np.uint32(0x477FF000), np.uint32(0x38800000)


@part
def any_nonfinite(tile, count):
    """Whether a float32 tile holds NaN or infinity: adding one to an exponent of all ones carries into the sign."""
    bits = seen_as(tile, np.uint32)
    carries = np.uint32(0)
    for i in range(count):
        carries = np.uint32(carries | np.uint32((bits[i] & _MAGNITUDE) + _STEP))
    return carries >= _SIGN


@part
def _any_nonfinite_half(halves, count, step):
    """The same of 16-bit numbers. step: one in their exponent."""
    carries = np.uint16(0)
    for i in range(count):
        carries = np.uint16(carries | np.uint16((halves[i] & np.uint16(0x7FFF)) + step))
    return carries >= np.uint16(0x8000)


@part
def _widen_bfloat(halves, count, bits):
    """Returns whether anything is not finite."""
    for i in range(count):
        bits[i] = np.uint32(halves[i]) << _U16
    return _any_nonfinite_half(halves, count, np.uint16(0x0080))


@part
def _widen_half(halves, count, tile):
    bits = seen_as(tile, np.uint32)
    for i in range(count):
        bits[i] = np.uint32(halves[i] & np.uint16(0x7FFF)) << _U13
    for i in range(count):
        tile[i] = tile[i] * _HALF_SCALE
    for i in range(count):
        exponent = _INFINITE if (halves[i] & np.uint16(0x7C00)) == np.uint16(0x7C00) else np.uint32(0)
        bits[i] = bits[i] | exponent | (np.uint32(halves[i] & np.uint16(0x8000)) << _U16)


@part
def widen(address, code, first, count, tile):
    """Elements first .. first + count of the bytes at an address, of dtype `code`, into float32 tile[:count].

    Returns whether any of them is NaN or infinity.
    """
    if code == 2:
        return _widen_bfloat(seen_at(address + 2 * first, count, np.uint16), count, seen_as(tile, np.uint32))
    if code == 0:
        bits, words = seen_as(tile, np.uint32), seen_at(address + 4 * first, count, np.uint32)
        for i in range(count):
            bits[i] = words[i]
    else:
        _widen_half(seen_at(address + 2 * first, count, np.uint16), count, tile)
    return any_nonfinite(tile, count)


@part
def _to_bfloat(bits, count, halves):
    for i in range(count):
        b = bits[i]
        halves[i] = np.uint16((b + np.uint32(0x7FFF) + ((b >> _U16) & _ONE)) >> _U16)


@part
def _to_half(tile, count, halves):
    bits = seen_as(tile, np.uint32)
    for i in range(count):
        magnitude = bits[i] & _MAGNITUDE
        rounded = (magnitude + np.uint32(0xFFF) + ((magnitude >> _U13) & _ONE)) >> _U13
        # Below 2^-14 adding 0.5 rounds at 2^-24, the step of float16's subnormals.
        small = np.float32(abs(tile[i]) + np.float32(0.5)).view(np.uint32) - np.uint32(0x3F000000)
        value = small if magnitude < _HALF_NORMAL else rounded - np.uint32(0x1C000)
        value = np.uint32(0x7C00) if magnitude >= _HALF_OVERFLOW else value
        halves[i] = np.uint16(value | ((bits[i] & _SIGN) >> _U16))


@part
def _restore_nans(bits, count, halves, quiet):
    for i in range(count):
        if (bits[i] & _MAGNITUDE) > _INFINITE:
            halves[i] = np.uint16(((bits[i] & _SIGN) >> _U16) | quiet)


@part
def narrow(tile, code, first, count, raw):
    """Round float32 tile[:count] into elements first .. first + count of raw bytes of dtype `code`.

    Returns whether any of them is NaN or infinity then.
    """
    bits = seen_as(tile, np.uint32)
    if code == 0:
        words = seen_as(raw, np.uint32)[first : first + count]
        for i in range(count):
            words[i] = bits[i]
        return any_nonfinite(tile, count)
    halves = seen_as(raw, np.uint16)[first : first + count]
    if code == 2:
        _to_bfloat(bits, count, halves)
    else:
        _to_half(tile, count, halves)
    if any_nonfinite(tile, count):
        _restore_nans(bits, count, halves, np.uint32(0x7FC0) if code == 2 else np.uint32(0x7E00))
        return True
    return _any_nonfinite_half(halves, count, np.uint16(0x0080) if code == 2 else np.uint16(0x0400))
