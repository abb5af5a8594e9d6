"""mixmerge plan: what a merge will do, as text or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from mixmerge.cli.asked import asked, recipe_problems
from mixmerge.cli.options import RecipeOptions, WorkOptions, option
from mixmerge.errors import Problem, legible
from mixmerge.startup import quick_loading


def plan(
    said: RecipeOptions,
    work: WorkOptions,
    as_json: Annotated[bool, option("--json", help="Print JSON of a stable schema (docs/plan.md).")] = False,
) -> None:
    """Print what a merge will read, compute and write, its memory and disk, and all that is wrong with it.

    Takes what `mixmerge merge` takes. Only the recipe, config.json, tokenizer.json and the headers of the weight
    files are read; nothing is written. With --out the place and the free disk are checked too; a note tells of what
    stands there already.
    """
    with quick_loading():
        wanted = asked(said, needs_out=False)
        from mixmerge import api
    planned = api.plan(
        wanted.recipe, memory=work.memory, threads=work.threads, shard_size=work.shard_size, out=wanted.out,
        allow_nonfinite=work.allow_nonfinite,
    )  # fmt: skip
    with closing(planned):
        _tell_what_stands_there(wanted.out)
        if as_json:
            from mixmerge.cli import plan_json

            print(plan_json.plan_text(planned))
        else:
            from mixmerge.cli.plan_text import plan_text

            print(legible(plan_text(planned)))


def also_wrong(right: Mapping[str, Any]) -> Sequence[Problem]:
    """What is wrong with the recipe, where some words are wrong."""
    return recipe_problems(right, needs_out=False)


def _tell_what_stands_there(out: Path | None) -> None:
    """A note on stderr: `plan` does not know whether `merge` will be told to replace it, or to go on with it."""
    from mixmerge.engine.folder import check_place
    from mixmerge.errors import OutputError

    if out is None:
        return
    try:
        check_place(out, resume=False, overwrite=False)
    except OutputError as error:
        for problem in error.problems:
            print(legible(f"note: {problem.rule}: {problem.value}, {problem.place}; {problem.cure}"), file=sys.stderr)
