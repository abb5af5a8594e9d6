"""Has every file written past the cache, on any file system: what a device would refuse is an AssertionError here."""

from __future__ import annotations

import fcntl
import os
from typing import Any

import pytest

from mixmerge import fileio
from mixmerge.checkpoint import writer

Writes = list[tuple[int, int]]
"""(offset, bytes) of each."""


def is_direct(fd: int) -> bool:
    """Of those here: nothing else is opened for writing alone."""
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY


def pretend(patch: pytest.MonkeyPatch) -> Writes:
    """Files of any size; descriptors are ordinary ones, and take whole pages from whole pages only. Returns what is
    written so, as it comes."""
    writes: Writes = []
    write = fileio.write_all

    def strict(fd: int, buffer: Any, offset: int) -> None:
        if is_direct(fd):
            assert offset % fileio.PAGE == 0
            assert len(buffer) % fileio.PAGE == 0
            assert fileio.address_of(buffer) % fileio.PAGE == 0
            writes.append((offset, len(buffer)))
        write(fd, buffer, offset)

    patch.setattr(writer, "DIRECT_FROM", 0)
    patch.setattr(fileio, "writes_direct", lambda _: True)
    patch.setattr(fileio, "open_direct", lambda path: os.open(path, os.O_WRONLY))
    patch.setattr(fileio, "write_all", strict)
    return writes
