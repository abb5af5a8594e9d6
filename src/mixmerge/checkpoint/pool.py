"""A bounded number of open files over all models, opened when first needed and shared by all threads.

It knows paths and descriptors, and closes the file unused for longest when there are too many; it reads and
writes nothing itself.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, final

MAX_OPEN: Final = 64  # of all pools together: a merge of forty models stays below every system's limit
_SHARE: Final = 4  # at most this part of what the process may open

_Key = tuple[int, Path]


def allowed() -> int:
    """How many unused files are kept open: fewer where the system allows few (256 on macOS)."""
    try:
        import resource
    except ImportError:
        return MAX_OPEN
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN if soft == resource.RLIM_INFINITY else min(MAX_OPEN, max(soft // _SHARE, 1))


class _Open:
    """One open file and the number of threads that use it now."""

    __slots__ = ("fd", "users")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 0


@final
class Shelf:
    """The open files of any number of pools. limit: of unused ones that are kept; None as many as `allowed`."""

    __slots__ = ("_limit", "_most", "files", "lock")

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._most = 0
        self.lock = threading.Lock()
        self.files: dict[_Key, _Open] = {}  # least recently used first

    def opened(self, fd: int) -> _Open:
        """One file more. The lock is held."""
        self._most = allowed() if self._limit is None else self._limit
        return _Open(fd)

    def shrink(self) -> None:
        """Close what is too much. The lock is held."""
        excess = len(self.files) - self._most
        if excess > 0:
            for key in [key for key, entry in self.files.items() if entry.users == 0][:excess]:
                os.close(self.files.pop(key).fd)


@final
class Borrowed:
    """A file in use; a context manager. Written out, since every block that is read or written goes through it."""

    __slots__ = ("_entry", "_key", "_opener", "_shelf")

    def __init__(self, shelf: Shelf, key: _Key, opener: Callable[[Path], int]) -> None:
        self._shelf = shelf
        self._key = key
        self._opener = opener

    def __enter__(self) -> int:
        shelf, key = self._shelf, self._key
        with shelf.lock:
            entry = shelf.files.pop(key, None) or shelf.opened(self._opener(key[1]))
            shelf.files[key] = self._entry = entry
            entry.users += 1
        return entry.fd

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._shelf.lock:
            self._entry.users -= 1
            self._shelf.shrink()


_SHELF: Final = Shelf()
_NUMBERS: Final = itertools.count()


@final
class FilePool:
    """Open files by path. `opener` makes the descriptor. shelf: where they are kept; one for the process if None."""

    __slots__ = ("_number", "_opener", "_shelf")

    def __init__(self, opener: Callable[[Path], int], shelf: Shelf | None = None) -> None:
        self._opener = opener
        self._shelf = _SHELF if shelf is None else shelf
        self._number = next(_NUMBERS)  # not the object's id, which another may have after it

    def borrow(self, path: Path) -> Borrowed:
        """A descriptor of `path`, open at least as long as the block lasts. Raises OSError as the opener does."""
        return Borrowed(self._shelf, (self._number, path), self._opener)

    def close(self) -> None:
        """Close every file of this pool. No thread may be using one."""
        files = self._shelf.files
        with self._shelf.lock:
            for key in [key for key in files if key[0] == self._number]:
                os.close(files.pop(key).fd)
