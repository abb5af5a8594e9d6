"""From what a person names to tasks: JSONL files, lm-eval's own names, folders of lm-eval YAML tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixmerge.evaluation.tasks import AnyTask, Task


def load_task(path: str | Path, *, weight: float = 1.0) -> Task:
    """One JSONL file as a task named after its stem. Raises TaskError with all problems."""
    raise NotImplementedError


def load_tasks(specs: Sequence[str | Path], weights: Mapping[str, float] | None = None) -> tuple[AnyTask, ...]:
    """Tasks in the order named. weights: by task name, default 1. Raises TaskError with all problems."""
    raise NotImplementedError
