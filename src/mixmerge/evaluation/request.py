"""What a person asks of an evaluation, and everything that can be wrong with it, told at once before a model is loaded:
names, data, what a task needs that nobody allowed, the place of the results.

It knows words, names, headers and data; it loads no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from mixmerge.errors import Problem
from mixmerge.evaluation import suite
from mixmerge.evaluation.devices import device_problems
from mixmerge.evaluation.lists import names
from mixmerge.evaluation.loading import is_file, load_tasks
from mixmerge.evaluation.named_model import NamedModel, find_model
from mixmerge.evaluation.problems import LiveModelError, Refusals, TaskError
from mixmerge.evaluation.results import Listener, Note, Skipped, check_out
from mixmerge.evaluation.suite import Resources, SuiteTask, TaskName, declared
from mixmerge.evaluation.suite.lm_eval_glue import checked_style
from mixmerge.evaluation.suite.opening import Opened, Settings, check_installed, open_tasks, refusal
from mixmerge.evaluation.suite.prompts import STYLES, Style
from mixmerge.evaluation.tasks import AnyTask
from mixmerge.evaluation.templates import has_template

BATCH: Final = 16
"""Answers that are generated at once where nobody says: keys and values of all of them are held in memory."""


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A task, and what its suite declares of it."""

    task: AnyTask
    declaration: SuiteTask | None = None
    data: tuple[Mapping[str, Any], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Words:
    """What can be wrong whatever is scored: keywords of `evaluate`."""

    prompt: str | None = None
    limit: int | None = None
    batch_size: int = BATCH
    workers: int = 1
    device: str = "cpu"
    compute: str | None = None
    out: Path | None = None
    overwrite: bool = False

    def look_over(self, refused: Refusals) -> None:
        """Refuse all that is wrong."""
        if self.out is not None:
            place = self.out
            refused.of(lambda: check_out(place, overwrite=self.overwrite))
        if self.prompt is not None:
            style = self.prompt
            refused.of(lambda: checked_style(style))
        numbers = {"limit": self.limit, "batch_size": self.batch_size, "workers": self.workers}
        refused.add(
            Problem(f"{name} is at least 1", str(number), name, "leave it out")
            for name, number in numbers.items()
            if number is not None and number < 1
        )
        refused.add(device_problems(self.device, self.compute), LiveModelError)


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """An evaluation that can be made. entries: asked in the style raw where the model is not whole yet."""

    model: NamedModel
    chosen: Sequence[str | TaskName]
    skipped: tuple[Skipped, ...]
    style: Style
    entries: Sequence[Entry]


def prepared(
    model: str, specs: object, words: Words, settings: Settings, allow_code: bool, listeners: Sequence[Listener]
) -> Prepared:  # fmt: skip
    """Everything but the weights; what is left out is told. specs: tasks as the person gave them. Raises all that is
    wrong; but data that may have to be fetched are looked at only where nothing else is."""
    refused = Refusals()
    words.look_over(refused)
    found = refused.of(lambda: find_model(model))
    chosen, skipped = refused.of(lambda: _chosen(names(specs, "tasks"), settings.resources)) or ([], [])
    for one in skipped:
        for listener in listeners:
            listener(Note(f"{one.name} is skipped: {one.why}; {one.cure}"))
    if any(isinstance(one, TaskName) for one in chosen):
        check_installed()
    asked = next((style for style in STYLES if style == words.prompt), None)
    style = asked or "raw"
    if found is not None and found.is_whole:
        folder = found.checkpoint.folder
        style = refused.of(lambda: style_of(asked, folder, chosen)) or "raw"
    entries: Sequence[Entry] = ()
    if not refused or all(_is_here(name, settings) for name in chosen):
        entries = refused.of(lambda: opened(chosen, replace(settings, prompt=style), allow_code)) or ()
    refused.raise_if_any()
    assert found is not None, "refused otherwise"
    return Prepared(found, chosen, tuple(skipped), style, entries)


def _is_here(task: str | TaskName, settings: Settings) -> bool:
    """Whether a task is read from this disk."""
    return settings.data_dir is not None if isinstance(task, TaskName) else is_file(task)


def _chosen(specs: Sequence[str], resources: Resources) -> tuple[list[str | TaskName], list[Skipped]]:
    """What will be scored, each once, in the order named; and what of a suite is left out.

    Raises TaskError for tasks named by themselves that need what is not allowed, and where nothing is left.
    """
    said: dict[str | TaskName, None] = {}
    skipped: dict[str, Skipped] = {}
    problems = []
    for spec in specs:
        for name in suite.named(spec) or (spec,):
            problem = refusal(str(name), declared(name), resources) if isinstance(name, TaskName) else None
            if problem is None:
                said[name] = None
            elif spec in suite.SUITES:
                why = "it " + problem.rule.removeprefix(f"task {name} ")
                skipped[str(name)] = Skipped(str(name), why, problem.cure)
            else:
                problems.append(problem)
    if not said and not problems:
        known = ", ".join(suite.SUITES)
        problems.append(Problem("there is a task to score", "none", "tasks", f"name a suite ({known}), or a task"))
    if problems:
        raise TaskError(problems)
    return list(said), list(skipped.values())


def style_of(asked: Style | None, folder: Path, chosen: Sequence[str | TaskName]) -> Style:
    """The prompt style that was asked for, or the model's own. Raises TaskError where its tokenizer has no template."""
    if asked not in (None, "chat_template") or not any(isinstance(one, TaskName) for one in chosen):
        return asked or "alpaca"
    there = has_template(folder)
    if asked is not None and not there:
        rule, cure = "the model's tokenizer has a chat template", "say another --prompt: alpaca, vicuna or raw"
        raise TaskError(Problem(rule, "none", str(folder), cure))
    return "chat_template" if there else "alpaca"


def opened(chosen: Sequence[str | TaskName], settings: Settings, allow_code: bool) -> list[Entry]:
    """Tasks in the order named, data read. What is wrong with any of them is told together."""
    problems: list[Problem] = []
    names = [one for one in chosen if isinstance(one, TaskName)]
    specs = [one for one in chosen if not isinstance(one, TaskName)]
    of_suites = _collected(lambda: open_tasks(names, settings) if names else [], problems)
    others = _collected(lambda: load_tasks(specs, allow_code=allow_code, divided=False) if specs else (), problems)
    if problems:
        raise TaskError(problems)
    entries = [_entry(opened) for opened in of_suites] + [Entry(task) for task in others]
    _check_names([entry.task.name for entry in entries])
    return entries


def _collected(load: Callable[[], Sequence[Any]], problems: list[Problem]) -> Sequence[Any]:
    try:
        return load()
    except TaskError as error:
        problems += error.problems
        return ()


def _entry(opened: Opened) -> Entry:
    return Entry(opened.task, opened.declaration, tuple(source.record() for source in opened.loaded.sources))


def _check_names(names: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        cure = "rename a file: the name of a task is the stem of its file"
        raise TaskError(Problem("tasks have different names", ", ".join(twice), "tasks", cure))
