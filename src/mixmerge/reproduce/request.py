"""What a person asks of `reproduce`, everything that can be wrong with it, and what will be done.

All problems are told at once, before anything is written. It reads names, folders, headers and data; no weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from mixmerge import api
from mixmerge.errors import MixmergeError, Problem, nearest
from mixmerge.evaluation.attacks.examples import load_examples
from mixmerge.evaluation.devices import device_problems
from mixmerge.evaluation.judging.judge import Judge
from mixmerge.evaluation.live import Compute
from mixmerge.evaluation.suite import Need, Resources, TaskName, declared
from mixmerge.evaluation.suite.data import load
from mixmerge.evaluation.suite.opening import lacking
from mixmerge.planning import Cost
from mixmerge.reproduce import models
from mixmerge.reproduce.grid import ARMS, MEASURES, TABLES, Arm, Cell, Table
from mixmerge.reproduce.problems import ReproduceError
from mixmerge.reproduce.recipes import recipe_text
from mixmerge.reproduce.store import Store

BATCH: Final = 16
SUITE: Final = "m3"

_MISSING: Final[Mapping[Need, str]] = {
    "code_execution": "runs programs that the model wrote: --allow-code-execution",
    "judge": "needs a judge: --judge-url and --judge-model, or --judge-annotators",
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The arguments of `reproduce`, explained there."""

    table: str
    cells: tuple[str, ...] = ()
    out: Path
    models: tuple[str, ...] = ()
    data_dir: Path | None = None
    tasks: tuple[str, ...] = ()
    draws: int = 1
    seed: int = 0
    limit: int | None = None
    device: str = "cpu"
    compute: Compute | None = None
    batch_size: int = BATCH
    execute: bool = False
    judge: Judge | None = None
    workers: int = 1
    memory: int | None = None
    threads: int | None = None
    keep_models: bool = False

    @property
    def resources(self) -> Resources:
        return Resources(execute=self.execute, workers=self.workers, judge=self.judge)


@final
@dataclass(frozen=True, slots=True)
class Job:
    """One merge of a cell. wanted: measures still to be taken. cost: of merging; None where its models are not here.

    refused: whether its models are here and it cannot be planned; why is among the problems.
    """

    cell: Cell
    arm: Arm
    wanted: tuple[str, ...]
    cost: Cost | None
    refused: bool = False


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that was looked at. models: by role. lacks: measure to what it needs and nobody allowed.

    local: whether all models are folders. problems: why it cannot run; empty where it can.
    """

    request: Request
    table: Table
    cells: tuple[Cell, ...]
    models: Mapping[str, str]
    jobs: tuple[Job, ...]
    lacks: Mapping[str, str]
    store: Store
    identity: Mapping[str, Any]
    problems: tuple[Problem, ...]

    @property
    def disk(self) -> int | None:
        """Bytes that must be free: the largest merge, or the sum where models are kept. None where not known."""
        costs = [job.cost.disk for job in self.jobs if job.wanted and job.cost is not None]
        if not costs or any(job.cost is None for job in self.jobs if job.wanted):
            return None
        return sum(costs) if self.request.keep_models else max(costs)


def prepared(request: Request, *, look_up: bool) -> Prepared:
    """Everything but the work. look_up: whether data are asked from the hub where no folder is named.

    Raises ReproduceError where there is no such table or cell: nothing else can be told then.
    """
    table, cells = _cells(request)
    problems = [*_numbers(request, cells), *device_problems(request.device, request.compute)]
    store = Store(request.out)
    needed = {role for cell in cells for role in cell.merge.roles}
    unknown: list[Problem] = []
    found = models.named(request.models, needed, unknown)
    problems += unknown
    identity = _identity(request)
    problems += _collected(lambda: store.problems(identity))
    lacks = _lacks(cells, request.resources)
    wanted = _wanted(request, cells, lacks, store, problems)
    measures = tuple(dict.fromkeys(name for names in wanted.values() for name in names))
    if request.data_dir is not None or look_up:
        problems += _data_problems(measures, request)
    jobs = tuple(_job(cell, arm, wanted[cell.name, arm], found, request, problems) for cell in cells for arm in ARMS)
    if look_up and not unknown:
        problems += _far_problems(jobs, found, request)
    unique = tuple(dict.fromkeys(problems))
    return Prepared(request, table, cells, found, jobs, lacks, store, identity, unique)


def _cells(request: Request) -> tuple[Table, tuple[Cell, ...]]:
    table = TABLES.get(request.table)
    if table is None:
        rule = "there is no such table"
        raise ReproduceError(Problem(rule, repr(request.table), "TABLE", nearest(request.table, TABLES)))
    known = [cell.name for cell in table.cells]
    unknown = [name for name in request.cells if name not in known]
    if unknown:
        rule = f"there is no such cell in the table {request.table}"
        raise ReproduceError([Problem(rule, repr(name), "CELL", nearest(name, known)) for name in unknown])
    return table, tuple(cell for cell in table.cells if not request.cells or cell.name in request.cells)


def _numbers(request: Request, cells: Sequence[Cell]) -> Iterator[Problem]:
    for name in ("draws", "batch_size", "workers", "limit"):
        value = getattr(request, name)
        if value is not None and value < 1:
            yield Problem(f"{name.replace('_', ' ')} is at least 1", str(value), f"--{name.replace('_', '-')}", "say 1")
    if request.seed < 0:
        yield Problem("a seed is 0 or more", str(request.seed), "--seed", "say 0")
    known = tuple(dict.fromkeys(name for cell in cells for name in cell.measures))
    for name in request.tasks:
        if name not in known:
            yield Problem("there is no such task in these cells", repr(name), "--tasks", nearest(name, known))
    attacks = [name for name in known if MEASURES[name].attack is not None]
    if request.draws > 1 and attacks:
        rule, cure = "draws are chosen by the scores of tasks, not by attacks", "leave out --draws"
        yield Problem(rule, ", ".join(attacks), "--draws", cure)


def _identity(request: Request) -> dict[str, Any]:
    """What a run goes on with. Models as they were named: other cells may need more of them."""
    return {
        "table": request.table, "seed": request.seed, "draws": request.draws, "limit": request.limit,
        "models": [str(Path(word).absolute()) if os.path.isdir(word) else word for word in request.models],
    }  # fmt: skip


def _lacks(cells: Sequence[Cell], resources: Resources) -> dict[str, str]:
    names = dict.fromkeys(name for cell in cells for name in cell.measures if MEASURES[name].attack is None)
    found = {name: lacking(declared(task_name(name)), resources) for name in names}
    return {name: "; ".join(_MISSING[need] for need in needs) for name, needs in found.items() if needs}


def task_name(measure: str) -> TaskName:
    """A measure that is a task of the suite, as the suite knows it."""
    return TaskName(SUITE, measure.removeprefix(f"{SUITE}_"))


def _wanted(
    request: Request, cells: Sequence[Cell], lacks: Mapping[str, str], store: Store, problems: list[Problem]
) -> dict[tuple[str, Arm], tuple[str, ...]]:
    """Measures still to be taken, by cell and arm."""
    found: dict[tuple[str, Arm], tuple[str, ...]] = {}
    for cell in cells:
        asked = [name for name in cell.measures if name not in lacks and name in (request.tasks or cell.measures)]
        for arm in ARMS:
            known: dict[str, Any] = {}
            problems += _collected(lambda cell=cell, arm=arm, known=known: known.update(store.scores(cell.name, arm)))
            found[cell.name, arm] = tuple(name for name in asked if name not in known)
    return found


def _data_problems(measures: Sequence[str], request: Request) -> list[Problem]:
    """What is wrong with the data of these measures, or with this machine for scoring them."""
    tasks = {name: declared(task_name(name)) for name in measures if MEASURES[name].attack is None}
    problems: list[Problem] = []
    for name, task in tasks.items():
        try:
            loaded = load({name: task}, request.data_dir, request.limit)
            if task.ready is not None:
                task.ready(loaded[name].rows)
        except MixmergeError as error:
            problems += error.problems
    for name in measures:
        attack = MEASURES[name].attack
        if attack is not None:
            problems += _collected(lambda attack=attack: load_examples(attack.task, request.data_dir))
    return problems


def _job(
    cell: Cell, arm: Arm, wanted: tuple[str, ...], found: Mapping[str, str], request: Request, problems: list[Problem]
) -> Job:
    """With what the merge costs, where all its models are folders here."""
    if not wanted or not _all_here(cell, found):
        return Job(cell, arm, wanted, None)
    costs: list[Cost] = []
    problems += _collected(lambda: costs.append(_cost(cell, arm, found, request)))
    return Job(cell, arm, wanted, costs[0] if costs else None, refused=not costs)


def _far_problems(jobs: Sequence[Job], found: Mapping[str, str], request: Request) -> list[Problem]:
    """What is wrong with merges whose models are on the hub, from their headers; one merge a pair is looked at."""
    far = {job.cell.merge.pair: job for job in jobs if job.wanted and not _all_here(job.cell, found)}
    problems: list[Problem] = []
    for job in far.values():
        problems += _collected(lambda job=job: _cost(job.cell, job.arm, found, request))
    return problems


def _all_here(cell: Cell, found: Mapping[str, str]) -> bool:
    return all(os.path.isdir(Path(found[role]).expanduser()) for role in cell.merge.roles)


def _cost(cell: Cell, arm: Arm, found: Mapping[str, str], request: Request) -> Cost:
    """Of one merge, from the headers of its models. Raises what `api.plan` raises."""
    text = recipe_text(cell.merge, arm, {role: found[role] for role in cell.merge.roles}, request.seed)
    with closing(api.plan(text, memory=request.memory, threads=request.threads)) as plan:
        return plan.cost


def _collected(look: Any) -> list[Problem]:
    """What a look at something found wrong: the problems it returns, or those it raises."""
    try:
        found = look()
    except MixmergeError as error:
        return list(error.problems)
    return list(found) if isinstance(found, list) else []
