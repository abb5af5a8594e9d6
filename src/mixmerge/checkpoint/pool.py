"""A bounded number of open files, opened when first needed and shared by all threads.

It knows paths and descriptors, and closes the file unused for longest when there are too many; it reads and
writes nothing itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, final

MAX_OPEN: Final = 32  # a model of 200 shards beside four others stays below every system's limit


class _Open:
    """One open file and the number of threads that use it now."""

    __slots__ = ("fd", "users")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 0


@final
class FilePool:
    """Open files by path. `opener` makes the descriptor; at most `limit` unused ones are kept."""

    __slots__ = ("_files", "_limit", "_lock", "_opener")

    def __init__(self, opener: Callable[[Path], int], *, limit: int = MAX_OPEN) -> None:
        self._opener = opener
        self._limit = limit
        self._lock = threading.Lock()
        self._files: dict[Path, _Open] = {}  # least recently used first

    @contextlib.contextmanager
    def borrow(self, path: Path) -> Iterator[int]:
        """A descriptor of `path`, open at least as long as the block lasts. Raises OSError as the opener does."""
        with self._lock:
            entry = self._files.pop(path, None) or _Open(self._opener(path))
            self._files[path] = entry
            entry.users += 1
        try:
            yield entry.fd
        finally:
            with self._lock:
                entry.users -= 1
                self._shrink()

    def _shrink(self) -> None:
        excess = len(self._files) - self._limit
        if excess > 0:
            for path in [path for path, entry in self._files.items() if entry.users == 0][:excess]:
                os.close(self._files.pop(path).fd)

    def close(self) -> None:
        """Close every file. No thread may be using one."""
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1].fd)
