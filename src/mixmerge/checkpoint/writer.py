"""A checkpoint written in any order: lay-out first, then blocks at known offsets, the index last.

The lay-out is pure arithmetic on names and shapes, so every offset is known before a byte is written. It
knows files and spans; what the bytes mean, and what else belongs into the folder of a model, is others'
business.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

from mixmerge import fileio
from mixmerge.checkpoint.header import MAX_HEADER, TensorSpan, TensorSpec, format_header
from mixmerge.checkpoint.index import INDEX, SINGLE
from mixmerge.checkpoint.pages import Part, SharedPages, divided
from mixmerge.checkpoint.pool import FilePool
from mixmerge.errors import OutputError, Problem

__all__ = [
    "CheckpointWriter",
    "ShardLayout",
    "TensorSpec",
    "index_bytes",
    "lay_out",
]

MAX_STATED: Final = MAX_HEADER - 1_000_000
"""Bytes of a header that tensors may take: the rest is for metadata."""

RECENT: Final = 128 << 20
"""Of what is written, the latest bytes that the system may keep in memory; the rest is let go of once it is on the
device. With much fewer, threads wait for the device; more are memory that has to be found first."""

DIRECT_FROM: Final = 64 << 20
"""Bytes of a file from which on it is written past the system's cache of files, where that can be done."""

_JSON: Final = json.JSONEncoder(ensure_ascii=False)

METADATA: Final[Mapping[str, str]] = MappingProxyType({"format": "pt"})  # transformers asks for it


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """One file to be written: its name, its header, where each tensor goes and how long it will be.

    spans: `file` is the bare file name, `offset` counts from the start of the file. size: in bytes.
    """

    file: str
    header: bytes
    spans: tuple[TensorSpan, ...]
    size: int


def lay_out(
    specs: Sequence[TensorSpec], shard_size: int, *, metadata: Mapping[str, str] = METADATA
) -> tuple[ShardLayout, ...]:
    """Divide tensors into files of at most `shard_size` bytes of data, in the given order.

    A tensor larger than that has a file to itself; a file has no more tensors than its header can name. Within a file,
    tensors with wider elements come first (else the given order holds), so that each is aligned as PyTorch needs to
    map it.
    """
    assert len({spec.name for spec in specs}) == len(specs), "two tensors share a name"
    groups = _divide(specs, shard_size)
    total = len(groups)
    names = [f"model-{number:05d}-of-{total:05d}.safetensors" for number in range(1, total + 1)]
    names = [SINGLE] if total == 1 else names
    return tuple(_lay_out_file(name, group, metadata) for name, group in zip(names, groups, strict=True))


def _divide(specs: Sequence[TensorSpec], shard_size: int) -> list[list[TensorSpec]]:
    groups: list[list[TensorSpec]] = [[]]
    filled = stated = 0
    for spec in specs:
        text = _stated_bytes(spec)
        if groups[-1] and (filled + spec.nbytes > shard_size or stated + text > MAX_STATED):
            groups.append([])
            filled = stated = 0
        groups[-1].append(spec)
        filled += spec.nbytes
        stated += text
    return groups


def _stated_bytes(spec: TensorSpec) -> int:
    """What a tensor takes of a header, at most: its name as JSON, its shape, and what all have, generously."""
    return len(_JSON.encode(spec.name).encode()) + 20 * len(spec.shape) + 100


def _lay_out_file(name: str, specs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> ShardLayout:
    ordered = sorted(specs, key=lambda spec: (-spec.dtype.itemsize, spec.nbytes % fileio.PAGE > 0))
    header = format_header(ordered, metadata, multiple=fileio.PAGE)
    spans = []
    offset = len(header)
    for spec in ordered:
        spans.append(TensorSpan(spec.name, spec.dtype, spec.shape, Path(name), offset, spec.nbytes))
        offset += spec.nbytes
    return ShardLayout(name, header, tuple(spans), offset)


def index_bytes(layouts: Sequence[ShardLayout]) -> bytes:
    """The text of model.safetensors.index.json, as transformers writes it: total_size is bytes of data."""
    weight_map = {span.name: layout.file for layout in layouts for span in layout.spans}
    total = sum(span.nbytes for layout in layouts for span in layout.spans)
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


@final
class CheckpointWriter:
    """The files of one checkpoint while they are filled.

    On entering, the files exist at their full length with their headers; data may come in any order from any
    thread; `finish` makes it last and writes the index. A file that was begun can be taken up again with
    `resume`.

    Large files are written past the system's cache of files where that can be done: nothing is copied then, threads do
    not wait for one another, and what others read stays in memory.
    """

    __slots__ = (
        "_folder", "_layouts", "_lock", "_pages", "_past", "_paths", "_pool", "_recent", "_recent_bytes", "_spans",
    )  # fmt: skip

    def __init__(self, folder: Path, layouts: Sequence[ShardLayout], *, resume: bool = False) -> None:
        """Create the files, or with `resume` check that they are there as laid out.

        Raises OutputError if they exist (or, with `resume`, do not, or differ), and the bare OSError if the
        disk has no room; files just created are then removed.
        """
        self._folder = folder
        self._layouts = tuple(layouts)
        self._spans = {span.name: span for layout in self._layouts for span in layout.spans}
        self._paths = {layout.file: folder / layout.file for layout in self._layouts}
        self._pool = FilePool(fileio.open_write)
        self._lock = threading.Lock()
        self._recent: deque[tuple[Path, int, int]] = deque()  # file, offset, size: oldest first
        self._recent_bytes = 0
        if resume:
            self._check_files()
        else:
            self._create_files()
        self._past = FilePool(fileio.open_direct)
        self._pages = {
            path: SharedPages(layout.size, self._reader(path), begun=resume)
            for layout in self._layouts
            if layout.size >= DIRECT_FROM and fileio.writes_direct(path := folder / layout.file)
        }

    @property
    def direct(self) -> bool:
        """Whether files are written past the system's cache: by how many threads decides then how fast."""
        return bool(self._pages)

    def _reader(self, path: Path) -> Callable[[npt.NDArray[np.uint8], int], None]:
        def read(buffer: npt.NDArray[np.uint8], offset: int) -> None:
            with self._pool.borrow(path) as fd:
                fileio.read_exact(fd, buffer, offset)

        return read

    def _create_files(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        created: list[Path] = []
        try:
            for layout in self._layouts:
                path = self._folder / layout.file
                fd = fileio.open_write(path, exclusive=True)
                created.append(path)
                try:
                    fileio.preallocate(fd, layout.size)
                    fileio.write_all(fd, layout.header, 0)
                finally:
                    os.close(fd)
        except FileExistsError as error:
            _remove(created)
            raise OutputError(_in_the_way(Path(error.filename))) from error
        except BaseException:
            _remove(created)
            raise

    def _check_files(self) -> None:
        problems = [problem for layout in self._layouts for problem in _differences(self._folder, layout)]
        if problems:
            raise OutputError(problems)

    def write(self, name: str, first: int, data: npt.NDArray[np.uint8]) -> None:
        """Write whole elements of tensor `name` from element `first` on, as raw bytes. Any thread, any order.

        Raises the bare OSError (a full disk, a lost mount).
        """
        span = self._spans[name]
        offset, size = span.byte_range(first, data.nbytes // span.dtype.itemsize)
        assert data.nbytes == size, "part of an element"
        path = self._paths[span.file.name]
        if path in self._pages:
            self._write_pages(path, data, offset)
        else:
            self._write_cached(path, data, offset)

    def place(self, name: str, first: int) -> int:
        """Where in its file element `first` of a tensor begins, in bytes.

        Data whose address is as far behind the beginning of a page is written without being copied.
        """
        span = self._spans[name]
        return span.byte_range(first, 0)[0]

    def _write_pages(self, path: Path, data: npt.NDArray[np.uint8], offset: int) -> None:
        """Past the cache: the whole pages, and those that are shared with other blocks once the last of them is in."""
        whole, edges = divided(data, offset)
        full = [page for page in (self._pages[path].add(*edge) for edge in edges) if page is not None]
        for part in full if whole is None else [whole, *full]:
            self._write_direct(path, part)

    def _write_direct(self, path: Path, part: Part) -> None:
        offset, data = part
        if fileio.address_of(data) % fileio.PAGE:
            data = fileio.page_buffer(data.size)
            data[:] = part[1]
        try:
            with self._past.borrow(path) as fd:
                fileio.write_all(fd, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._write_cached(path, data, offset)  # a file system that asks for more than pages

    def settle(self) -> None:
        """Write what is kept of pages that are not full: the one a file ends in, or that wait for others' bytes.

        What is written from then on may be the same elements anew. No thread may be writing.
        """
        for path, pages in self._pages.items():
            for offset, data in pages.rest():
                with self._pool.borrow(path) as fd:
                    fileio.write_all(fd, data, offset)

    def _write_cached(self, path: Path, data: npt.NDArray[np.uint8], offset: int) -> None:
        size = data.nbytes
        with self._pool.borrow(path) as fd:
            fileio.write_all(fd, data, offset)
            fileio.start_writeback(fd, offset, size)
        for old, *place in self._no_longer_recent((path, offset, size)):
            with self._pool.borrow(old) as fd:
                fileio.forget(fd, *place)

    def _no_longer_recent(self, written: tuple[Path, int, int]) -> list[tuple[Path, int, int]]:
        """What falls out of the latest RECENT bytes when these come in: file, offset, size."""
        old = []
        with self._lock:
            self._recent.append(written)
            self._recent_bytes += written[2]
            while self._recent_bytes > RECENT:
                old.append(self._recent.popleft())
                self._recent_bytes -= old[-1][2]
        return old

    def read_back(self, name: str, first: int, count: int, out: npt.NDArray[np.uint8]) -> None:
        """Read elements `first` to `first + count` of tensor `name` as they are in the file now.

        out: contiguous, of count * itemsize bytes. Raises the bare OSError or EOFError.
        """
        span = self._spans[name]
        offset, size = span.byte_range(first, count)
        assert out.nbytes == size, "a buffer of another size than the elements"
        with self._pool.borrow(self._folder / span.file) as fd:
            fileio.read_exact(fd, out, offset)

    def finish(self) -> None:
        """Wait until all data is on the device, then write the index (where there are shards), then close."""
        self.settle()
        for layout in self._layouts:
            with self._pool.borrow(self._folder / layout.file) as fd:
                fileio.sync(fd)
        if len(self._layouts) > 1:
            fileio.atomic_write(self._folder / INDEX, index_bytes(self._layouts))
        fileio.sync_folder(self._folder)
        self.close()

    def close(self) -> None:
        """Close the files and leave them as they are, to be taken up again. No thread may be writing."""
        with contextlib.suppress(OSError):  # what is not there is written again by who takes them up
            self.settle()
        self._past.close()
        self._pool.close()

    def abort(self) -> None:
        """Close the files and remove them. No thread may be writing."""
        self.close()
        _remove([self._folder / name for name in (INDEX, *(layout.file for layout in self._layouts))])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _in_the_way(path: Path) -> Problem:
    rule = "a new checkpoint is written into files that do not exist yet"
    return Problem(rule, "a file of that name", str(path), "remove it, or resume the merge that left it")


def _differences(folder: Path, layout: ShardLayout) -> list[Problem]:
    """What keeps the file of an interrupted merge from being taken up again."""
    path = folder / layout.file
    cure = "start afresh: remove the unfinished folder"
    rule = "a merge is resumed with the files it began"
    if not path.is_file():
        return [Problem(rule, "no such file", str(path), cure)]
    if path.stat().st_size != layout.size:
        return [Problem(rule, f"{path.stat().st_size:,} bytes instead of {layout.size:,}", str(path), cure)]
    with path.open("rb") as file:
        if file.read(len(layout.header)) != layout.header:
            return [Problem(rule, "a header that states other tensors", str(path), cure)]
    return []
