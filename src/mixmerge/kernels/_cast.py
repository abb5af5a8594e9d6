"""Widening to float32 and rounding from it (to nearest, ties to even), as bit operations on tiles."""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import compiled

_U13, _U16, _ONE = np.uint32(13), np.uint32(16), np.uint32(1)
_SIGN, _MAGNITUDE, _INFINITE = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
_HALF_SCALE = np.float32(2.0**112)
_HALF_OVERFLOW, _HALF_NORMAL = np.uint32(0x477FF000), np.uint32(0x38800000)


@compiled
def largest_bits(tile, count):
    """Largest magnitude of a float32 tile as its bit pattern; at or above 0x7F800000 something is not finite."""
    bits = tile.view(np.uint32)
    largest = np.uint32(0)
    for i in range(count):
        magnitude = bits[i] & _MAGNITUDE
        largest = magnitude if magnitude > largest else largest
    return largest


@compiled
def widen(raw, code, first, count, tile):
    """Elements first .. first + count of raw bytes, of dtype `code`, into float32 tile[:count]."""
    bits = tile.view(np.uint32)
    if code == 0:
        words = raw.view(np.uint32)[first : first + count]
        for i in range(count):
            bits[i] = words[i]
    elif code == 2:
        halves = raw.view(np.uint16)[first : first + count]
        for i in range(count):
            bits[i] = np.uint32(halves[i]) << _U16
    else:
        halves = raw.view(np.uint16)[first : first + count]
        for i in range(count):
            bits[i] = np.uint32(halves[i] & np.uint16(0x7FFF)) << _U13
        for i in range(count):
            tile[i] = tile[i] * _HALF_SCALE
        for i in range(count):
            exponent = _INFINITE if (halves[i] & np.uint16(0x7C00)) == np.uint16(0x7C00) else np.uint32(0)
            bits[i] = bits[i] | exponent | (np.uint32(halves[i] & np.uint16(0x8000)) << _U16)


@compiled
def _to_bfloat(bits, count, halves):
    for i in range(count):
        b = bits[i]
        halves[i] = np.uint16((b + np.uint32(0x7FFF) + ((b >> _U16) & _ONE)) >> _U16)


@compiled
def _to_half(tile, count, halves):
    bits = tile.view(np.uint32)
    for i in range(count):
        magnitude = bits[i] & _MAGNITUDE
        rounded = (magnitude + np.uint32(0xFFF) + ((magnitude >> _U13) & _ONE)) >> _U13
        # Below 2^-14 adding 0.5 rounds at 2^-24, the step of float16's subnormals.
        small = np.float32(abs(tile[i]) + np.float32(0.5)).view(np.uint32) - np.uint32(0x3F000000)
        value = small if magnitude < _HALF_NORMAL else rounded - np.uint32(0x1C000)
        value = np.uint32(0x7C00) if magnitude >= _HALF_OVERFLOW else value
        halves[i] = np.uint16(value | ((bits[i] & _SIGN) >> _U16))


@compiled
def _restore_nans(bits, count, halves, quiet):
    for i in range(count):
        if (bits[i] & _MAGNITUDE) > _INFINITE:
            halves[i] = np.uint16(((bits[i] & _SIGN) >> _U16) | quiet)


@compiled
def narrow(tile, code, first, count, raw):
    """Round float32 tile[:count] into elements first .. first + count of raw bytes of dtype `code`."""
    bits = tile.view(np.uint32)
    if code == 0:
        words = raw.view(np.uint32)[first : first + count]
        for i in range(count):
            words[i] = bits[i]
        return
    halves = raw.view(np.uint16)[first : first + count]
    if code == 2:
        _to_bfloat(bits, count, halves)
    else:
        _to_half(tile, count, halves)
    if largest_bits(tile, count) > _INFINITE:
        _restore_nans(bits, count, halves, np.uint32(0x7FC0) if code == 2 else np.uint32(0x7E00))
