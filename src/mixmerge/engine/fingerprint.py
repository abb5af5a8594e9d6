"""Fingerprints in passing: xxh3-128 of fixed chunks, then of the chunk digests in order. One value a tensor.

The chunks are of elements, not of blocks, so the value depends on nothing but dtype and bytes. For a tensor of at most
one chunk it is still the digest of the one digest.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import xxhash

from mixmerge.kernels import CHUNK

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def chunk_digests(data: Bytes, itemsize: int) -> bytes:
    """16 bytes for each chunk of CHUNK elements of raw data that starts at a chunk's boundary."""
    size, view, digest = CHUNK * itemsize, data.data, xxhash.xxh3_128_digest
    return b"".join([digest(view[at : at + size]) for at in range(0, len(view), size)])


def combined(digests: bytes | bytearray) -> str:
    """The fingerprint of a tensor from the digests of its chunks, 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(digests)


class Tally:
    """Collects chunk digests of one tensor and its inputs from any thread until all blocks are there."""

    __slots__ = ("_digests", "_left", "_lock")

    def __init__(self, count: int, streams: int) -> None:
        chunks = -(-count // CHUNK)
        self._digests = [bytearray(16 * chunks) for _ in range(streams)]
        self._left = count
        self._lock = threading.Lock()

    def add(self, first: int, count: int, digests: list[bytes]) -> tuple[str, ...] | None:
        """Enter a block; the fingerprints of all streams once it was the last one."""
        at = 16 * (first // CHUNK)
        with self._lock:
            for stream, found in zip(self._digests, digests, strict=True):
                stream[at : at + len(found)] = found
            self._left -= count
            if self._left:
                return None
        return tuple(combined(stream) for stream in self._digests)
