"""mixmerge eval: score one model on tasks, translated."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from mixmerge.cli.failures import COMMAND_LINE, StoppedError, UsageError, as_typed
from mixmerge.cli.judge_options import JudgeOptions, judge_of
from mixmerge.cli.options import argument, option
from mixmerge.cli.scoring_options import ScoringOptions
from mixmerge.cli.scoring_options import prompt as prompt_option
from mixmerge.cli.terminal import is_terminal
from mixmerge.errors import MixmergeError, Problem, legible

if TYPE_CHECKING:
    from mixmerge.evaluation.problems import Refusals
    from mixmerge.evaluation.results import Event

_TYPED: Final = {
    "tasks": "--tasks", "prompt": "--prompt", "url": "--judge-url", "limit": "--limit", "batch_size": "--batch-size",
    "workers": "--workers",
}  # fmt: skip
"""Keyword of the library -> how it is typed."""


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
    from mixmerge.evaluation.problems import Refusals

    refused = Refusals()
    specs = refused.of(lambda: _specs(suite, tasks or [], more or [])) or []
    judge = refused.of(lambda: judge_of(judging))
    words: dict[str, Any] = {"prompt": prompt, **asdict(scoring)}
    if refused:
        _look_over(words | {"model": model, "out": out, "overwrite": overwrite}, refused)
    with as_typed(_TYPED):
        refused.raise_if_any()
    from mixmerge.evaluation.evaluate import evaluate as run

    try:
        with as_typed(_TYPED), _shown(quiet=quiet) as listener:
            found = run(
                model, specs, allow_code=allow_task_code, judge=judge, out=out, overwrite=overwrite,
                listeners=[listener], **words,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError("nothing was written") from None
    from mixmerge.cli.evaluate_text import evaluation_text

    print(found.text(samples=False) if json else legible(evaluation_text(found, out)), end="" if json else "\n")


def also_wrong(right: Mapping[str, Any]) -> Sequence[Problem]:
    """What is wrong with model, tasks, judge and settings, where some words are wrong; nothing of tasks is opened."""
    from mixmerge.evaluation.problems import Refusals

    refused = Refusals()
    if right.keys() >= {"suite", "tasks", "more"}:
        refused.of(lambda: _specs(right["suite"], right["tasks"] or [], right["more"] or []))
    names = [field.name for field in fields(JudgeOptions)]
    if right.keys() >= set(names):
        refused.of(lambda: judge_of(JudgeOptions(**{name: right[name] for name in names})))
    _look_over(right, refused)
    try:
        with as_typed(_TYPED):
            refused.raise_if_any()
    except MixmergeError as error:
        return error.problems
    return ()


def _look_over(right: Mapping[str, Any], refused: Refusals) -> None:
    """Refuse what is wrong with the words that tasks have no part in, and with the model."""
    from mixmerge.evaluation.named_model import find_model
    from mixmerge.evaluation.request import Words

    words = {field.name: right[field.name] for field in fields(Words) if field.name in right}
    words["out"] = Path(words["out"]) if words.get("out") is not None else None
    Words(**words).look_over(refused)
    if "model" in right:
        refused.of(lambda: find_model(right["model"]))


def _specs(suite: str | None, tasks: list[str], more: list[str]) -> list[str]:
    if more and not tasks:
        cure = "say the tasks after --tasks"
        raise UsageError(Problem("eval takes one word: MODEL", " ".join(more), COMMAND_LINE, cure))
    models = [word for word in more if os.path.isfile(Path(word) / "config.json")]
    if models:
        cure = "score each by itself, with an --out of its own"
        raise UsageError(Problem("eval scores one model", " ".join(models), COMMAND_LINE, cure))
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
