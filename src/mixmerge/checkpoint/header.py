"""The header of one safetensors file: bytes to spans, and specifications to bytes.

Pure functions on bytes, so a header that came over the network is read as one from a disk. It trusts nothing
it reads: length, text, names, types, shapes and offsets are all checked. It knows one file; shards and
folders are put together elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mixmerge.checkpoint.dtypes import DTYPES, DType
from mixmerge.checkpoint.problems import DAMAGED, ProblemList, shorten
from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import CheckpointError, Problem, nearest

PREFIX: Final = 8  # bytes of the little-endian number that says how long the JSON text is
MAX_HEADER: Final = 100_000_000  # bytes of JSON text; the limit of the safetensors library
MAX_RANK: Final = 64
MAX_NUMBER: Final = 2**63 - 1
MAX_STRAY: Final = 100_000
"""Brackets a header may hold beside those that tensors have: in metadata, or in keys that are not read."""

METADATA: Final = "__metadata__"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor to be written: its name, element type and shape."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """A tensor and where its bytes lie: `nbytes` bytes from byte `offset` of `file`."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    file: Path
    offset: int
    nbytes: int

    @property
    def count(self) -> int:
        """Number of elements."""
        return self.nbytes // self.dtype.itemsize

    def byte_range(self, first: int, count: int) -> tuple[int, int]:
        """Where `count` elements from element `first` on begin in the file, and how many bytes they are."""
        assert first >= 0, "elements before the tensor"
        assert first + count <= self.count, "elements behind the tensor"
        return self.offset + first * self.dtype.itemsize, count * self.dtype.itemsize


def header_size(prefix: bytes, file_size: int, place: str) -> int:
    """How many bytes of the file come before its data: the 8 of the prefix and the JSON text.

    prefix: the first bytes of the file, at least 8 where it has them. file_size: in bytes.
    Raises CheckpointError if the text would be longer than the file or than 100 MB.
    """
    if len(prefix) < PREFIX:
        raise _broken("a safetensors file starts with an 8-byte header length", f"{file_size} bytes", place)
    length = int.from_bytes(prefix[:PREFIX], "little")
    if length > MAX_HEADER:
        rule = f"a safetensors header is at most {MAX_HEADER:,} bytes long"
        raise _broken(rule, f"{length:,} bytes", place)
    if PREFIX + length > file_size:
        found = f"a header of {length:,} bytes in a file of {file_size:,} bytes"
        raise _broken("the header of a safetensors file ends within the file", found, place)
    return PREFIX + length


def parse_header(head: bytes, file_size: int, file: Path, place: str) -> tuple[TensorSpan, ...]:
    """The tensors a safetensors file holds, in the order of their bytes.

    head: the file from its first byte to the end of the header at least. file_size: of the whole file, in
    bytes. file: goes into the spans. place: how errors name the file ("model 'a', file /x/y.safetensors").
    Raises CheckpointError with everything found wrong.
    """
    start = header_size(head, file_size, place)
    entries = _parse_text(head[PREFIX:start], place)
    problems = ProblemList(place)
    _check_metadata(entries.pop(METADATA, {}), problems)
    spans = [_parse_entry(name, entry, start, file, problems) for name, entry in entries.items()]
    known = sorted((span for span in spans if span is not None), key=lambda span: (span.offset, span.nbytes))
    problems.raise_if_any()
    _check_cover(known, start, file_size, problems)
    problems.raise_if_any()
    return tuple(known)


def format_header(specs: Sequence[TensorSpec], metadata: Mapping[str, str], *, multiple: int = 8) -> bytes:
    """The header of a file that holds `specs` one after the other, without gaps: prefix and JSON text.

    Its length is a multiple of `multiple`, by spaces at its end, and depends on nothing but the arguments.
    """
    entries: dict[str, object] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    begin = 0
    for spec in specs:
        end = begin + spec.nbytes
        stated = {"dtype": spec.dtype.name, "shape": list(spec.shape), "data_offsets": [begin, end]}
        entries[spec.name] = stated
        begin = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(PREFIX + len(text)) % multiple)
    assert len(entries) == len(specs) + bool(metadata), "two tensors of one file share a name"
    assert len(text) <= MAX_HEADER, "more tensors than one safetensors header can hold"
    return len(text).to_bytes(PREFIX, "little") + text


def _broken(rule: str, value: str, place: str) -> CheckpointError:
    return CheckpointError(Problem(rule, value, place, DAMAGED))


def _parse_text(text: bytes, place: str) -> dict[str, object]:
    rule = "the header of a safetensors file is a JSON object in UTF-8"
    if not text.startswith(b"{"):
        raise _broken(rule, f"text that starts with {text[:1]!r}", place)
    stray = text.count(b"[") + text.count(b"{") - 3 * text.count(b'"data_offsets"')
    if stray > MAX_STRAY:  # a few bytes of brackets become hundreds in memory
        raise _broken("a safetensors header holds tensors and little else", f"{stray:,} brackets more", place)
    try:
        entries = parse_json(text)
    except MalformedJsonError as error:
        raise _broken(rule, str(error), place) from error
    assert isinstance(entries, dict), "text that starts with { is an object"
    return entries


def _check_metadata(metadata: object, problems: ProblemList) -> None:
    rule = f"{METADATA} of a safetensors header maps text to text"
    if not isinstance(metadata, dict):
        problems.add(rule, shorten(metadata))
        return
    for key, value in metadata.items():
        if not isinstance(value, str):
            problems.add(rule, f"{shorten(key)}: {shorten(value)}")


def _parse_entry(name: str, entry: object, start: int, file: Path, problems: ProblemList) -> TensorSpan | None:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        problems.add("a tensor states its dtype, shape and data_offsets", shorten(entry), tensor=name)
        return None
    dtype = _parse_dtype(entry["dtype"], name, problems)
    shape = _parse_shape(entry["shape"], name, problems)
    offsets = _parse_offsets(entry["data_offsets"], name, problems)
    if dtype is None or shape is None or offsets is None:
        return None
    begin, end = offsets
    spec = TensorSpec(name, dtype, shape)
    if spec.nbytes != end - begin:
        found = f"{dtype.name} {list(shape)} takes {spec.nbytes:,} bytes, data_offsets span {end - begin:,}"
        problems.add("a tensor has the bytes its dtype and shape need", found, tensor=name)
        return None
    return TensorSpan(name, dtype, shape, file, start + begin, end - begin)


def _parse_dtype(value: object, tensor: str, problems: ProblemList) -> DType | None:
    found = DTYPES.get(value) if isinstance(value, str) else None
    if found is None:
        cure = f"convert the tensor to a type Mixmerge reads; {nearest(str(value)[:40], DTYPES)}"
        problems.add("a tensor has a dtype Mixmerge knows", shorten(value), tensor=tensor, cure=cure)
    return found


def _parse_shape(value: object, tensor: str, problems: ProblemList) -> tuple[int, ...] | None:
    shape = _naturals(value)
    if shape is None or len(shape) > MAX_RANK:
        rule = f"a shape is a list of at most {MAX_RANK} whole numbers from 0"
        problems.add(rule, shorten(value), tensor=tensor)
        return None
    return shape


def _parse_offsets(value: object, tensor: str, problems: ProblemList) -> tuple[int, int] | None:
    offsets = _naturals(value)
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        problems.add("data_offsets are two whole numbers, begin and end", shorten(value), tensor=tensor)
        return None
    return offsets[0], offsets[1]


def _naturals(value: object) -> tuple[int, ...] | None:
    """A list of whole numbers from 0 as a tuple, None for anything else; true and 1.0 are not whole numbers."""
    if isinstance(value, list) and all(type(item) is int and 0 <= item <= MAX_NUMBER for item in value):
        return tuple(value)
    return None


def _check_cover(spans: Sequence[TensorSpan], start: int, file_size: int, problems: ProblemList) -> None:
    """Tensors follow one another without a gap or an overlap, up to the end of the file."""
    reached = start
    for span in spans:
        if span.offset != reached:
            what = "overlaps the one before" if span.offset < reached else "leaves a gap before it"
            begin, end = span.offset - start, reached - start
            found = f"begins at byte {begin:,} of the data and {what}, which ends at {end:,}"
            problems.add("tensors lie one after the other in a safetensors file", found, tensor=span.name)
        reached = max(reached, span.offset + span.nbytes)
    if reached != file_size:
        what = "truncated" if reached > file_size else "followed by bytes that belong to no tensor"
        last = next((span.name for span in reversed(spans) if span.offset + span.nbytes == reached), None)
        found = f"{what}: tensors end at byte {reached:,}, the file at byte {file_size:,}"
        problems.add("a safetensors file ends with its last tensor", found, tensor=last)
