"""Every error Mixmerge raises on purpose, and the shape of what an error says.

An error is one or more problems; a problem names the rule, the value that broke it, the place
(file:line, key path, tensor, model) and the way out. Everything found wrong is told at once. This module
knows nothing of recipes, checkpoints or plans.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_COMMANDS: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"  # of terminals, not text
)
_PASSWORD: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}:/{1,2})[^/\s@:'\"]{0,300}:[^/\s@'\"]{1,300}@")
"""User and password in an address; in a path made of one, a slash is missing."""


def legible(text: str) -> str:
    """Text fit for a screen: what a terminal would obey (escapes, changes of direction) is written as Python does.

    Names of tensors and models, and values of recipes, are strangers' words. Line ends and tabs stay; user and password
    of an address do not.

    >>> legible("\\x1b[2Jgone")
    '\\\\x1b[2Jgone'
    >>> legible("no model at https://me:secret@host/model")
    'no model at https://...@host/model'
    """
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), without_password(text))


def without_password(text: str) -> str:
    """Text in which no address has a user and password."""
    return _PASSWORD.sub(r"\1...@", text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    rule: what must hold, as a sentence. value: what was found instead. place: where, as `file:line`, key path,
    tensor or model. cure: what the person can do about it. Empty strings are left out when printed.
    """

    rule: str
    value: str = ""
    place: str = ""
    cure: str = ""

    def __str__(self) -> str:
        named = (("", self.rule), ("  found: ", self.value), ("  at:    ", self.place), ("  fix:   ", self.cure))
        shown = ((head, _short(text)) for head, text in named if text or not head)
        return "\n".join(head + text.replace("\n", "\n" + " " * 9) for head, text in shown)


LONGEST: Final = 1_000
"""Characters of one line of a problem that are shown: names and values come from files, and may have any length."""

LISTED: Final = 20
"""Problems of one rule that are shown."""


def _short(text: str) -> str:
    """Legible, and cut where that is too long; of a stranger's megabytes no more is looked at than may be shown."""
    shown = legible(text[: 2 * LONGEST])
    whole = len(text) <= 2 * LONGEST and len(shown) <= LONGEST
    return shown if whole else f"{shown[:LONGEST]}... ({len(text):,} characters)"


def listed(problems: Iterable[Problem]) -> list[Problem]:
    """The problems with at most `LISTED` of each rule, and behind them how many more there are of it."""
    found: list[Problem] = []
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.rule] += 1
        found += [problem] if counts[problem.rule] <= LISTED else []
    return found + [Problem(rule, f"and {count - LISTED:,} more") for rule, count in counts.items() if count > LISTED]


class MixmergeError(Exception):
    """Root of the tree. `problems` holds all that was found; `exit_code` is what the command line returns."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n\n".join(str(problem) for problem in listed(self.problems)))


class RecipeError(MixmergeError, ValueError):
    """The recipe itself is wrong: an unknown key, a value out of its range, a rule between keys broken."""


class CheckpointError(MixmergeError, ValueError):
    """A checkpoint on disk breaks the safetensors format, or a limit set on untrusted files."""


class UnreadableError(CheckpointError, OSError):
    """A file of a checkpoint that was opened cannot be read any more: cut short, a failing disk, a lost mount."""


class ModelNotFoundError(CheckpointError, FileNotFoundError):
    """A model named in the recipe is neither a local folder nor a hub id that answers."""


class PlanError(MixmergeError, ValueError):
    """Recipe and checkpoints are each readable but cannot be merged as asked."""


class MemoryBudgetError(PlanError, MemoryError):
    """The work does not fit the memory budget the person gave."""


class NonFiniteError(MixmergeError, ArithmeticError):
    """A source holds NaN or infinity."""


class OutputError(MixmergeError, OSError):
    """The output cannot be written where asked: it exists, lies inside an input, or the disk is too small."""


class InterruptedMergeError(MixmergeError, OSError):
    """Writing failed in mid-run (a full disk, a lost mount). What was done can be resumed."""

    exit_code = 1


class VerificationError(MixmergeError, ValueError):
    """A written model no longer has the bytes its record states."""

    exit_code = 1


class MissingExtraError(MixmergeError, ImportError):
    """A part was asked for whose optional dependencies are not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A cure that names the closest known spelling, or lists what is known.

    >>> nearest("densty", ["density", "weight"])
    "did you mean 'density'?"
    >>> nearest("base", ["base_model", "models"])
    "did you mean 'base_model'?"
    """
    options = sorted(known)
    close = [one for one in options if one.lower() == name.lower()][:1]
    close = close or difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    close = close or sorted((one for one in options if len(name) > 2 and one.startswith(name)), key=len)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(options)


def extra_missing(extra: str, needs: str, why: str) -> MissingExtraError:
    """The error for an optional dependency that is not there, with the command that installs it."""
    rule = f"{why} needs the optional packages of the extra '{extra}'"
    return MissingExtraError(Problem(rule, f"{needs} is not installed", "", f"pip install 'mixmerge[{extra}]'"))
