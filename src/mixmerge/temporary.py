"""Temporary folders that are known to be in use as long as their process lives, and the end of those it left.

A process that is killed removes nothing. So every folder is locked by the process that made it, and the system drops
the lock when that process ends, however it ended, in whatever container: one that no lock holds is nobody's. Where the
system or the file system has no such locks, nothing is swept. It knows names and locks; it knows no contents.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SETTLED: Final = 60.0
"""Seconds: a younger folder may be one whose maker has yet to lock it."""


@contextmanager
def held(prefix: str) -> Iterator[str]:
    """A new folder's real path, locked until the context ends. Whoever enters it removes what is in it, and it."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix=prefix))
    descriptor = _locked(folder)
    try:
        yield folder
    finally:
        if descriptor is not None:
            os.close(descriptor)


def sweep(prefix: str, contents: re.Pattern[str] | None = None) -> list[str]:
    """Remove folders that dead processes made by `held` with that prefix; returns their paths.

    contents: only those in which every name matches; None: only empty ones. What cannot be removed is left.
    """
    gone = []
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        with suppress(OSError):
            if path.is_symlink() or time.time() - path.lstat().st_mtime < SETTLED:
                continue
            if _ended(path, contents):
                gone.append(str(path))
    return gone


def _ended(path: Path, contents: re.Pattern[str] | None) -> bool:
    """Remove one folder while its lock is held here, so that no two sweepers meet."""
    descriptor = _locked(str(path))
    if descriptor is None:
        return False
    try:
        names = os.listdir(path)
        if names and (contents is None or not all(map(contents.fullmatch, names))):
            return False
        for name in names:
            shutil.rmtree(path / name)
        path.rmdir()
        return True
    finally:
        os.close(descriptor)


def _locked(folder: str) -> int | None:
    """A descriptor that holds the folder's lock; None where another process has it, or there are no locks."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
