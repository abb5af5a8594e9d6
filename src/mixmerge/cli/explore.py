"""mixmerge explore, export and demo: studies, translated."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, cast

from mixmerge.cli.asked import is_swapped
from mixmerge.cli.failures import COMMAND_LINE, StoppedError, UsageError, as_typed
from mixmerge.cli.live_table import watched
from mixmerge.cli.options import GIB, argument, option, size
from mixmerge.cli.progress import shown
from mixmerge.cli.study_options import TYPED, StudyOptions, keywords
from mixmerge.errors import MixmergeError, Problem, legible

QUIET = option("--quiet", "-q", help="Show nothing while it runs.")
THREADS = option("--threads", metavar="N", low=1, default="one a core", help="Threads that compute.")
MEMORY = size("--memory", "Bound of merging.", "1GiB")
OVERWRITE = option("--overwrite", help="Start afresh and replace what is there.")


def explore(
    recipe: Annotated[str, argument("RECIPE", "A recipe with `mixup`.")],
    study_dir: Annotated[str, argument("STUDY_DIR", "Where the study is kept, and goes on.")],
    said: StudyOptions,
    more: Annotated[list[str] | None, argument("[TASK]...", "More tasks, after --tasks.")] = None,
    memory: Annotated[int, MEMORY] = GIB,
    threads: Annotated[int | None, THREADS] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Draw ratios, merge and score each, choose on validation items, prove on test items.

    The recipe's `study` section says what is not said here. Stop it at any time; the same command goes on where it
    stopped.
    """
    if more and not said.tasks:
        found, cure = " ".join(more), "say the tasks after --tasks"
        raise UsageError(Problem("explore takes two words: RECIPE STUDY_DIR", found, COMMAND_LINE, cure))
    if is_swapped(recipe, study_dir):
        cure = f"say {quote(study_dir)} {quote(recipe)}"
        raise UsageError(Problem("the recipe comes first, then the study's folder", recipe, COMMAND_LINE, cure))
    words = keywords(said, more or [])
    from mixmerge import study

    try:
        with as_typed(TYPED), watched(quiet=quiet) as listeners:
            done = study.explore(
                recipe,
                words.pop("tasks"),
                folder=study_dir,
                memory=memory,
                threads=threads,
                listeners=listeners,
                **words,
            )
    except KeyboardInterrupt:
        raise StoppedError("every draw that ended is kept; the same command goes on") from None
    from mixmerge.cli.study_text import study_text

    print(legible(study_text(done.summary, study_dir)))
    print(legible(f"report    {Path(study_dir) / 'report.html'}"))


def also_wrong(right: Mapping[str, Any]) -> Sequence[Problem]:
    """What is wrong with recipe and study, where some words are wrong; without those of the study, with what can be
    told of the others one by one."""
    from mixmerge.study.exploring import read, read_recipe
    from mixmerge.study.settings import settle, single_problems

    names = {field.name for field in fields(StudyOptions)}
    words = keywords(StudyOptions(**{name: right[name] for name in names & right.keys()}), right.get("more") or [])
    tasks, options = words.pop("tasks"), cast("Any", words)
    try:
        with as_typed(TYPED):
            if right.keys() >= {"recipe", *names}:
                read(right["recipe"], tasks, options, custom=False)
                return ()
            if "recipe" in right:
                read_recipe(right["recipe"], tasks, options)
            if problems := list(single_problems(settle(None, tasks, options))):
                raise UsageError(problems)
    except MixmergeError as error:
        return error.problems
    return ()


def export(
    study_dir: Annotated[str, argument("STUDY_DIR", "A study of `mixmerge explore`.")],
    out: Annotated[str, argument("OUT", "Output folder.")],
    trial: Annotated[int | None, option("--trial", metavar="K", low=0, help="This draw, not the winner.")] = None,
    pareto: Annotated[bool, option("--pareto", help="The whole Pareto set, one folder a model.")] = False,
    push_to_hub: Annotated[str | None, option("--push-to-hub", metavar="REPO", help="Upload OUT there.")] = None,
    private: Annotated[bool, option("--private", help="Where it makes REPO: for its owner only.")] = False,
    overwrite: Annotated[bool, OVERWRITE] = False,
    memory: Annotated[int, MEMORY] = GIB,
    threads: Annotated[int | None, THREADS] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Write the winner of a study, or another of its draws, as a model with its card."""
    if private and push_to_hub is None:
        cure = "say --push-to-hub REPO too, or leave it out"
        raise UsageError(Problem("--private goes with --push-to-hub", "none", COMMAND_LINE, cure))
    from mixmerge import study

    with shown(quiet=quiet) as meter:
        folders = study.export(
            study_dir, out, trial=trial, pareto=pareto, push_to_hub=push_to_hub, private=private,
            overwrite=overwrite, memory=memory, threads=threads, listeners=[meter],
        )  # fmt: skip
    for folder in folders:
        print(legible(str(folder)))
    from mixmerge.study.exporting import unproved

    if not quiet and (said := unproved(study_dir, trial)):
        print(f"note: {said}", file=sys.stderr)


def demo(
    out: Annotated[str, option("--out", "-o", metavar="DIR", help="Where it is kept.")] = "mixmerge-demo",
    draws: Annotated[int, option("--draws", metavar="N", low=1, help="Ratios to try for each pair.")] = 16,
    seed: Annotated[int, option("--seed", metavar="N", low=0, help="Seed of the draws.")] = 0,
    overwrite: Annotated[bool, OVERWRITE] = False,
    threads: Annotated[int | None, THREADS] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Run the main job on four tiny trained models that come with Mixmerge, and print what it found."""
    from mixmerge import study

    try:
        with watched(quiet=quiet) as listeners:
            found = study.demo(
                out, draws=draws, seed=seed, overwrite=overwrite, threads=threads, listeners=listeners
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError("every draw that ended is kept; the same command without --overwrite goes on") from None
    from mixmerge.cli.study_text import demo_text

    print(legible(demo_text(found)))
