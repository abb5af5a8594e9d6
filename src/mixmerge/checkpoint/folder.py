"""Where the files of a model lie: a folder on disk, or anything else that lists names and reads ranges of bytes.

It knows names, sizes and bytes; nothing of safetensors. `Folder` is what a new kind of place implements. A folder may
come from a stranger: a link in it that leads elsewhere would have the person's own files read, and copied into outputs.
"""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from mixmerge import fileio
from mixmerge.checkpoint.problems import ProblemList, shorten


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


_READ: Final = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken"})
"""Endings of what is read or copied of a model."""

_HASH: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def _in_hub_cache(home: Path, end: Path) -> bool:
    """Whether a file is one that the hub's cache keeps: of the model that `home` is a snapshot of, or of any."""
    own = home.parent.name == "snapshots" and end.parent == (home.parent.parent / "blobs").resolve()
    kept = end.parent.name == "blobs" and end.parent.parent.name.startswith("models--")
    return own or (kept and _HASH.fullmatch(end.name) is not None)


@final
class LocalFolder(Folder):
    """A folder on disk. Links to files are followed within it, and in the cache of huggingface_hub, which consists of
    them."""

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
        """As declared above. Raises CheckpointError for links that lead out of the folder."""
        files = sorted(path for path in self._root.iterdir() if path.is_file())
        self._check_links([path for path in files if path.is_symlink() and path.suffix in _READ])
        return {path.name: path.stat().st_size for path in files}

    def _check_links(self, links: Sequence[Path]) -> None:
        home = self._root.resolve()
        problems = ProblemList(f"folder {self._root}")
        for path in links:
            end = path.resolve()
            if home not in end.parents and not _in_hub_cache(home, end):
                rule, found = (
                    "a link in a model's folder ends in that folder",
                    f"{path.name!r} leads to {shorten(str(end))}",
                )
                problems.add(rule, found, cure="put the file itself there, if you trust it")
        problems.raise_if_any()

    def read(self, name: str, offset: int, size: int) -> bytes:
        buffer = bytearray(size)
        fd = fileio.open_read(self._root / name)
        try:
            fileio.read_exact(fd, buffer, offset)
        finally:
            os.close(fd)
        return bytes(buffer)
