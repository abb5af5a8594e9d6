"""Tasks of a suite in a study: which of them may be asked, where their items came from, what a person should know.

No judge is asked by a study: every draw and every baseline would be sent to it, and paid for, anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mixmerge.errors import Problem
from mixmerge.evaluation import AnyTask, LmEvalTask, TaskError
from mixmerge.evaluation.suite import SUITES, Need, TaskName, declared, named
from mixmerge.evaluation.suite.opening import ALLOWED, Settings, lacking
from mixmerge.evaluation.templates import has_template
from mixmerge.planning import Plan

_WHY: Final[Mapping[Need, str]] = {
    "code_execution": "runs programs that a model wrote, which is not allowed",
    "judge": "needs a judge, and a study asks none: every draw would be compared, and paid for, anew",
}
_CURES: Final[Mapping[Need, str]] = {
    "code_execution": ALLOWED,
    "judge": "leave it out, and score the exported winner: `mixmerge eval OUT --tasks {}`",
}


def spelled_out(specs: Sequence[str], asking: Settings) -> tuple[str, ...]:
    """The words with suites as their tasks, each task once; of a suite only what may be asked.

    Raises TaskError for tasks named by themselves that need what is not allowed.
    """
    found: dict[str, None] = {}
    problems = []
    for spec in specs:
        names = named(spec)
        if not names:
            found[spec] = None
        for name in names:
            lacks = _lacks(name, asking)
            if not lacks:
                found[str(name)] = None
            elif spec not in SUITES:
                cure = "; ".join(_CURES[need].format(name) for need in lacks)
                problems.append(Problem(f"task {name} {_why(lacks)}", "not allowed", "tasks", cure))
    if problems:
        raise TaskError(problems)
    return tuple(found)


def notes_on(specs: Sequence[str], tasks: Mapping[str, AnyTask], asking: Settings) -> Iterator[str]:
    """What of a suite is left out, and whence the items of the others are. tasks: those of the study by name."""
    for name in dict.fromkeys(name for spec in specs if spec in SUITES for name in named(spec)):
        if lacks := _lacks(name, asking):
            yield f"{name} is left out: it {_why(lacks)}"
    for label, task in tasks.items():
        for source in sources_of(task):
            version = f" {source['version']}" if source["version"] else ""
            yield f"{label}: {source['rows']} rows of {source['place']}{version}, prompt {asking.prompt}"
            if source["stand_in"]:
                yield f"{label}: that file is {source['stand_in']}, in place of the task's own data"


def sources_of(task: AnyTask) -> tuple[Mapping[str, Any], ...]:
    """Records of where the items of a suite's task came from; none for any other task."""
    return task.sources if isinstance(task, LmEvalTask) else ()


def template_problems(plan: Plan, tasks: Mapping[str, AnyTask], asking: Settings) -> Iterator[Problem]:
    """Models without a chat template, where suite tasks are to be asked through one: each is asked through its own."""
    if asking.prompt != "chat_template" or not any(map(sources_of, tasks.values())):
        return
    for folder in dict.fromkeys(model.folder for model in plan.models):
        if not has_template(Path(folder)):
            rule, cure = "every model's tokenizer has a chat template", "say another --prompt: alpaca, vicuna or raw"
            yield Problem(rule, "none", str(folder), cure)


def _lacks(name: TaskName, asking: Settings) -> tuple[Need, ...]:
    return lacking(declared(name), asking.resources)


def _why(lacks: Sequence[Need]) -> str:
    return " and ".join(_WHY[need] for need in lacks)
