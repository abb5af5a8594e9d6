"""Plain files of rows: JSON lines, JSON, Parquet, and text tables with tabs or commas, read whole and bounded.

Files come from strangers: what is wrong is noted with its file and line, nothing is guessed. A file of MAX_BYTES takes
at most 4 GB of memory, whatever is in it: 1.5 GB for MAX_VALUES values, and four bytes a character of their texts,
which one emoji can cost each character of a text; plain text takes one. It knows formats and columns, and no tasks.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeGuard, final

from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import extra_missing
from mixmerge.evaluation.bounds import JSON_MARKS, MAX_VALUES, values_of
from mixmerge.evaluation.problems import Problems, shorten

Row = dict[str, Any]

MAX_BYTES: Final = 500_000_000
MAX_ROWS: Final = 1_000_000
MAX_CELL: Final = 10_000_000  # characters of one cell of a text table
MAX_PIECE: Final = 100_000_000  # bytes that are parsed or unpacked at once: a line, a whole JSON file, one row

_BATCH: Final = 1_000  # rows that are unpacked at once


def read_rows(path: Path, columns: Sequence[str], problems: Problems) -> list[Row]:
    """Every row of a file, in order. Rows that break a rule are left out and noted with file and line (or row).

    columns: those a row must have. The ending says the format: `jsonl` an object a line, `json` a list of objects,
    `parquet`, `tsv` and `csv` a header line, then cells, all of them text.
    """
    format_, before = _FORMATS[path.suffix.lower().removeprefix(".")], len(problems)
    rows: list[Row] = []
    try:
        if not _is_small(path, format_, problems):
            return []
        for place, row in format_.read(path, problems):
            if _is_whole(row, columns, place, problems):
                rows.append(row)
    except OSError as error:
        problems.add("a data file can be read", error.strerror or str(error), str(path), "check path and permissions")
        return []
    if not rows and len(problems) == before:
        problems.add("a data file has at least one row", "none", str(path), "check the file")
    return rows


def _is_small(path: Path, format_: _Format, problems: Problems) -> bool:
    """Whether reading the file takes bounded memory."""
    size, bound = path.stat().st_size, min(format_.bytes, MAX_BYTES)
    if size > bound:
        cure = "use a part of it" + ("; or write one object a line into a .jsonl file" if bound < MAX_BYTES else "")
        problems.add(f"a data file has at most {bound} bytes", str(size), str(path), cure)
        return False
    count = values_of(path, format_.marks) if format_.marks else 0
    if count > MAX_VALUES:
        problems.add(f"a data file has at most {MAX_VALUES} values", f"up to {count}", str(path), "use a part of it")
    return count <= MAX_VALUES


def _is_whole(row: object, columns: Sequence[str], place: str, problems: Problems) -> TypeGuard[Row]:
    if not isinstance(row, dict):
        problems.add("a row is an object with columns", shorten(row), place, f"columns: {', '.join(columns)}")
        return False
    missing = [column for column in columns if column not in row]
    if missing:
        found = f"no {', '.join(missing)} among {', '.join(map(str, row))}"
        problems.add("a row has every column of its data", shorten(found), place, f"columns: {', '.join(columns)}")
    return not missing


def _jsonl(path: Path, problems: Problems) -> Iterator[tuple[str, object]]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_PIECE + 1), b""), 1):
            if number > MAX_ROWS:
                problems.add(f"a data file has at most {MAX_ROWS} lines", "more", str(path), "use a part of it")
                return
            if len(line) > MAX_PIECE:
                problems.add(f"a line has at most {MAX_PIECE} bytes", "more", f"{path}:{number}", "shorten the row")
                return
            if line.strip():
                place = f"{path}:{number}"
                value = _parsed(line, place, "a line is JSON", problems)
                if value is not _NOTHING:
                    yield place, value


def _json(path: Path, problems: Problems) -> Iterator[tuple[str, object]]:
    value = _parsed(path.read_bytes(), str(path), "the file is JSON", problems)
    if value is _NOTHING:
        return
    if not isinstance(value, list) or len(value) > MAX_ROWS:
        found = f"{len(value)} values" if isinstance(value, list) else shorten(value)
        cure = "one object a row; or write one object a line into a .jsonl file"
        problems.add(f"the file is a list of at most {MAX_ROWS} objects", found, str(path), cure)
        return
    for number, row in enumerate(value):
        yield f"{path}, row {number}", row


def _parquet(path: Path, problems: Problems) -> Iterator[tuple[str, object]]:
    """Piece by piece: a few hundred bytes can stand for any number of equal values."""
    try:
        broken = import_module("pyarrow").ArrowException
        file = import_module("pyarrow.parquet").ParquetFile(path)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        values = sum(group.column(at).num_values for group in groups for at in range(group.num_columns))
        largest = max((group.total_byte_size for group in groups), default=0)  # no cell is larger
        whole = file.metadata.num_rows <= MAX_ROWS and values <= MAX_VALUES and largest <= MAX_BYTES
        rows: list[object] = []
        total = 0
        for batch in file.iter_batches(max(1, min(_BATCH, MAX_PIECE // max(1, largest)))) if whole else ():
            piece = batch.to_pylist()
            rows += piece
            total += sum(len(repr(row)) for row in piece)  # as text: no type hides its size
            whole = whole and total <= MAX_BYTES
            if not whole:
                break
    except ImportError as error:
        raise extra_missing("study", error.name or "pyarrow", "a Parquet file") from error
    except broken as error:
        problems.add("the file is Parquet", shorten(str(error)), str(path), "fetch it again")
        return
    if not whole:
        rule = f"a data file has at most {MAX_ROWS} rows, {MAX_VALUES} values and {MAX_BYTES} bytes, unpacked"
        problems.add(rule, f"{file.metadata.num_rows} rows, {values} values", str(path), "use a part of it")
        return
    for number, row in enumerate(rows):
        yield f"{path}, row {number}", row


def _table(separator: str) -> Callable[[Path, Problems], Iterator[tuple[str, object]]]:
    def read(path: Path, problems: Problems) -> Iterator[tuple[str, object]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _cells(csv.reader(file, delimiter=separator, strict=True), path, problems)

    return read


def _cells(reader: Any, path: Path, problems: Problems) -> Iterator[tuple[str, object]]:
    before = csv.field_size_limit(MAX_CELL)
    try:
        header: list[str] = next(reader, [])
        if len(set(header)) < len(header):
            seen: set[str] = set()
            twice = next(name for name in header if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            problems.add("columns have different names", f"{shorten(twice)} twice", f"{path}:1", "rename one of them")
            return
        for number, cells in enumerate(reader):
            place = f"{path}:{reader.line_num}"
            if number >= MAX_ROWS:
                problems.add(f"a data file has at most {MAX_ROWS} rows", "more", str(path), "use a part of it")
                return
            if len(cells) == len(header):
                yield place, dict(zip(header, cells, strict=True))
            elif cells:
                cure = "quote cells that hold separators or newlines"
                problems.add("a row has as many cells as the header", f"{len(cells)} and {len(header)}", place, cure)
    except UnicodeDecodeError as error:
        found = f"{error.object[error.start : error.end]!r} is not"
        problems.add("a text table is UTF-8", found, f"{path}:{reader.line_num + 1} or after", "save it as UTF-8")
    except csv.Error as error:
        cure = "quote cells that hold separators or newlines"
        problems.add("a text table is written with its cells quoted", str(error), f"{path}:{reader.line_num}", cure)
    finally:
        csv.field_size_limit(before)


_NOTHING: Final = object()
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # two of them make a character; one alone cannot be written as UTF-8


def _parsed(text: bytes, place: str, rule: str, problems: Problems) -> object:
    try:
        value: object = parse_json(text)
        if _HALF.search(text) is not None:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedJsonError as error:
        problems.add(rule, str(error), place, "fetch or write the file again")
        return _NOTHING
    except UnicodeEncodeError as error:
        found = f"half of a pair: {error.object[error.start]!r}"
        problems.add("texts are made of whole characters", found, place, "fetch or write the file again")
        return _NOTHING
    return value


@final
@dataclass(frozen=True, slots=True)
class _Format:
    """read: the rows of a file, each with its place. marks: that separate values; none: `read` looks for itself.

    bytes: of a file at most.
    """

    read: Callable[[Path, Problems], Iterator[tuple[str, object]]]
    marks: bytes
    bytes: int = MAX_BYTES


_FORMATS: Final[Mapping[str, _Format]] = {
    "jsonl": _Format(_jsonl, JSON_MARKS),
    "json": _Format(_json, JSON_MARKS, MAX_PIECE),
    "parquet": _Format(_parquet, b""),
    "tsv": _Format(_table("\t"), b"\t\n"),
    "csv": _Format(_table(","), b",\n"),
}

FORMATS: Final = tuple(_FORMATS)
"""File endings; what each needs is told by `read_rows`."""
