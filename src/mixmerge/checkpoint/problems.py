"""Collecting what is wrong with one file, so that all of it is told at once and none of it floods the screen."""

from __future__ import annotations

from typing import Final, final

from mixmerge.errors import LISTED, CheckpointError, Problem

LONGEST: Final = 200  # characters of a value that are shown

DAMAGED: Final = "download or save the file again; it is damaged or not a safetensors file"


def shorten(value: object) -> str:
    """`value` as Python writes it, cut to a length fit for a message."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


@final
class ProblemList:
    """Problems of one place ("model 'a', file /x/y.safetensors")."""

    __slots__ = ("_found", "_place", "_unlisted")

    def __init__(self, place: str) -> None:
        self._place = place
        self._found: list[Problem] = []
        self._unlisted = 0

    def add(self, rule: str, value: str, *, tensor: str | None = None, cure: str = DAMAGED) -> None:
        """Note a broken rule; beyond `LISTED` it is only counted."""
        if len(self._found) >= LISTED:
            self._unlisted += 1
            return
        place = self._place if tensor is None else f"{self._place}, tensor {shorten(tensor)}"
        self._found.append(Problem(rule, value, place, cure))

    def found(self) -> tuple[Problem, ...]:
        """Everything noted, the last one a count of what is not listed."""
        if not self._unlisted:
            return tuple(self._found)
        return (*self._found, Problem(f"and {self._unlisted} more problems here", "", self._place))

    def raise_if_any(self) -> None:
        """Raise CheckpointError unless nothing was noted."""
        if self._found:
            raise CheckpointError(self.found())
