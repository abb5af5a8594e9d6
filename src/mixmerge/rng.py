"""Addressed randomness: every random number is a pure function of who asks, never of when.

A stream is numpy's Philox keyed by xxh3-128 of its address, so anybody can compute it again
with numpy alone. Element e of a mask reads the low (even e) or high (odd e) half of 64-bit word e // 2 of its stream.
There is no global generator and no state. Knows nothing of tensors beyond their names.
"""

from __future__ import annotations

import numpy as np
import xxhash

WORDS_PER_BLOCK = 4


def stream_key(seed: int, *address: str | int) -> tuple[int, int]:
    """The two 64-bit key words (low, high) of the stream at an address, as (output tensor name, source position)."""
    text = "\0".join(str(part) for part in (seed, *address))
    digest = xxhash.xxh3_128_intdigest(text.encode("utf-8"))
    return digest & (2**64 - 1), digest >> 64


def _stream(key: tuple[int, int]) -> np.random.Philox:
    # As an array: numpy would turn a mixture of small and large Python integers into floats.
    return np.random.Philox(key=np.array(key, dtype=np.uint64))


def uniform(seed: int, *address: str | int) -> float:
    """A float64 in (0, 1): the middle of one of 2^53 equal cells, from the first word of the stream."""
    word = int(_stream(stream_key(seed, *address)).random_raw())
    return ((word >> 11) + 0.5) * 2.0**-53


def mask_numbers(key: tuple[int, int], first: int, count: int) -> np.ndarray:
    """The 32-bit numbers of elements first .. first + count of a stream, as uint32 of shape (count,)."""
    block, skip = divmod(first, 2 * WORDS_PER_BLOCK)
    source = _stream(key).advance(block)
    words = source.random_raw((skip + count + 1) // 2).astype("<u8", copy=False)
    return words.view("<u4")[skip : skip + count]


def drop_threshold(drop_rate: float) -> int:
    """An element is dropped when its 32-bit number is below this; drop_rate in [0, 1]."""
    return round(drop_rate * 2**32)
