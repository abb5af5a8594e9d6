"""mixmerge reproduce: tables of the paper, listed, planned or run; translated."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from mixmerge.cli.failures import COMMAND_LINE, StoppedError, UsageError
from mixmerge.cli.judge_options import JudgeOptions, judge_of
from mixmerge.cli.options import GIB, Words, argument, option, size
from mixmerge.cli.scoring_options import ScoringOptions
from mixmerge.errors import Problem, legible

if TYPE_CHECKING:
    from mixmerge.reproduce.events import Event


def reproduce(
    *,
    table: Annotated[str | None, argument("[TABLE]", "Of the paper; none lists all.")] = None,
    cells: Annotated[list[str] | None, argument("[CELL]...", "Of that table; none: all.")] = None,
    models: Annotated[
        Words | None,
        option("--models", metavar="DIR|ROLE=NAME",
               help="A folder of models, or one model, as lm=FOLDER or lm=owner/name; may be repeated."),
    ] = None,
    out: Annotated[str | None, option("--out", "-o", metavar="DIR", help="Where it is kept, and goes on.")] = None,
    tasks: Annotated[Words | None, option("--tasks", metavar="TASK", help="Only this; may be repeated.")] = None,
    draws: Annotated[
        int, option("--draws", metavar="N", low=1, help="Ratios to choose among; the paper draws one.")
    ] = 1,
    seed: Annotated[int, option("--seed", metavar="N", low=0, help="Of ratios and masks.")] = 0,
    memory: Annotated[int, size("--memory", "Bound of merging.", "1GiB")] = GIB,
    threads: Annotated[
        int | None, option("--threads", metavar="N", low=1, default="one a core", help="Of merging.")
    ] = None,
    keep_models: Annotated[bool, option("--keep-models", help="Do not delete merges that are scored.")] = False,
    dry_run: Annotated[bool, option("--dry-run", help="Print what would be done, and what is wrong.")] = False,
    print_recipes: Annotated[
        str | None, option("--print-recipes", metavar="DIR", help="Write the table's recipes there, and stop.")
    ] = None,
    quiet: Annotated[bool, option("--quiet", "-q", help="Show nothing while it runs.")] = False,
    scoring: ScoringOptions,
    judging: JudgeOptions,
) -> None:  # fmt: skip
    """Make a table of the M³ paper again: merge, score, and print the published numbers beside.

    Without TABLE: the tables and their cells. It needs the four 13B models as safetensors; see docs/reproduce.md.
    Stop it at any time: the same command goes on where it stopped.
    """
    if table is None:
        from mixmerge.cli.reproduce_text import tables_text

        print(tables_text())
        return
    if print_recipes is not None:
        _recipes(table, cells or [], print_recipes, seed)
        return
    if out is None:
        cure = "say --out DIR; --print-recipes DIR writes the recipes alone"
        missing = Problem("reproduce needs a folder to keep results in", "no --out", COMMAND_LINE, cure)
        raise UsageError([*_unknown(table), missing])
    words: dict[str, Any] = {
        "out": out, "models": models or [], "tasks": tasks or [], "draws": draws, "seed": seed,
        "judge": judge_of(judging), "memory": memory, "threads": threads,
        "keep_models": keep_models, **asdict(scoring),
    }  # fmt: skip
    if dry_run:
        _planned(table, cells or [], words)
    else:
        _done(table, cells or [], words, quiet=quiet)


def _planned(table: str, cells: list[str], words: dict[str, Any]) -> None:
    """Print what would be done; refuse where something is wrong."""
    from mixmerge import reproduce as library
    from mixmerge.cli.reproduce_text import outline_text

    found = library.outline(table, cells, **words)
    print(legible(outline_text(found)))
    if found.problems:
        raise library.ReproduceError(found.problems)


def _done(table: str, cells: list[str], words: dict[str, Any], *, quiet: bool) -> None:
    """Do it, and print what came out."""
    from mixmerge import reproduce as library
    from mixmerge.cli.reproduce_text import summary_text

    try:
        with _shown(quiet=quiet) as listener:
            done = library.reproduce(table, cells, listeners=[listener], **words)
    except KeyboardInterrupt:
        raise StoppedError("what was measured is kept; the same command goes on") from None
    print(legible(summary_text(done)))


def _recipes(table: str, cells: list[str], folder: str, seed: int) -> None:
    from mixmerge import reproduce as library

    problems = _unknown(table)
    if cells:
        cure = "leave out the cells, or --print-recipes"
        problems.append(Problem("--print-recipes writes all of a table", " ".join(cells), COMMAND_LINE, cure))
    if problems:
        raise UsageError(problems)
    for path in library.print_recipes(table, folder, seed=seed):
        print(legible(str(path)))


def _unknown(table: str) -> list[Problem]:
    from mixmerge.errors import nearest
    from mixmerge.reproduce import TABLES

    known = table in TABLES
    return [] if known else [Problem("there is no such table", repr(table), "TABLE", nearest(table, TABLES))]


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Lines on stderr: what is being done, notes, and numbers as they come."""
    from mixmerge.evaluation.results import Note
    from mixmerge.reproduce.events import Doing, Measured

    def told(event: Event) -> None:
        if quiet:
            return
        if isinstance(event, Doing):
            print(legible(f"{event.merge}: {event.what}"), file=sys.stderr)
        elif isinstance(event, Measured):
            print(legible(f"{event.merge}: {event.words} {event.score:.1f}"), file=sys.stderr)
        elif isinstance(event, Note):
            print(legible(f"note: {event.text}"), file=sys.stderr)

    yield told
