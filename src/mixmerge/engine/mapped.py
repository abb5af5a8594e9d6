"""Weight files as memory: mapped once, and looked at where the system's cache has them, with no copy and no call.

For work that goes over the same files many times. Whatever cannot be mapped is None and is read as ever. A file that
shrinks under a mapping ends the process (SIGBUS), so `check` comes before every pass; it sees what changed since.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from mixmerge import fileio
from mixmerge.checkpoint import Checkpoint
from mixmerge.errors import CheckpointError, Problem
from mixmerge.planning import Input, Plan

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Stamp = tuple[int, int]
"""Bytes of a file, and the time of its last change in ns."""

MOST: Final = 256
"""Files mapped at once: each holds a descriptor, and systems give a process 1024, or fewer."""


@final
class MappedFiles:
    """Mappings by path, made when first asked for. Rows that were handed out keep theirs alive. Any thread."""

    def __init__(self) -> None:
        self._files: dict[Path, Bytes | None] = {}
        self._stamps: dict[Path, Stamp] = {}
        self._lock = threading.Lock()

    def row(self, plan: Plan, item: Input, first: int, count: int) -> Bytes | None:
        """Elements `first` to `first + count` of a stored tensor; None where they have to be read instead."""
        model, span = plan.models[item.model], item.span
        if item.rows is not None or type(model) is not Checkpoint or not count:
            return None
        whole = self._whole(span.file)
        offset, size = span.byte_range(first, count)
        if whole is None or offset + size > whole.size or offset % span.dtype.itemsize:
            return None
        return whole[offset : offset + size]

    def check(self) -> None:
        """Raise CheckpointError where a file is no longer the one that was mapped."""
        changed = [path for path, stamp in self._stamps.items() if _stamp(path) != stamp]
        if changed:
            rule, cure = "the weights stay as they are while they are in use", "begin again"
            found = "the file has changed since it was opened"
            raise CheckpointError([Problem(rule, found, f"file {path}", cure) for path in changed])

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._files.clear()
            self._stamps.clear()

    def _whole(self, path: Path) -> Bytes | None:
        known = self._files.get(path)
        if known is not None:
            return known
        with self._lock:
            if path not in self._files:
                self._files[path] = self._mapped(path) if len(self._stamps) < MOST else None
            return self._files[path]

    def _mapped(self, path: Path) -> Bytes | None:
        stamp = _stamp(path)
        if stamp is None:
            return None
        try:
            fd = fileio.open_read(path)
            try:
                memory = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
        except (OSError, ValueError):  # a file system that cannot, no descriptors left, an empty file
            return None
        self._stamps[path] = stamp
        return np.frombuffer(memory, np.uint8)


def _stamp(path: Path) -> Stamp | None:
    """None where there is no such file any more."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
