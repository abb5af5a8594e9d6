"""From names of suite tasks to tasks that can be scored: data read, prompts made, lm-eval's definitions built.

It knows lm-eval's task manager; it asks no model.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, final

from mixmerge.errors import MixmergeError, Problem, extra_missing
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask, TextScorer
from mixmerge.evaluation.problems import TaskError
from mixmerge.evaluation.suite import Need, Resources, SuiteTask, TaskName, declared
from mixmerge.evaluation.suite.data import Loaded, load
from mixmerge.evaluation.suite.lm_eval_glue import DEFAULT_STYLE, FOLDER, checked_style, scored
from mixmerge.evaluation.suite.prompts import Style

_NEEDED: Final[Mapping[Need, str]] = {
    "code_execution": "runs programs that a model wrote",
    "judge": "needs a judge that compares answers",
}
ALLOWED: Final = "say --allow-code-execution: programs the model writes are then run, confined"
_CURES: Final[Mapping[Need, str]] = {
    "code_execution": ALLOWED,
    "judge": "say --judge-url and --judge-model: answers are then sent there to be compared",
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a suite is asked. data_dir: a folder of plain files; None: packages and the hub. limit: items a task."""

    prompt: Style = DEFAULT_STYLE
    data_dir: Path | None = None
    limit: int | None = None
    resources: Resources = field(default_factory=Resources)

    @classmethod
    def from_environment(cls) -> Settings:
        """What MIXMERGE_PROMPT and MIXMERGE_DATA_DIR say, where nobody asked a person. Raises TaskError."""
        folder, prompt = os.environ.get("MIXMERGE_DATA_DIR"), os.environ.get("MIXMERGE_PROMPT")
        style = checked_style(prompt) if prompt else DEFAULT_STYLE
        return cls(prompt=style, data_dir=Path(folder) if folder else None)


@final
@dataclass(frozen=True, slots=True)
class Opened:
    """A task of a suite, ready to be scored, with its declaration and its data."""

    task: LmEvalTask
    declaration: SuiteTask
    loaded: Loaded


def lacking(task: SuiteTask, resources: Resources) -> tuple[Need, ...]:
    """What a task needs and nobody allowed."""
    given: Mapping[Need, bool] = {"code_execution": resources.execute, "judge": resources.judge is not None}
    return tuple(need for need in task.needs if not given[need])


def open_tasks(names: Sequence[TaskName], settings: Settings, *, weight: float = 1.0) -> list[Opened]:
    """Tasks in the order named. weight: of each in an objective.

    Raises TaskError with all that is missing: data, or something a task needs and nobody allowed.
    """
    tasks = {str(name): declared(name) for name in names}
    refused = [refusal(name, task, settings.resources) for name, task in tasks.items()]
    problems = [problem for problem in refused if problem is not None]
    loaded: Mapping[str, Loaded] = {}
    try:
        loaded = load(tasks, settings.data_dir, settings.limit)
    except TaskError as error:
        problems += error.problems
    problems += [problem for name, one in loaded.items() for problem in _unready(tasks[name], one)]
    if problems:
        raise TaskError(problems)
    built = _built(list(tasks), {"prompt": settings.prompt, "loaded": {name: one.rows for name, one in loaded.items()}})
    return [
        Opened(
            LmEvalTask(
                built[name], weight=weight, scorer=_scorer(task, settings.resources),
                chat=settings.prompt == "chat_template", sources=[one.record() for one in loaded[name].sources],
            ),
            task, loaded[name],
        )
        for name, task in tasks.items()
    ]  # fmt: skip


def refusal(name: str, task: SuiteTask, resources: Resources) -> Problem | None:
    """What is wrong with scoring a task as things are allowed; None where nothing is."""
    lacks = lacking(task, resources)
    if not lacks:
        return None
    rule = f"task {name} " + " and ".join(_NEEDED[need] for need in lacks)
    return Problem(rule, "not allowed", "tasks", "; ".join(_CURES[need] for need in lacks))


def _unready(task: SuiteTask, loaded: Loaded) -> tuple[Problem, ...]:
    """Why these rows cannot be scored on this machine."""
    if task.ready is None:
        return ()
    try:
        task.ready(loaded.rows)
    except MixmergeError as error:
        return error.problems
    return ()


def _scorer(task: SuiteTask, resources: Resources) -> TextScorer:
    return lambda rows, answers: scored(task, rows, answers, resources)


def check_installed() -> None:
    """Tell first that tasks of a suite need more than scoring a model does. Raises MissingExtraError."""
    lacking = next((name for name in ("lm_eval", "transformers", "torch") if find_spec(name) is None), None)
    if lacking is not None:
        raise extra_missing("eval", lacking, "a task of a suite")


def _built(names: list[str], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's tasks by name, from the definitions that are shipped."""
    try:
        tasks = import_module("lm_eval.tasks")
    except ImportError as error:
        raise extra_missing("eval", error.name or "lm_eval", "a task of a suite") from error
    with contextlib.redirect_stderr(io.StringIO()):
        manager = tasks.TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=dict(metadata))
        return dict(manager.load(names)["tasks"])
