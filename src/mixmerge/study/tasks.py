"""The tasks of a study, from what a person names: loaded the same way in every process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from mixmerge.errors import Problem
from mixmerge.evaluation import AnyTask, Split, Task, TaskError, load_task, load_tasks
from mixmerge.evaluation.suite.opening import Settings
from mixmerge.evaluation.tasks import Item
from mixmerge.study.suites import spelled_out


def study_tasks(
    tasks: Sequence[str], test_tasks: Sequence[str] = (), *, allow_code: bool = False, asking: Settings | None = None
) -> Mapping[str, AnyTask]:
    """By name. test_tasks: JSONL files with the items of the proof; all items of `tasks` are then for choosing.

    A file NAME.jsonl or NAME.test.jsonl holds the test items of the task NAME. allow_code: whether task folders may
    bring Python code. asking: how tasks of a suite are asked; None: as the environment says. Raises TaskError with all
    problems.
    """
    found = _loaded(tasks, allow_code, asking)
    if not test_tasks:
        return found
    tests: dict[str, AnyTask] = {task.name.removesuffix(".test"): task for task in map(load_task, test_tasks)}
    problems = [problem for name in found | tests if (problem := _problem(name, found.get(name), tests.get(name)))]
    if problems:
        raise TaskError(problems)
    return {name: _joined(task, tests[name]) for name, task in found.items()}


def outside_tasks(
    inside: Collection[str], ood: Sequence[str], *, allow_code: bool = False, asking: Settings | None = None
) -> Mapping[str, AnyTask]:
    """Tasks out of distribution by name, each divided by itself. inside: names of the others. Raises TaskError."""
    found = _loaded(ood, allow_code, asking)
    rule, cure = "a task is in distribution or out of it", "name it once, in --tasks or in --ood"
    twice = [Problem(rule, "both", f"task {name!r}", cure) for name in found if name in inside]
    if twice:
        raise TaskError(twice)
    return found


def seen_twice(tasks: Mapping[str, AnyTask], splits: Mapping[str, Split], chosen: Collection[str]) -> Iterator[Problem]:
    """A problem for each pair of tasks of files where an item that chooses in one proves in the other. chosen: tasks
    the objective looks at. Within a task no such item can be."""
    rule = "no item is for choosing in one task and for proving in another"
    files = {name: task.items for name, task in tasks.items() if isinstance(task, Task)}
    proving = {name: {items[number] for number in splits[name].test} for name, items in files.items()}
    for name in (name for name in files if name in chosen):
        choosing = {files[name][number] for number in splits[name].validation}
        for other in files:
            if other != name and (shared := len(choosing & proving[other])):
                yield Problem(rule, f"{shared} items", f"tasks {name!r} and {other!r}", "leave them out of one task")


def repeats(tasks: Mapping[str, AnyTask]) -> Iterator[str]:
    """What intervals do not know of items that come up more than once."""
    known: dict[Item, str] = {}
    for name, task in tasks.items():
        if not isinstance(task, Task):
            continue
        twice = len(task.items) - len(set(task.items))
        if twice:
            yield f"{name}: {twice} of {len(task.items)} items repeat others; intervals take all for independent"
        shared = [known[item] for item in dict.fromkeys(task.items) if item in known]
        for other in dict.fromkeys(shared):
            count = shared.count(other)
            yield f"{name}: {count} items stand in {other} too; intervals of the objective take all for independent"
        known |= {item: known.get(item, name) for item in task.items}


def _loaded(specs: Sequence[str], allow_code: bool, asking: Settings | None) -> dict[str, AnyTask]:
    if not specs:
        return {}
    settings = asking or Settings.from_environment()
    tasks = load_tasks(spelled_out(specs, settings), allow_code=allow_code, asked=settings)
    return {task.name: task for task in tasks}


def _problem(name: str, chosen: AnyTask | None, proved: AnyTask | None) -> Problem | None:
    place = f"task {name!r}"
    if chosen is None or proved is None:
        found = "no items to choose on" if chosen is None else "no test items"
        return Problem("tasks and test tasks are the same", found, place, "name the files alike, in both lists")
    if not isinstance(chosen, Task) or not isinstance(proved, Task) or chosen.validation is not None:
        return Problem("test items are given for JSONL files that are not divided yet", "", place, "leave them out")
    shared = len(set(chosen.items) & set(proved.items))
    cure = "remove them from one of the two files"
    return Problem("no item is for choosing and for proving", f"{shared} items", place, cure) if shared else None


def _joined(chosen: AnyTask, proved: AnyTask) -> AnyTask:
    assert isinstance(chosen, Task), "checked before"
    assert isinstance(proved, Task), "checked before"
    return replace(chosen, items=(*chosen.items, *proved.items), validation=len(chosen.items))
