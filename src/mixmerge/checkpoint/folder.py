"""Where the files of a model lie: a folder on disk, or anything else that lists names and reads ranges of
bytes.

It knows names, sizes and bytes; nothing of safetensors. `Folder` is what a new kind of place implements.
"""

from __future__ import annotations

import abc
import os
from pathlib import Path
from typing import final

from mixmerge import fileio


class Folder(abc.ABC):
    """Files by name. Methods may be called from several threads."""

    @property
    @abc.abstractmethod
    def root(self) -> Path:
        """Where the files are on disk, or would be."""

    @property
    @abc.abstractmethod
    def workers(self) -> int:
        """How many reads at a time pay off."""

    @abc.abstractmethod
    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file directly in the folder, by name, sorted. Raises OSError."""

    @abc.abstractmethod
    def read(self, name: str, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of a file. Raises EOFError if it has fewer, OSError as the place does."""

    def place(self, name: str) -> str:
        """How errors name a file."""
        return str(self.root / name)


@final
class LocalFolder(Folder):
    """A folder on disk. Links to files are followed: the cache of huggingface_hub consists of them."""

    __slots__ = ("_root",)

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        return self._root

    @property
    def workers(self) -> int:
        return 1

    def sizes(self) -> dict[str, int]:
        files = sorted(path for path in self._root.iterdir() if path.is_file())
        return {path.name: path.stat().st_size for path in files}

    def read(self, name: str, offset: int, size: int) -> bytes:
        buffer = bytearray(size)
        fd = fileio.open_read(self._root / name)
        try:
            fileio.read_exact(fd, buffer, offset)
        finally:
            os.close(fd)
        return bytes(buffer)
