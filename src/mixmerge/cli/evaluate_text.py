"""What an evaluation found, as text for people. Scores are percentages with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mixmerge.cli.tables import table
from mixmerge.evaluation.results import shortened_note, unscored_note

if TYPE_CHECKING:
    from mixmerge.evaluation.results import Evaluation, TaskResult


def evaluation_text(found: Evaluation, out: str | None) -> str:
    """The table of tasks, then prompt style, data and where the record is. out: the file of the record, if any."""
    rows = [["task", "metric", "score", "95 % interval", "items", "seconds"]]
    rows += [_row(task) for task in found.tasks]
    asked = [f"prompt    {found.prompt}"] if any(task.data for task in found.tasks) else []  # by tasks of a suite
    lines = [*asked, *_data(found)]
    lines += [f"skipped   {one.name}: {one.why}" for one in found.skipped]
    lines += [line for task in found.tasks for line in _remarks(task)]
    lines += [] if out is None else [f"results   {out}"]
    return "\n".join([table(rows), *([""] if lines else []), *lines])


def _row(task: TaskResult) -> list[str]:
    if task.estimate is None:
        return [task.name, task.metric, "none", "", "0", f"{task.seconds:.1f}"]
    score = task.estimate
    interval = f"[{100 * score.low:.1f}, {100 * score.high:.1f}]"
    return [task.name, task.metric, f"{100 * score.mean:.1f}", interval, str(score.n), f"{task.seconds:.1f}"]


def _data(found: Evaluation) -> Iterator[str]:
    for task in found.tasks:
        for source in task.data:
            version = f" {source['version']}" if source["version"] else ""
            config = f" {source['config']}" if source["kind"] == "hub" and source["config"] else ""
            rows, digest = source["rows"], source["digest"]
            yield f"data      {task.name}: {source['place']}{config}{version}, {rows} rows, xxh3-128 {digest}"
            if source["stand_in"]:
                yield f"note      {task.name}: that file is {source['stand_in']}, in place of the task's own data"


def _remarks(task: TaskResult) -> Iterator[str]:
    if task.shortened:
        yield f"note      {task.name}: {shortened_note(task.shortened)}"
    if task.unscored:
        yield f"note      {task.name}: {unscored_note(task.unscored)}"
