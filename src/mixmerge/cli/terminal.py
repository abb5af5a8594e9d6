"""What depends on the terminal: colours, width, whether a progress bar makes sense, whether anybody reads."""

from __future__ import annotations

import io
import os
import select
import shutil
import sys
from typing import Final, Literal

WIDTH: Final = 110
"""Columns of text that goes to no terminal, and the most on one."""

Colour = Literal["bold", "red"]
_CODES: Final = {"bold": "1", "red": "1;31"}


def is_terminal() -> bool:
    """Whether a person watches stderr on a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns to wrap text at: those of the terminal that stdout is, between 40 and WIDTH."""
    if not sys.stdout.isatty():
        return WIDTH
    return min(max(shutil.get_terminal_size().columns - 1, 40), WIDTH)


def prepare() -> None:
    """Make this process's output streams usable: closed ones lead nowhere, signs a terminal lacks come as `\\xb3`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def nobody_reads() -> bool:
    """Whether stdout is a pipe that nobody reads any more, as with `| head`. If so, it leads nowhere from now on."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # no file
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    if not poll.poll(0):
        return False
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)
    return True


def painted(text: str, colour: Colour) -> str:
    """The text in a colour where stderr is a terminal and NO_COLOR is not set, else as it is."""
    if not is_terminal() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{_CODES[colour]}m{text}\033[0m"
