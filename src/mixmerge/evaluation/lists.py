"""Lists as people give them to a function: a name by itself is a list of one, never a list of its letters.

It knows text, paths and whole numbers; what they name is another's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from operator import index
from os import PathLike, fspath
from typing import Any, Final

from mixmerge.errors import MixmergeError, Problem
from mixmerge.evaluation.problems import TaskError, shorten

_NO_LIST: Final = (Mapping, bytes, bytearray)


def names(given: object, place: str) -> tuple[str, ...]:
    """A name (text or a path), or a list of names, as text. place: the argument. Raises TaskError for all else."""
    if isinstance(given, str | PathLike):
        return (str(fspath(given)),)
    if isinstance(given, _NO_LIST) or not isinstance(given, Iterable):
        cure = f"give {place}='NAME', or {place}=['NAME', 'NAME']"
        raise TaskError(Problem("a name, or a list of names", shorten(given), place, cure))
    return tuple(str(name) for name in given)


def numbers(given: object, place: str) -> tuple[int, ...]:
    """A list of whole numbers. place: the argument. Raises TaskError for all else."""
    try:
        if isinstance(given, _NO_LIST) or not isinstance(given, Iterable):
            raise TypeError
        return tuple(index(number) for number in given)
    except TypeError:
        cure = f"give {place}=[0, 1, 2]"
        raise TaskError(Problem("a list of whole numbers", shorten(given), place, cure)) from None


def lists(
    given: Mapping[str, object], numeric: Collection[str] = (), error: type[MixmergeError] = TaskError
) -> dict[str, tuple[Any, ...]]:
    """Arguments by name, each as a list; those of `numeric` of whole numbers. Raises `error` with all that are none."""
    found: dict[str, tuple[Any, ...]] = {}
    problems: list[Problem] = []
    for place, value in given.items():
        try:
            found[place] = numbers(value, place) if place in numeric else names(value, place)
        except TaskError as wrong:
            problems += wrong.problems
    if problems:
        raise error(problems)
    return found
