"""Tasks: named lists of items with exact answers, and how their items are divided into validation and test.

It knows items and numbers of items; it knows no files, no tokens and no models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import xxhash

from mixmerge.errors import Problem
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask
from mixmerge.evaluation.problems import TaskError

Indices = np.ndarray[Any, np.dtype[np.int64]]

_CELLS: Final = 2.0**64


@final
@dataclass(frozen=True, slots=True)
class ChoiceItem:
    """Scored 1 where the log-likelihood of `choices[answer]` after `prompt` is the largest; the first maximum wins."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


@final
@dataclass(frozen=True, slots=True)
class TargetItem:
    """Scored 1 where the greedy continuation of `prompt`, up to the newline, without spaces at its end, is `target`."""

    prompt: str
    target: str


Item = ChoiceItem | TargetItem


@final
@dataclass(frozen=True)
class Task:
    """Items under a name. weight: of its mean score in the objective, > 0.

    validation: how many of the first items are the validation set, where the author divided them; None: `split` does.
    """

    name: str
    items: tuple[Item, ...]
    weight: float = 1.0
    validation: int | None = None

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def fingerprint(self) -> str:
        """xxh3-128 of everything that scores depend on: the items in their order."""
        return xxhash.xxh3_128_hexdigest("\n".join(map(_text, self.items)).encode("utf-8"))

    @cached_property
    def twins(self) -> tuple[int, ...]:
        """For each item the number of the first item equal to it (itself, unless the author repeats items)."""
        first: dict[Item, int] = {}
        return tuple(first.setdefault(item, number) for number, item in enumerate(self.items))


AnyTask = Task | LmEvalTask
"""What a backend may be asked to score. Both have: name, weight, len(), fingerprint, twins, validation."""


@final
@dataclass(frozen=True, slots=True)
class Split:
    """Item numbers, rising, disjoint, together all items. Choosing uses validation, proving uses test."""

    validation: Indices
    test: Indices


def split(task: AnyTask, validation_fraction: float, seed: int, limit: int | None = None) -> Split:
    """Divide the items of a task; the author's division wins where there is one.

    An item goes to validation where xxh3-64 of (seed, its number) is below the fraction: items added at the end move
    no earlier one, and equal items stay together, so that no test item was seen while choosing. If a side comes
    out empty, the item nearest to the boundary moves there. limit: at most so many items are divided, the first ones;
    of a task its author divided, so many on each side. Raises TaskError for fewer than two different items.
    """
    if task.validation is not None:
        numbers = np.arange(len(task), dtype=np.int64)
        return Split(numbers[: task.validation][:limit], numbers[task.validation :][:limit])
    twins = np.array(task.twins[:limit], dtype=np.int64)
    if len(np.unique(twins)) < 2:
        rule = "a task that is to be divided into validation and test has two different items or more"
        cure = "give the task more items, or separate files NAME.validation.jsonl and NAME.test.jsonl"
        raise TaskError(Problem(rule, f"{len(twins)} items", f"task {task.name!r}", cure))
    places = np.array([_place(seed, int(twin)) for twin in twins])
    chosen = places < validation_fraction
    if not chosen.any():
        chosen = places == places.min()
    elif chosen.all():
        chosen = places != places.max()
    return Split(np.flatnonzero(chosen), np.flatnonzero(~chosen))


def item_weights(sizes: Sequence[int], weights: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights of single items, task after task, under which the mean over all items is the weighted mean of task means.

    sizes: items of each task. weights: of the tasks, any scale. The weights of all items have the mean 1.

    >>> item_weights([2, 1], [1.0, 1.0]).tolist()
    [0.75, 0.75, 1.5]
    """
    total, count = sum(weights), sum(sizes)
    shares = [weight / total * count / size for size, weight in zip(sizes, weights, strict=True)]
    return np.repeat(np.array(shares, dtype=np.float64), sizes)


def _place(seed: int, number: int) -> float:
    """Where item `number` lies in [0, 1)."""
    return xxhash.xxh3_64_intdigest(f"{seed}\0{number}".encode()) / _CELLS


def _text(item: Item) -> str:
    """One line that tells an item from every other."""
    values = [item.prompt, item.target] if isinstance(item, TargetItem) else [item.prompt, item.choices, item.answer]
    return json.dumps(values, ensure_ascii=True)
