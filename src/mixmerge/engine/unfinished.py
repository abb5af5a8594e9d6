"""The folder of a merge that is not finished: whose it is, and taking away what it holds.

It stands under a name anybody may have used. So nothing in it is removed unless all of it can be from a merge.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mixmerge.checkpoint import CONFIG, INDEX, RECORD
from mixmerge.engine.journal import JOURNAL
from mixmerge.errors import OutputError, Problem
from mixmerge.planning import carry

CARD: Final = "README.md"

_WEIGHTS: Final = re.compile(r"model(-\d{5,}-of-\d{5,})?\.safetensors")
_TORN: Final = re.compile(r"\..+\.\d+\.tmp")
_BESIDE: Final = frozenset({JOURNAL, RECORD, CARD, INDEX, CONFIG, *carry.CARRIED})


def check_unfinished(partial: Path) -> None:
    """The folder is not there, is empty, or holds what a merge has begun and nothing else. Raises OutputError."""
    found = _foreign(partial)
    if found:
        rule = "the folder a merge is written in until it is complete holds nothing of others'"
        raise OutputError(Problem(rule, found, str(partial), "move it elsewhere, or choose another output folder"))


def _foreign(partial: Path) -> str:
    if partial.is_symlink():
        return "a link"
    if not partial.is_dir():
        return "a file" if partial.exists() else ""
    entries = sorted(partial.iterdir())
    for path in entries:
        if path.is_symlink() or not path.is_file() or not _made_by_a_merge(path.name):
            return f"{path.name!r}, which no merge writes"
    begun = any(path.name == JOURNAL or _WEIGHTS.fullmatch(path.name) for path in entries)
    return "" if begun or not entries else f"{entries[0].name!r} without weights or {JOURNAL}"


def _made_by_a_merge(name: str) -> bool:
    return name in _BESIDE or bool(_WEIGHTS.fullmatch(name) or _TORN.fullmatch(name))


def empty_unfinished(partial: Path, *, keep: str = "") -> None:
    """Remove what a merge has begun, all but the file named `keep`, and the folder if it is empty then.

    Raises OutputError, and removes nothing, where something else is in it; OSError as the system does.
    """
    check_unfinished(partial)
    if not partial.is_dir():
        return
    for path in sorted(partial.iterdir()):
        if path.name != keep:
            path.unlink()
    if not keep:
        partial.rmdir()
