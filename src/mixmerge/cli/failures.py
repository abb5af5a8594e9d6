"""How a command fails: one readable block per problem on stderr, a count, and an exit code.

2: refused before anything was written; 1: failed on the way; 130: stopped by Control-C.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from mixmerge.cli.terminal import Colour, painted
from mixmerge.errors import MixmergeError, Problem, legible, listed

REFUSED: Final = 2
FAILED: Final = 1
STOPPED: Final = 130

COMMAND_LINE: Final = "command line"
"""The place of a problem with its words."""


class UsageError(MixmergeError, ValueError):
    """The command line itself is wrong: words that contradict each other, or one that is missing."""


class StoppedError(KeyboardInterrupt):
    """Control-C, with what can be done next."""

    def __init__(self, cure: str) -> None:
        super().__init__(cure)
        self.cure = cure


@contextlib.contextmanager
def as_typed(options: Mapping[str, str]) -> Iterator[None]:
    """Problems that stand at keywords of the library, as `tasks` or `weights.sst2`, stand at the options as typed."""
    try:
        yield
    except MixmergeError as error:
        error.problems = tuple(replace(one, place=_typed(one.place, options)) for one in error.problems)
        raise


def _typed(place: str, options: Mapping[str, str]) -> str:
    """A place may be several keywords with commas, or one with what is meant of it behind a dot."""
    if place.partition(".")[0] in options:
        keyword, _, inner = place.partition(".")
        return f"{options[keyword]} {inner}".rstrip()
    words = place.split(", ")
    return ", ".join(options[word] for word in words) if options.keys() >= set(words) else place


def exit_code(error: BaseException, *, debug: bool = False) -> int:
    """Tell an error on stderr; the exit code it means. debug: with its traceback."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, MixmergeError):
        _tell(error)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        cure = error.cure if isinstance(error, StoppedError) else ""
        _print(_painted(Problem("stopped", cure=cure), "bold"))
        return STOPPED
    _print(_unexpected(error, debug))
    return FAILED


def _tell(error: MixmergeError) -> None:
    for problem in listed(error.problems):
        _print(painted_problem(problem) + "\n")
    count = len(error.problems)
    verdict = "refused" if error.exit_code == REFUSED else "failed"
    _print(f"{verdict}: {count} problem{'s' * (count != 1)}")


def painted_problem(problem: Problem) -> str:
    """A problem's block, its rule in red on a terminal."""
    return _painted(problem, "red")


def _painted(problem: Problem, colour: Colour) -> str:
    rule, _, rest = str(problem).partition("\n")
    return painted(rule, colour) + ("\n" + rest if rest else "")


def _unexpected(error: BaseException, debug: bool) -> str:
    if isinstance(error, OSError):
        return f"failed: {legible(str(error))}" + ("" if debug else " (--debug shows where)")
    hint = "" if debug else "; this should not happen: --debug shows where, please report it"
    words = legible(str(error).partition("\n")[0])
    return f"failed: {type(error).__name__}{': ' * bool(words)}{words}{hint}"


def _print(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr)
