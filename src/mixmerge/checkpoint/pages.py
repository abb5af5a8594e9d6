"""Pages of a file that several blocks fill, kept until they are full: what is written past the system's cache of files
is whole pages.

It knows offsets and bytes, and writes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np

from mixmerge.fileio import PAGE, page_buffer

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Part = tuple[int, Bytes]
"""Offset in the file, and what is there."""


def divided(data: Bytes, offset: int) -> tuple[Part | None, list[Part]]:
    """The whole pages of a block that begins at `offset`, None if it has none; and what is left at its ends."""
    end = offset + data.size
    low, high = -(-offset // PAGE) * PAGE, end // PAGE * PAGE
    if low >= high:
        cut = min(low, end)
        edges = [(offset, data[: cut - offset]), (cut, data[cut - offset :])]
        return None, [edge for edge in edges if edge[1].size]
    edges = [(offset, data[: low - offset]), (high, data[high - offset :])]
    return (low, data[low - offset : high - offset]), [edge for edge in edges if edge[1].size]


class _Page:
    """What is known of one page. parts: where each begins, and its bytes."""

    __slots__ = ("data", "parts")

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.parts: dict[int, int] = {}

    @property
    def full(self) -> bool:
        return sum(self.parts.values()) == PAGE


@final
class SharedPages:
    """Those of one file. Any thread, at any time.

    size: bytes of the file; the page it ends in is never full. read: fills a buffer from an offset of the file, for
    pages that hold something already. begun: whether all may, since the file was begun before.
    """

    __slots__ = ("_begun", "_lock", "_pages", "_read", "_size", "_written")

    def __init__(self, size: int, read: Callable[[Bytes, int], None], *, begun: bool) -> None:
        self._size = size
        self._read = read
        self._begun = begun
        self._lock = threading.Lock()
        self._pages: dict[int, _Page] = {}
        self._written: set[int] = set()

    def add(self, offset: int, data: Bytes) -> Part | None:
        """Keep bytes that lie within a page; that page, once they are its last. The file has it from the caller then.

        Raises what reading raises.
        """
        at = offset // PAGE * PAGE
        with self._lock:
            page = self._pages.get(at)
            if page is None:
                page = self._pages[at] = self._opened(at)
            page.data[offset - at : offset - at + data.size] = data
            page.parts[offset] = data.size
            if not page.full:
                return None
            self._written.add(at)
            return at, self._pages.pop(at).data

    def _opened(self, at: int) -> _Page:
        data = page_buffer(PAGE)
        if self._begun or at in self._written:
            self._read(data[: self._size - at], at)
        return _Page(data)

    def rest(self) -> Iterator[Part]:
        """Each page that is not full, as far as the file goes; it is kept no longer once the next one is asked for."""
        while self._pages:
            at = next(iter(self._pages))
            yield at, self._pages[at].data[: self._size - at]
            with self._lock:
                self._written.add(at)
                del self._pages[at]
