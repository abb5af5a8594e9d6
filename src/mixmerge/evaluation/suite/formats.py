"""Plain files of rows: JSON lines, JSON, Parquet, and text tables with tabs or commas, read whole and bounded.

Files come from strangers: what is wrong is noted with its file and line, nothing is guessed. It knows formats and
columns; it knows no tasks.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeGuard

from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import extra_missing
from mixmerge.evaluation.problems import Problems, shorten

Row = dict[str, Any]

MAX_BYTES: Final = 500_000_000
MAX_ROWS: Final = 1_000_000
MAX_CELL: Final = 10_000_000  # characters of one cell of a text table
MAX_VALUES: Final = 20_000_000  # of a Parquet file, those inside lists included
MAX_PIECE: Final = 100_000_000  # bytes of a Parquet file that are unpacked at once, or one row

_BATCH: Final = 1_000  # rows that are unpacked at once

FORMATS: Final = ("jsonl", "json", "parquet", "tsv", "csv")
"""File endings; what each needs is told by `read_rows`."""


def read_rows(path: Path, columns: Sequence[str], problems: Problems) -> list[Row]:
    """Every row of a file, in order. Rows that break a rule are left out and noted with file and line (or row).

    columns: those a row must have. The ending says the format: `jsonl` an object a line, `json` a list of objects,
    `parquet`, `tsv` and `csv` a header line, then cells, all of them text.
    """
    reader, before = _READERS[path.suffix.lower().removeprefix(".")], len(problems)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            problems.add(f"a data file has at most {MAX_BYTES} bytes", str(size), str(path), "use a part of it")
            return []
        found = list(reader(path, problems))
    except OSError as error:
        problems.add("a data file can be read", error.strerror or str(error), str(path), "check path and permissions")
        return []
    if not found and len(problems) == before:
        problems.add("a data file has at least one row", "none", str(path), "check the file")
    return [row for place, row in found if _is_whole(row, columns, place, problems)]


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
        for number, line in enumerate(file, 1):
            if number > MAX_ROWS:
                problems.add(f"a data file has at most {MAX_ROWS} lines", "more", str(path), "use a part of it")
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
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            problems.add("a text table is UTF-8", f"byte {error.start} is not", str(path), "save it as UTF-8")
            return
        yield from _cells(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), path, problems)

    return read


def _cells(reader: Any, path: Path, problems: Problems) -> Iterator[tuple[str, object]]:
    before = csv.field_size_limit(MAX_CELL)
    try:
        header: list[str] = next(reader, [])
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


_READERS: Final[Mapping[str, Callable[[Path, Problems], Iterator[tuple[str, object]]]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "parquet": _parquet,
    "tsv": _table("\t"),
    "csv": _table(","),
}
