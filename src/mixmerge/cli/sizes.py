"""Sizes in bytes: as people write them on a command line, and as they read them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from mixmerge.cli.failures import UsageError
from mixmerge.errors import Problem

UNITS: Final = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,30}(\.[0-9]{1,30})?) ?(?P<unit>[A-Za-z]*)", re.ASCII)


def parse_size(text: str, option: str) -> int:
    """Bytes in `1GiB` (2**30), `5GB` (10**9), `1.5 MiB` or `500000000`. option: named in the error.

    Raises UsageError for other text, and for less than one byte.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = UNITS.get(match["unit"].lower()) if match else None
    size = 0 if match is None or factor is None else int(Decimal(match["number"]) * factor)
    if size < 1:
        cure = "write it as 1GiB (2**30 bytes), 5GB (10**9 bytes) or 500000000"
        raise UsageError(Problem("a size is a number of bytes, at least 1, with or without a unit", text, option, cure))
    return size


def bytes_text(count: float) -> str:
    """A number of bytes in three digits and a decimal unit, as 2.20 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{_three_digits(count)} {unit}"
        count /= 1000
    return f"{_three_digits(count)} TB"


def mib_text(count: float) -> str:
    """A number of bytes of memory, as 311 MiB."""
    return f"{count / 2**20:,.0f} MiB"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
