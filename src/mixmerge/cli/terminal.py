"""What depends on the terminal: colours, and whether a progress bar makes sense."""

from __future__ import annotations

import os
import sys
from typing import Final, Literal

Colour = Literal["bold", "red"]
_CODES: Final = {"bold": "1", "red": "1;31"}


def is_terminal() -> bool:
    """Whether a person watches stderr on a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: Colour) -> str:
    """The text in a colour where stderr is a terminal and NO_COLOR is not set, else as it is."""
    if not is_terminal() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{_CODES[colour]}m{text}\033[0m"
