"""What this room raises, and how what is wrong with a file is collected before it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar, final

from mixmerge.errors import MissingExtraError, MixmergeError, Problem

LISTED: Final = 20  # problems told one by one; the rest is counted
LONGEST: Final = 120  # characters of a value that are shown

_Found = TypeVar("_Found")


class TaskError(MixmergeError, ValueError):
    """A task cannot be read, or cannot be scored with this model."""


class LiveModelError(MixmergeError, ValueError):
    """A model cannot be loaded into memory for scoring."""


class BackendError(MixmergeError, OSError):
    """A server that should score a model does not answer, or answers something else."""

    exit_code = 1


def shorten(value: object, longest: int = LONGEST) -> str:
    """`value` as Python writes it, cut to a length fit for a message."""
    text = repr(value)
    return text if len(text) <= longest else text[:longest] + "..."


@final
class Problems:
    """Everything wrong with the tasks of one call."""

    __slots__ = ("_count", "_found")

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rule: str, value: str, place: str, cure: str) -> None:
        """Note a broken rule; beyond `LISTED` it is only counted."""
        self._count += 1
        if self._count <= LISTED:
            self._found.append(Problem(rule, value, place, cure))

    def raise_if_any(self) -> None:
        """Raise TaskError unless nothing was noted."""
        if not self._count:
            return
        more = self._count - len(self._found)
        raise TaskError([*self._found, *([Problem(f"and {more} more problems")] if more else [])])


@final
class Refusals:
    """What steps that do not need each other refuse, told as one."""

    __slots__ = ("_errors",)

    def __init__(self) -> None:
        self._errors: list[MixmergeError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def of(self, step: Callable[[], _Found]) -> _Found | None:
        """What the step gives; None where it refuses, which is kept. A missing extra is told at once."""
        try:
            return step()
        except MissingExtraError:
            raise
        except MixmergeError as error:
            self._errors.append(error)
            return None

    def add(self, problems: Iterable[Problem], kind: type[MixmergeError] = TaskError) -> None:
        """Keep problems that were only found."""
        found = list(problems)
        self._errors += [kind(found)] if found else []

    def raise_if_any(self) -> None:
        """Raise everything that was refused: as what it was where all is of one kind, else as TaskError."""
        kinds = {type(error) for error in self._errors}
        if kinds:
            kind = kinds.pop() if len(kinds) == 1 else TaskError
            raise kind(dict.fromkeys(one for error in self._errors for one in error.problems))
