"""The public door of a study: `explore`. Defaults live here, and so does the order in which things happen."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mixmerge import api
from mixmerge.errors import PlanError, Problem, nearest
from mixmerge.evaluation import AnyTask, Split, split
from mixmerge.evaluation.score import MAX_ROWS
from mixmerge.recipe import Recipe, canonical
from mixmerge.report.schema import OBJECTIVE
from mixmerge.study.crew import make_crew
from mixmerge.study.describe import describe
from mixmerge.study.events import Stage, StudyListener, StudyStarted
from mixmerge.study.identity import FILE, Identity, open_identity, read_identity, refuse_strange
from mixmerge.study.merging import law_of
from mixmerge.study.proof import baselines, prove, score_baselines, take_over
from mixmerge.study.race import race_all
from mixmerge.study.samplers import Sampler, make_sampler
from mixmerge.study.session import Session, draw_all
from mixmerge.study.space import make_space, parse_vary
from mixmerge.study.storage import FolderLock, Storage, finished
from mixmerge.study.study import Study
from mixmerge.study.workbench import CUSTOM, SCRATCH, Parent, ScoreFunction, Setup, Workbench


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of `explore` that say what the study is."""

    draws: int
    sampler: Sampler
    seed: int
    validation_fraction: float
    weights: Mapping[str, float]
    pareto: bool
    vary: Mapping[str, Sequence[float] | Sequence[str]]
    race: bool
    workers: int
    storage: str | None
    custom: bool


def explore(
    recipe: Recipe | str | Path,
    tasks: Sequence[str | Path] = (),
    *,
    folder: str | Path,
    draws: int = 32,
    sampler: Sampler = "sobol",
    seed: int = 0,
    validation_fraction: float = 0.5,
    test_tasks: Sequence[str | Path] = (),
    weights: Mapping[str, float] | None = None,
    objective: Literal["mean", "pareto"] = "mean",
    vary: Mapping[str, Sequence[float] | Sequence[str]] | None = None,
    race: bool = False,
    workers: int = 1,
    storage: str | None = None,
    backend: Literal["transformers", "openai"] = "transformers",
    url: str | None = None,
    device: str = "cpu",
    compute: Literal["bfloat16", "float16", "float32"] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    threads: int | None = None,
    score: ScoreFunction | None = None,
    parents_of: str | Path | None = None,
    listeners: Sequence[StudyListener] = (),
) -> Study:
    """Draw ratios, merge each into a live model, choose on validation items, prove on test items, report.

    The same call goes on with a study that was stopped, or that is to have more draws; another study is refused.
    recipe: with a `mixup` that draws. folder: of the study. tasks: JSONL files, lm-eval names, folders of lm-eval YAML
    tasks. score: instead of tasks, a function of (model, tokenizer) whose larger values are better; it gets no test
    and no intervals. validation_fraction: of a task's items that choose; the others prove. test_tasks: files whose
    items prove, where all items of `tasks` are to choose. weights: of tasks by name in the mean (default: all alike).
    sampler: sobol covers evenly, random is the paper, tpe, gp and cmaes learn from the draws so far. objective:
    `pareto` has these look at every task for itself; the winner is the best mean in either case. vary: [low, high] of
    alpha, density, drop_rate, scale, or a list of methods, beside the ratio. race: drop draws that are clearly not the
    best before they answered all items.

    workers: processes. storage: an Optuna storage URL (default: journal.log in the folder). backend, url: reserved.
    device, compute: where and in which dtype models compute (default: float32 on a CPU, else that of the merge).
    batch_size: items at once. memory, threads: of the merging. parents_of: folder of a study of the same models,
    items and dtype, whose scores of parents and base are taken over; another study is ignored.

    Raises RecipeError, PlanError, TaskError, OutputError before anything is scored, with all problems of a stage;
    ScoringError where a baseline cannot be scored. A draw that fails is recorded, and the study goes on.
    """
    asked = _Asked(
        draws, sampler, seed, validation_fraction, weights or {}, objective == "pareto", vary or {}, race, workers,
        storage, score is not None,
    )  # fmt: skip
    _check(asked, tasks, backend, url)
    place = Path(folder)
    setup = Setup(
        recipe=canonical(api.as_recipe(recipe)), tasks=tuple(str(task) for task in tasks), scratch=place / SCRATCH,
        memory=memory, threads=threads, device=device, compute=compute, score=score,
        batch=MAX_ROWS if batch_size is None else batch_size, test_tasks=tuple(str(task) for task in test_tasks),
    )  # fmt: skip
    with closing(Workbench(setup)) as bench:
        return _run(place, setup, bench, asked, None if parents_of is None else Path(parents_of), tuple(listeners))


def _check(asked: _Asked, tasks: Sequence[object], backend: str, url: str | None) -> None:
    """What can be refused before anything is opened."""
    problems = []
    if backend != "transformers" or url is not None:
        rule, cure = "models are scored by transformers in this version", "leave backend and url out"
        problems.append(Problem(rule, f"backend {backend}", "backend", cure))
    for name, value in (("draws", asked.draws), ("workers", asked.workers)):
        if value < 1:
            problems.append(Problem(f"{name} is at least 1", str(value), name, f"give {name} 1 or more"))
    if not 0.0 < asked.validation_fraction < 1.0:
        rule, cure = "validation and test both get items", "give a fraction between 0 and 1"
        problems.append(Problem(rule, f"{asked.validation_fraction:g}", "validation_fraction", cure))
    if bool(tasks) == asked.custom:
        rule, cure = "a study has tasks, or a score function instead", "give one of the two"
        problems.append(Problem(rule, "both" if tasks else "neither", "tasks", cure))
    if asked.race and (asked.custom or asked.pareto or asked.sampler not in ("sobol", "random")):
        rule = "racing compares draws on the items of tasks by their mean, and needs all draws at the start"
        cure = "race with sampler sobol or random, tasks, and the objective mean; or do not race"
        problems.append(Problem(rule, f"sampler {asked.sampler}", "race", cure))
    if problems:
        raise PlanError(problems)


def _run(
    place: Path,
    setup: Setup,
    bench: Workbench,
    asked: _Asked,
    known: Path | None,
    listeners: tuple[StudyListener, ...],
) -> Study:
    splits = _splits(bench.tasks, asked)
    plan = bench.merger.plan
    space = make_space(law_of(plan), tuple(plan.ratios), parse_vary(asked.vary, plan.recipe))
    subjects = baselines(space, bench.merger)
    weights = {name: float(asked.weights.get(name, 1.0)) for name in splits}
    directions = len(weights) if asked.pareto else 1
    chooser = make_sampler(asked.sampler, space.names, asked.seed, objectives=directions)
    identity = describe(
        plan, space, bench.tasks, splits, weights, list(subjects), seed=asked.seed, sampler=asked.sampler,
        validation_fraction=asked.validation_fraction, objective="pareto" if asked.pareto else "mean",
        race=asked.race, storage=asked.storage, compute=setup.compute,
    )  # fmt: skip
    refuse_strange(place)
    place.mkdir(parents=True, exist_ok=True)
    with FolderLock(place):
        identity = open_identity(place, identity)
        shutil.rmtree(setup.scratch, ignore_errors=True)
        storage = Storage(place, identity["storage"], identity["study"], space, chooser, directions)
        with closing(make_crew(setup, bench, asked.workers)) as crew:
            validation = {name: parts.validation for name, parts in splits.items()}
            session = Session(
                place, space, storage, crew, validation, weights, asked.pareto, asked.draws, asked.seed, listeners
            )
            done = len(finished(storage.trials()))
            labels = tuple(identity["sources"])
            session.tell(StudyStarted(str(place), asked.draws, done, asked.sampler, tuple(splits), labels, plan.notes))
            if known is not None and _same_parents(identity, known):
                take_over(place, known, [name for name in subjects if isinstance(subjects[name], Parent)])
            score_baselines(session, subjects, "validation", splits)
            (race_all if asked.race else draw_all)(session)
            session.tell(Stage("proof", str(place)))
            prove(session, subjects, splits)
    study = Study(place)
    session.tell(Stage("report", str(place)))
    study.report()
    return study


def _same_parents(identity: Identity, other: Path) -> bool:
    """Whether another study scored the same parents on the same items."""
    keys = ("inputs", "models", "tasks", "compute")
    if not (other / FILE).is_file():
        return False
    theirs = read_identity(other)
    return all(identity[key] == theirs.get(key) for key in keys)


def _splits(tasks: Mapping[str, AnyTask], asked: _Asked) -> dict[str, Split]:
    """Validation and test items by task. Raises PlanError for names and weights that do not fit."""
    unknown = [name for name in asked.weights if name not in tasks]
    problems = [
        Problem("weights are of tasks of the study", repr(name), "weights", nearest(name, tasks)) for name in unknown
    ]
    if OBJECTIVE in tasks:
        rule, cure = f"`{OBJECTIVE}` stands for the mean over tasks", "rename the task"
        problems.append(Problem(f"no task is called {OBJECTIVE}", rule, "tasks", cure))
    if problems:
        raise PlanError(problems)
    if asked.custom:
        return {CUSTOM: Split(np.zeros(1, np.int64), np.zeros(0, np.int64))}
    return {name: split(task, asked.validation_fraction, asked.seed) for name, task in tasks.items()}
