"""A checkpoint opened for reading: which tensors it has, and their bytes by range of elements.

It puts the headers of all files together, refuses what does not fit, and reads. It knows nothing of merging,
and does not care whether the files are on this disk until their data is asked for.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, final

import numpy as np
import numpy.typing as npt

from mixmerge import fileio
from mixmerge.checkpoint.folder import Folder, LocalFolder
from mixmerge.checkpoint.header import MAX_HEADER, TensorSpan, header_size, parse_header
from mixmerge.checkpoint.index import WeightFiles, find_weights
from mixmerge.checkpoint.pool import FilePool
from mixmerge.checkpoint.problems import DAMAGED, ProblemList, shorten
from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import CheckpointError, ModelNotFoundError, Problem, UnreadableError

if TYPE_CHECKING:
    from mixmerge.checkpoint.lora import Adaptation

__all__ = ["Checkpoint", "Origin", "TensorSpan", "load_checkpoint", "open_checkpoint", "read_header"]

MAX_HEADERS: Final = MAX_HEADER
"""Bytes of the headers of all files of a model: each of millions of tensors takes memory, however few are in a file."""

CONFIG: Final = "config.json"
MAX_CONFIG: Final = 16_000_000  # bytes

_GUESS: Final = 65_536  # bytes of a file read at once; holds the header of most


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a checkpoint from the hub comes from.

    model: hub id. revision: the branch, tag or commit asked for, if any. commit: what it stands for. sha256:
    of each safetensors file, as far as the hub states it.
    """

    model: str
    revision: str | None
    commit: str
    sha256: Mapping[str, str]


@final
class Checkpoint:
    """The tensors of one model.

    label: how the recipe names it. folder: where its files are, or would be if `is_local` is false. tensors:
    by name, in the order of files and bytes. config: config.json, None where there is none. files: weight
    files. origin: None for a folder that is not from the hub's cache. weights_here: whether these files are on this
    disk. adaptation: what a LoRA adapter changes on the way; None without one.
    """

    __slots__ = ("_pool", "adaptation", "config", "files", "folder", "label", "origin", "tensors", "weights_here")

    def __init__(
        self,
        *,
        label: str,
        folder: Path,
        tensors: Mapping[str, TensorSpan],
        config: Mapping[str, Any] | None,
        files: tuple[Path, ...],
        origin: Origin | None = None,
        is_local: bool = True,
        adaptation: Adaptation | None = None,
    ) -> None:
        self.label = label
        self.folder = folder
        self.tensors = tensors
        self.config = config
        self.files = files
        self.origin = origin
        self.weights_here = is_local
        self.adaptation = adaptation
        self._pool = FilePool(fileio.open_read)

    def __repr__(self) -> str:
        return f"Checkpoint({self.label!r}, {len(self.tensors)} tensors in {str(self.folder)!r})"

    @property
    def is_local(self) -> bool:
        """Whether all that is read is on this disk, an adapter's files too."""
        return self.weights_here and (self.adaptation is None or self.adaptation.adapter.is_local)

    @property
    def all_files(self) -> tuple[Path, ...]:
        """Every file that decides the weights: an adapter's too."""
        return self.files if self.adaptation is None else (*self.files, *self.adaptation.adapter.files)

    def adapted(self, label: str, tensors: Mapping[str, TensorSpan], adaptation: Adaptation) -> Checkpoint:
        """The same files seen through an adapter. tensors: with those it replaces."""
        return Checkpoint(
            label=label,
            folder=self.folder,
            tensors=MappingProxyType(dict(tensors)),
            config=self.config,
            files=self.files,
            origin=self.origin,
            is_local=self.weights_here,
            adaptation=adaptation,
        )

    def identity(self) -> list[tuple[str, int, int]]:
        """(name, bytes, time of last change in ns) of each of `all_files`: the same list, the same weights."""
        stats = [(file.name, file.stat()) for file in self.all_files]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def read_into(self, span: TensorSpan, first: int, count: int, out: npt.NDArray[np.uint8]) -> None:
        """Read elements `first` to `first + count` of a tensor, as raw bytes. Any thread, at any time.

        out: contiguous, of count * span.dtype.itemsize bytes.
        Raises UnreadableError if the file ends too early or cannot be read.
        """
        offset, size = span.byte_range(first, count)
        assert out.nbytes == size, "a buffer of another size than the elements"
        try:
            with self._pool.borrow(span.file) as fd:
                fileio.read_exact(fd, out, offset)
        except EOFError as error:
            rule, cure = "a file stays as it is while it is read", "put back the file as it was"
            raise self._unreadable(span, rule, error, cure) from error
        except OSError as error:
            cure = "check the disk and the network"
            if error.errno in (errno.EMFILE, errno.ENFILE):
                cure = "allow more open files (ulimit -n 1024)"
            raise self._unreadable(span, "a weight file can be read", error, cure) from error

    def _unreadable(self, span: TensorSpan, rule: str, error: Exception, cure: str) -> UnreadableError:
        place = f"model {self.label!r}, file {span.file}, tensor {shorten(span.name)}"
        return UnreadableError(Problem(rule, str(error), place, cure))

    def close(self) -> None:
        """Close the files. Reading again opens them again."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_checkpoint(folder: Path, label: str, *, origin: Origin | None = None) -> Checkpoint:
    """Open the model in a folder on this disk. label: how errors name it.

    Raises ModelNotFoundError if there is no such folder, CheckpointError with everything wrong in it.
    """
    place = f"model {label!r}, path {folder}"
    if not folder.is_dir():
        cure = "give the folder the file is in" if folder.exists() else "check the path"
        found = "a file" if folder.exists() else "nothing there"
        raise ModelNotFoundError(Problem("a model is a folder", found, place, cure))
    try:
        return load_checkpoint(LocalFolder(folder), label, origin=origin)
    except OSError as error:
        rule, cure = "the files of a model can be read", "check permissions and the disk"
        raise CheckpointError(Problem(rule, str(error), place, cure)) from error


def load_checkpoint(folder: Folder, label: str, *, origin: Origin | None = None, is_local: bool = True) -> Checkpoint:
    """Read index, headers and config.json of a model, wherever its files are.

    Raises CheckpointError with everything wrong, or what the folder raises when it cannot be reached.
    """
    where = f"model {label!r}"
    sizes = folder.sizes()
    weights = find_weights(folder, sizes, where)
    headers, problems = _read_headers(folder, weights.names, sizes, where)
    config: Mapping[str, Any] | None = None
    try:
        config = _read_config(folder, sizes, where)
    except CheckpointError as error:
        problems += error.problems
    problems += _check_names(folder, weights, headers, where)
    if problems:
        raise CheckpointError(problems)
    tensors = {span.name: span for name in weights.names for span in headers[name]}
    if not tensors:
        rule, found = "the weight files of a model hold tensors", f"none in {', '.join(weights.names[:3])}"
        raise CheckpointError(Problem(rule, found, f"{where}, folder {folder.root}", DAMAGED))
    files = tuple(folder.root / name for name in weights.names)
    return Checkpoint(
        label=label,
        folder=folder.root,
        tensors=MappingProxyType(tensors),
        config=config,
        files=files,
        origin=origin,
        is_local=is_local,
    )


Headers = dict[str, tuple[TensorSpan, ...]]


def _read_headers(
    folder: Folder, names: Sequence[str], sizes: Mapping[str, int], where: str
) -> tuple[Headers, list[Problem]]:
    """Spans of each readable file by its name, and what is wrong with the others."""
    total, alone = _Total(MAX_HEADERS), threading.Lock()

    def read(name: str) -> tuple[TensorSpan, ...] | CheckpointError:
        if total.exceeded:
            return ()
        place = f"{where}, file {folder.place(name)}"
        try:
            begin = _read_begin(folder, name, sizes[name], place)
            with alone:  # a plan counts the memory of one header at a time
                head = _read_rest(folder, name, begin, sizes[name], place)
                return parse_header(head, sizes[name], folder.root / name, place) if total.take(len(head)) else ()
        except CheckpointError as error:
            return error

    with ThreadPoolExecutor(folder.workers) as pool:
        results = dict(zip(names, pool.map(read, names), strict=True))
    if total.exceeded:
        rule = f"the headers of a model's files are together at most {MAX_HEADERS:,} bytes long"
        cure = "do not trust this model, or save it again with fewer and larger tensors"
        return {}, [Problem(rule, f"more, in {len(names):,} files", f"{where}, folder {folder.root}", cure)]
    headers = {name: found for name, found in results.items() if not isinstance(found, CheckpointError)}
    errors = [found for found in results.values() if isinstance(found, CheckpointError)]
    return headers, [problem for error in errors for problem in error.problems]


@final
class _Total:
    """What files have taken of a limit that is set for all of them together. Any thread."""

    __slots__ = ("_left", "_lock")

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there was as much left."""
        with self._lock:
            self._left -= size
            return self._left >= 0

    @property
    def exceeded(self) -> bool:
        return self._left < 0


def read_header(folder: Folder, name: str, size: int, place: str) -> tuple[TensorSpan, ...]:
    """The tensors of one safetensors file of `size` bytes. place: how errors name it. Raises CheckpointError."""
    begin = _read_begin(folder, name, size, place)
    return parse_header(_read_rest(folder, name, begin, size, place), size, folder.root / name, place)


def _read_begin(folder: Folder, name: str, size: int, place: str) -> bytes:
    """The first bytes of a file, which hold most headers whole."""
    return _read(folder, name, 0, min(size, _GUESS), place)


def _read_rest(folder: Folder, name: str, begin: bytes, size: int, place: str) -> bytes:
    """The file from its first byte to the end of its header. begin: what is there of it."""
    needed = header_size(begin, size, place)
    more = needed - len(begin)
    return begin + _read(folder, name, len(begin), more, place) if more > 0 else begin[:needed]


def _read(folder: Folder, name: str, offset: int, size: int, place: str) -> bytes:
    try:
        return folder.read(name, offset, size)
    except EOFError as error:
        raise CheckpointError(Problem("a weight file can be read", str(error), place, DAMAGED)) from error


def _read_config(folder: Folder, sizes: Mapping[str, int], where: str) -> Mapping[str, Any] | None:
    if CONFIG not in sizes:
        return None
    place = f"{where}, file {folder.place(CONFIG)}"
    if sizes[CONFIG] > MAX_CONFIG:
        rule = f"{CONFIG} is at most {MAX_CONFIG:,} bytes long"
        raise CheckpointError(Problem(rule, f"{sizes[CONFIG]:,} bytes", place, "repair or replace it"))
    try:
        config = parse_json(folder.read(CONFIG, 0, sizes[CONFIG]), lenient=True)
    except (MalformedJsonError, EOFError) as error:
        problem = Problem(f"{CONFIG} is JSON in UTF-8", str(error), place, "repair or replace it")
        raise CheckpointError(problem) from error
    if not isinstance(config, dict):
        found = shorten(config)
        raise CheckpointError(Problem(f"{CONFIG} is a JSON object", found, place, "repair or replace it"))
    return MappingProxyType(config)


def _check_names(folder: Folder, weights: WeightFiles, headers: Headers, where: str) -> list[Problem]:
    """No tensor in two files, and index and files agree, as far as the files could be read."""
    problems = _check_twice(folder, headers, where)
    if weights.index is None or weights.weight_map is None:
        return problems
    place = f"{where}, file {folder.place(weights.index)}"
    return problems + _check_index(weights.weight_map, headers, place)


def _check_twice(folder: Folder, headers: Headers, where: str) -> list[Problem]:
    problems = ProblemList(f"{where}, folder {folder.root}")
    home: dict[str, str] = {}
    for file, spans in headers.items():
        for span in spans:
            other = home.setdefault(span.name, file)
            if other != file:
                found = f"in {other} and in {file}"
                cure = "remove the file that does not belong to this model"
                problems.add("a tensor is in one file", found, tensor=span.name, cure=cure)
    return list(problems.found())


def _check_index(weight_map: Mapping[str, str], headers: Headers, place: str) -> list[Problem]:
    problems = ProblemList(place)
    cure = "download index and weights again; they do not belong together"
    present = {file: {span.name for span in spans} for file, spans in headers.items()}
    for tensor, file in weight_map.items():
        if file in present and tensor not in present[file]:
            found = f"{file} lacks it"
            problems.add("a tensor is in the file the index names", found, tensor=tensor, cure=cure)
    for file, spans in headers.items():
        for span in spans:
            if span.name not in weight_map:
                found = f"{file} holds a tensor the index lacks"
                problems.add("the index names every tensor", found, tensor=span.name, cure=cure)
    return list(problems.found())
