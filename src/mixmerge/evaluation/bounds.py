"""How many values a text can hold, told before it is parsed: three bytes (`[],`) can become eighty in memory.

It knows marks between values, and no formats' grammar: marks inside texts are counted too, so the number is never too
small.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_VALUES: Final = 10_000_000
"""Of one file: 1.5 GB in memory at most, their texts aside."""

JSON_MARKS: Final = b",:[{"

_PIECE: Final = 1 << 20  # bytes that are looked at together


def values_in(text: bytes, marks: bytes = JSON_MARKS) -> int:
    """At least as many as parsing makes of a text. marks: one of them stands before or behind every value."""
    return 1 + sum(map(text.count, marks))


def values_of(path: Path, marks: bytes = JSON_MARKS) -> int:
    """The same of a file, of which little is held at once. Raises OSError."""
    return 1 + sum(values_in(piece, marks) - 1 for piece in _pieces(path))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
