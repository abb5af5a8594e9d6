"""mixmerge eval: score one model on tasks, translated."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from mixmerge.cli.failures import COMMAND_LINE, StoppedError, UsageError
from mixmerge.cli.judge_options import JudgeOptions, judge_of
from mixmerge.cli.options import argument, option
from mixmerge.cli.scoring_options import ScoringOptions
from mixmerge.cli.scoring_options import prompt as prompt_option
from mixmerge.cli.terminal import is_terminal
from mixmerge.errors import Problem, legible

if TYPE_CHECKING:
    from mixmerge.evaluation.results import Event


def evaluate(
    *,
    model: Annotated[str, argument("MODEL", "A folder, a hub id, or model+adapter.")],
    more: Annotated[list[str] | None, argument("[TASK]...", "More tasks, after --tasks.")] = None,
    suite: Annotated[str | None, option("--suite", metavar="NAME", help="All tasks of a suite: m3.")] = None,
    tasks: Annotated[
        list[str] | None,
        option("--tasks", metavar="TASK...", help="m3_gsm8k, JSONL files, lm-eval names, folders of YAML."),
    ] = None,
    prompt: Annotated[str | None, prompt_option("the tokenizer's template, else alpaca")] = None,
    allow_task_code: Annotated[
        bool, option("--allow-task-code", help="Let task folders bring Python code.")
    ] = False,
    out: Annotated[str | None, option("--out", "-o", metavar="FILE", help="Write everything as JSON.")] = None,
    overwrite: Annotated[bool, option("--overwrite", help="Replace FILE.")] = False,
    json: Annotated[bool, option("--json", help="Print JSON without items in place of the table.")] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="Show nothing while it runs.")] = False,
    scoring: ScoringOptions,
    judging: JudgeOptions,
) -> None:  # fmt: skip
    """Score a model on the paper's evaluation (--suite m3), or on other tasks.

    Tasks that run programs of the model, or need a judge, are skipped with the suite unless that is allowed.
    """
    specs = _specs(suite, tasks or [], more or [])
    words: dict[str, Any] = {"prompt": prompt, **asdict(scoring)}
    judge = judge_of(judging)
    from mixmerge.evaluation.evaluate import evaluate as run

    try:
        with _shown(quiet=quiet) as listener:
            found = run(
                model, specs, allow_code=allow_task_code, judge=judge, out=out, overwrite=overwrite,
                listeners=[listener], **words,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError("nothing was written") from None
    from mixmerge.cli.evaluate_text import evaluation_text

    print(found.text(samples=False) if json else evaluation_text(found, out), end="" if json else "\n")


def _specs(suite: str | None, tasks: list[str], more: list[str]) -> list[str]:
    if more and not tasks:
        cure = "say the tasks after --tasks"
        raise UsageError(Problem("eval takes one word: MODEL", " ".join(more), COMMAND_LINE, cure))
    if suite is not None:
        from mixmerge.errors import nearest
        from mixmerge.evaluation.suite import SUITES

        if suite not in SUITES:
            raise UsageError(Problem("there is no such suite", repr(suite), "--suite", nearest(suite, SUITES)))
    found = [*([suite] if suite else []), *tasks, *more]
    if not found:
        cure = "say --suite m3, or --tasks and names or files"
        raise UsageError(Problem("eval needs something to score", "no tasks", COMMAND_LINE, cure))
    return found


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Notes on stderr, and a bar of answers where that is a terminal."""
    from mixmerge.evaluation.results import Note

    def note(event: Event) -> None:
        if isinstance(event, Note) and not quiet:
            print(legible(f"note: {event.text}"), file=sys.stderr)

    if quiet or not is_terminal():
        yield note
        return
    with _bar() as bar:
        yield _Bar(bar)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip


class _Bar:
    """One bar a task."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._rows: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        from mixmerge.evaluation.results import Asked, Note

        if isinstance(event, Note):
            self._bar.console.print(legible(f"note: {event.text}"), markup=False)
        elif isinstance(event, Asked):
            if event.task not in self._rows:
                self._rows[event.task] = self._bar.add_task(event.task, total=event.total)
            self._bar.update(self._rows[event.task], completed=event.done)
