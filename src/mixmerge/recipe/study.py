"""The `study` section of a recipe: how its ratio is to be explored. Merging and planning do not look at it.

It is no part of what a recipe means: two recipes that differ here only are equal and have one hash. It can start no
program and run no code; what can (`--serve`, `--allow-task-code`, `--allow-code-execution`) is said on the command
line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, TypeVar, get_args

from mixmerge.errors import nearest
from mixmerge.recipe import values
from mixmerge.recipe.nodes import Listing, Node
from mixmerge.recipe.report import RefusedError, Report
from mixmerge.recipe.types import Compute, Objective, Prompt, Sampler, Span

T = TypeVar("T")

VARIED: Final[Mapping[str, tuple[float, float] | None]] = {
    "alpha": (1e-3, 1e3), "density": (0.0, 1.0), "drop_rate": (0.0, 1.0), "scale": (-1e3, 1e3), "method": None,
}  # fmt: skip
"""What may vary beside the ratio, and the widest range of a number; names are given for `method`."""

_SAID_ELSEWHERE: Final = {
    "serve": "a recipe starts no program: say it as --serve",
    "url": "where a server listens is said as --url, beside --serve",
    "backend": "a server is asked for with --backend openai, beside --serve",
    "allow_task_code": "a recipe allows no code: say --allow-task-code if you trust the tasks",
    "allow_code_execution": "a recipe allows no code: say --allow-code-execution to run programs a model writes",
    "storage": "say it as --storage",
    "ray": "a recipe joins no cluster: say it as --ray",
}


@dataclass(frozen=True, slots=True)
class StudySection:
    """Arguments of `explore` as the recipe says them; None: not said. Words and ranges as there."""

    tasks: tuple[str, ...] | None = None
    test_tasks: tuple[str, ...] | None = None
    weights: Mapping[str, float] | None = None
    objective: Objective | None = None
    draws: int | None = None
    validation_fraction: float | None = None
    seed: int | None = None
    sampler: Sampler | None = None
    vary: Mapping[str, Span] | None = None
    race: bool | None = None
    workers: int | None = None
    device: str | None = None
    compute: Compute | None = None
    batch_size: int | None = None
    prompt: Prompt | None = None
    data_dir: str | None = None
    limit: int | None = None
    ood: tuple[str, ...] | None = None
    attacks: tuple[str, ...] | None = None
    attack_tasks: tuple[str, ...] | None = None
    attack_prompt: str | None = None
    attack_data: str | None = None
    attack_limit: int | None = None
    attack_queries: int | None = None
    attack_seeds: tuple[int, ...] | None = None
    masked_lm: str | None = None


def read_study(node: Node, report: Report) -> StudySection:
    """The section, with everything wrong in it added to the report."""
    nothing: Mapping[str, Node] = {}
    entries = report.read(node, lambda it: _known(it, report), nothing)
    report.note(node, "no effect on a merge: `mixmerge explore` reads it")

    def get(key: str, reader: Callable[[Node], T]) -> T | None:
        entry = entries.get(key)
        return None if entry is None or values.is_null(entry) else report.read(entry, reader, None)

    return StudySection(
        tasks=get("tasks", values.names),
        test_tasks=get("test_tasks", values.names),
        weights=get("weights", lambda it: _weights(it, report)),
        objective=get("objective", lambda it: values.choice(it, get_args(Objective))),
        draws=get("draws", lambda it: values.integer(it, 1)),
        validation_fraction=get("validation_fraction", _fraction),
        seed=get("seed", values.seed),
        sampler=get("sampler", lambda it: values.choice(it, get_args(Sampler))),
        vary=get("vary", lambda it: _vary(it, report)),
        race=get("race", values.flag),
        workers=get("workers", lambda it: values.integer(it, 1)),
        device=get("device", values.text),
        compute=get("compute", lambda it: values.choice(it, get_args(Compute))),
        batch_size=get("batch_size", lambda it: values.integer(it, 1)),
        prompt=get("prompt", lambda it: values.choice(it, get_args(Prompt))),
        data_dir=get("data_dir", values.text),
        limit=get("limit", lambda it: values.integer(it, 1)),
        ood=get("ood", values.names),
        attacks=get("attacks", values.names),
        attack_tasks=get("attack_tasks", values.names),
        attack_prompt=get("attack_prompt", values.text),
        attack_data=get("attack_data", values.text),
        attack_limit=get("attack_limit", lambda it: values.integer(it, 1)),
        attack_queries=get("attack_queries", lambda it: values.integer(it, 1)),
        attack_seeds=get("attack_seeds", lambda it: tuple(values.seed(one) for one in values.items(it))),
        masked_lm=get("masked_lm", values.text),
    )


def _known(node: Node, report: Report) -> Mapping[str, Node]:
    """The entries that may stand here; those that are said elsewhere are refused with where."""
    keys = tuple(field.name for field in fields(StudySection))
    entries = values.table(node, (*keys, *_SAID_ELSEWHERE), report)
    for key, cure in _SAID_ELSEWHERE.items():
        if key in entries:
            report.wrong(entries[key], f"{key} is not read from a recipe", cure)
    return {key: entry for key, entry in entries.items() if key in keys}


def _fraction(node: Node) -> float:
    value = values.number(node, 0, 1)
    if value in (0.0, 1.0):
        raise RefusedError(node, "validation and test both get items", "write a fraction between 0 and 1")
    return value


def _weights(node: Node, report: Report) -> Mapping[str, float]:
    return {name: report.read(entry, _weight, 1.0) for name, entry in values.table_entries(node).items()}


def _weight(node: Node) -> float:
    value = values.number(node, 0)
    if value == 0.0:
        raise RefusedError(node, "the weight of a task is above 0", "leave the task out")
    return value


def _vary(node: Node, report: Report) -> Mapping[str, Span]:
    nobody: Span = ()
    found = {}
    for name, entry in values.table_entries(node).items():
        if name not in VARIED:
            report.wrong(entry, f"{name!r} cannot vary", nearest(name, VARIED))
            continue
        bounds = VARIED[name]
        reader = values.names if bounds is None else lambda it, name=name, bounds=bounds: _range(it, name, *bounds)
        found[name] = report.read(entry, reader, nobody)
    return found


def _range(node: Node, name: str, low: float, high: float) -> Span:
    span = values.numbers(node, low, high) if isinstance(node, Listing) else ()
    if len(span) != 2 or span[0] >= span[1]:
        cure = f"write {name}: [low, high], from {low:g} to {high:g}"
        raise RefusedError(node, f"{name} varies from a lower to a higher number", cure)
    return span
