"""Every error Mixmerge raises on purpose, and the shape of what an error says.

An error is one or more problems; a problem names the rule, the value that broke it, the place
(file:line, key path, tensor, model) and the way out. Everything found wrong is told at once. This module
knows nothing of recipes, checkpoints or plans.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


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
        lines = [self.rule]
        lines += [f"  found: {self.value}"] if self.value else []
        lines += [f"  at:    {self.place}"] if self.place else []
        lines += [f"  fix:   {self.cure}"] if self.cure else []
        return "\n".join(lines)


class MixmergeError(Exception):
    """Root of the tree. `problems` holds all that was found; `exit_code` is what the command line returns."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n\n".join(str(problem) for problem in self.problems))


class RecipeError(MixmergeError, ValueError):
    """The recipe itself is wrong: an unknown key, a value out of its range, a rule between keys broken."""


class CheckpointError(MixmergeError, ValueError):
    """A checkpoint on disk breaks the safetensors format, or a limit set on untrusted files."""


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
    """
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(options)


def extra_missing(extra: str, needs: str, why: str) -> MissingExtraError:
    """The error for an optional dependency that is not there, with the command that installs it."""
    rule = f"{why} needs the optional packages of the extra '{extra}'"
    return MissingExtraError(Problem(rule, f"{needs} is not installed", "", f"pip install 'mixmerge[{extra}]'"))
