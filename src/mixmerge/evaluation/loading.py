"""From what a person names to tasks: JSONL files, lm-eval's own names, folders of lm-eval YAML tasks."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from mixmerge.errors import nearest
from mixmerge.evaluation import lm_eval_tasks, suite
from mixmerge.evaluation.jsonl import read_items
from mixmerge.evaluation.lists import names
from mixmerge.evaluation.problems import Problems, TaskError
from mixmerge.evaluation.suite.opening import Settings, open_tasks
from mixmerge.evaluation.tasks import AnyTask, Task

SUFFIX: Final = ".jsonl"
YAML: Final = (".yaml", ".yml")
SETS: Final = ("validation", "test")


def load_task(path: str | Path, *, weight: float = 1.0) -> Task:
    """One JSONL file as a task named after its stem. Raises TaskError with all problems."""
    problems = Problems()
    file = Path(path)
    items = read_items(file, problems)
    problems.raise_if_any()
    return Task(file.name.removesuffix(SUFFIX), items, weight)


def load_tasks(
    specs: str | Path | Sequence[str | Path],
    weights: Mapping[str, float] | None = None,
    *,
    allow_code: bool = False,
    divided: bool = True,
    asked: Settings | None = None,
) -> tuple[AnyTask, ...]:
    """Tasks in the order named.

    specs: one, or a list: tasks of a suite (`m3_gsm8k`, or `m3` for all of them); JSONL files; folders with lm-eval
    YAML tasks; names lm-eval knows. A suite's names win, then a path that exists. Files named NAME.validation.jsonl and
    NAME.test.jsonl are the two sets of one task NAME. weights: by task name (a group's by the group's), > 0, default 1.
    allow_code: whether folders may bring Python code. divided: whether tasks are to be divided into sets; without, one
    of two sets is a task too. asked: how tasks of a suite are asked; None: as the environment says.

    Raises TaskError with all problems, MissingExtraError where lm-eval is needed and absent.
    """
    given = {} if weights is None else dict(weights)
    specs, problems = names(specs, "tasks"), Problems()
    files = [Path(spec) for spec in specs if is_file(spec)]
    tasks: list[AnyTask] = []
    seen: set[Path] = set()
    for spec in specs:
        if Path(spec).suffix in YAML and os.path.isfile(spec):
            rule, cure = "tasks of lm-eval are named by the folder they are in", f"name {Path(spec).parent}"
            problems.add(rule, "a file", str(spec), cure)
        elif not is_file(spec):
            tasks += _of_lm_eval(str(spec), given, problems, allow_code, asked)
        elif Path(spec) not in seen:
            group = [file for file in files if _name(file) == _name(Path(spec))]
            seen.update(group)
            tasks.append(_from_files(group, problems, divided=divided))
    _check_names(tasks, given, {str(spec) for spec in specs}, problems)
    problems.raise_if_any()
    return tuple(_weighted(task, given) for task in tasks)


def is_file(spec: str | Path) -> bool:
    """Whether a name is that of a file of items, there or not; it may be anything else."""
    return os.path.isfile(spec) or str(spec).endswith(SUFFIX)


def _name(file: Path) -> str:
    """The task a file belongs to."""
    stem = file.name.removesuffix(SUFFIX)
    return next((stem.removesuffix(f".{part}") for part in SETS if stem.endswith(f".{part}")), stem)


def _set(file: Path) -> str | None:
    """Which set of its task a file is; None for all of it."""
    return next((part for part in SETS if file.name.endswith(f".{part}{SUFFIX}")), None)


def _from_files(files: Sequence[Path], problems: Problems, *, divided: bool) -> Task:
    """One file with everything, or one for each set."""
    name = _name(files[0])
    by_set = {_set(file): file for file in files}
    if len(by_set) < len(files) or (None in by_set and len(by_set) > 1):
        found = ", ".join(map(str, files))
        problems.add("a task is one file, or one file for each set", found, f"task {name!r}", "rename or drop a file")
    items = {part: read_items(file, problems) for part, file in by_set.items()}
    if None in items:
        return Task(name, items[None])
    for part in SETS:
        if divided and part not in items:
            cure = f"name {name}.{part}{SUFFIX} too, or rename the file to {name}{SUFFIX} to have it divided"
            problems.add("a task has both a validation and a test set", f"no {part} set", str(files[0]), cure)
    validation, test = items.get("validation", ()), items.get("test", ())
    if shared := len(set(validation) & set(test)):
        rule, cure = "no item is in both sets: choosing would see what proves", "remove it from one of the files"
        problems.add(rule, f"{shared} items", f"task {name!r}", cure)
    return Task(name, (*validation, *test), validation=len(validation))


def _of_lm_eval(
    spec: str, weights: Mapping[str, float], problems: Problems, allow_code: bool, asked: Settings | None
) -> list[AnyTask]:
    weight = weights.get(spec, 1.0)
    try:
        if found := suite.named(spec):
            opened = open_tasks(found, asked or Settings.from_environment(), weight=weight / len(found))
            return [one.task for one in opened]
        if suite.is_meant(spec) and not os.path.exists(spec):
            problems.add("a suite has the tasks its table names", repr(spec), "tasks", nearest(spec, suite.names()))
            return []
        if os.path.isdir(spec):
            return list(lm_eval_tasks.in_folder(Path(spec), weight, allow_code=allow_code))
        return list(lm_eval_tasks.by_name(spec, weight))
    except TaskError as error:
        for problem in error.problems:
            problems.add(problem.rule, problem.value, problem.place, problem.cure)
        return []


def _check_names(
    tasks: Sequence[AnyTask], weights: Mapping[str, float], specs: Collection[str], problems: Problems
) -> None:
    names = [task.name for task in tasks]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            cure = "rename a file: the name of a task is the stem of its file"
            problems.add("tasks have different names", f"{names.count(name)} are {name!r}", "tasks", cure)
    for name, weight in weights.items():
        if name not in names and name not in specs:
            problems.add("a weight belongs to a task", repr(name), "weights", nearest(name, names))
        if not 0.0 < weight < float("inf"):
            problems.add("the weight of a task is above 0", f"{weight}", f"weight of {name!r}", "leave the task out")


def _weighted(task: AnyTask, weights: Mapping[str, float]) -> AnyTask:
    if isinstance(task, Task):
        return replace(task, weight=weights.get(task.name, 1.0))
    task.weight = weights.get(task.name, task.weight)
    return task
