"""The public door of a study: `explore`, and the order in which things happen. Its defaults are in `settings`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Unpack

import numpy as np

from mixmerge import api
from mixmerge.errors import PlanError, Problem, RecipeError, nearest
from mixmerge.evaluation import LmEvalTask, Split, split
from mixmerge.evaluation.server import SCORES
from mixmerge.recipe import Recipe, canonical
from mixmerge.report.schema import OBJECTIVE
from mixmerge.study.attacking import WEIGHT
from mixmerge.study.cluster import Cluster
from mixmerge.study.crew import Alone, Crew, Processes
from mixmerge.study.describe import describe
from mixmerge.study.events import Stage, StudyListener, StudyStarted
from mixmerge.study.identity import FILE, Identity, open_identity, read_identity, refuse_strange
from mixmerge.study.merging import law_of
from mixmerge.study.proof import baselines, prove, score_baselines, take_over
from mixmerge.study.race import race_all
from mixmerge.study.samplers import make_sampler
from mixmerge.study.session import Session, draw_all
from mixmerge.study.settings import Options, Settings, check, places_of, settle, single_problems
from mixmerge.study.space import Space, make_space, parse_vary
from mixmerge.study.storage import FolderLock, Storage, check_storage, finished
from mixmerge.study.study import Study
from mixmerge.study.suites import template_problems
from mixmerge.study.tasks import seen_twice
from mixmerge.study.terms import is_kept
from mixmerge.study.workbench import CUSTOM, SCRATCH, Parent, ScoreFunction, Setup, Subject, Workbench

Listeners = tuple[StudyListener, ...]


def explore(
    recipe: Recipe | str | Path,
    tasks: str | Path | Sequence[str | Path] | None = None,
    *,
    folder: str | Path,
    score: ScoreFunction | None = None,
    parents_of: str | Path | None = None,
    listeners: Sequence[StudyListener] = (),
    **options: Unpack[Options],
) -> Study:
    """Draw ratios, merge each into a live model, choose on validation items, prove on test items, report.

    The same call goes on with a study that was stopped, or that is to have more draws; another study is refused.
    recipe: with a `mixup` that draws; its `study` section says what is not said here. folder: of the study. tasks:
    JSONL files, lm-eval names, folders of lm-eval YAML tasks; a folder's own Python runs with allow_task_code only.
    score: instead of tasks, a function of (model, tokenizer) whose larger values are better; it gets no test and no
    intervals. parents_of: folder of a study of the same models, items and dtype, whose scores of parents and base are
    taken over; another study is ignored. Wherever names are asked for, a name by itself is a list of one.

    ood: tasks out of distribution, proved and reported; only those in `weights` help to choose. attacks: names of
    `evaluation.attacks.ATTACKS`, run on attack_tasks (sst2, cola, JSONL files of choices) at the proof; the other
    attack_ keywords and masked_lm are those of `mixmerge attack`. A weight `pdr` puts 1 - PDR of the attacks that
    append sentences into the objective.

    prompt (alpaca), data_dir, allow_code_execution: of tasks of a suite, as `evaluate`; no judge is asked. limit: items
    of each task, the first ones, before they are divided.

    draws (32), seed (0). validation_fraction (0.5): of a task's items that choose; the others prove. test_tasks: files
    whose items prove, where all items of `tasks` are to choose. weights: of tasks by name in the mean (all alike).
    sampler: sobol covers evenly, random is the paper, tpe, gp and cmaes learn from the draws so far. objective:
    `pareto` has tpe and gp look at every task for itself (cmaes is refused); the winner is the best mean either way.
    vary: [low, high] of alpha, density, drop_rate, scale, or a list of methods, beside the ratio. race: drop draws that
    are clearly not the best before they answered all items. workers: processes (1), or with ray (auto, local, or
    HOST:PORT of a cluster) actors that need ray_cpus (1) and ray_gpus (0) each, default as many as fit. storage: an
    Optuna storage URL (journal.log in the folder). backend `openai`: each model is written to disk and served by the
    command `serve`, with {model} and {port} in it, which must answer at `url` within serve_timeout seconds (600).
    device, compute: where and in which dtype models compute (float32 on a CPU, else that of the merge). batch_size:
    items at once. memory (bytes), threads: that merge, and that score (those of the machine, shared by workers; one
    scores a tiny model).

    Raises RecipeError, PlanError, TaskError, OutputError before anything is scored, with all problems of a stage;
    ScoringError where a baseline cannot be scored. A draw that fails is recorded, and the study goes on.
    """
    parsed, asked = read(recipe, tasks, options, custom=score is not None)
    setup = _setup(parsed, asked, Path(folder), score)
    with closing(Workbench(setup)) as bench:
        splits = _splits(bench, asked, parsed)
        return _run(setup, bench, asked, splits, None if parents_of is None else Path(parents_of), tuple(listeners))


def read(
    recipe: Recipe | str | Path, tasks: str | Path | Sequence[str | Path] | None, options: Options, *, custom: bool
) -> tuple[Recipe, Settings]:
    """What is asked, before anything is opened. custom: by the person's own score.

    Raises RecipeError, PlanError with all problems.
    """
    tasks = () if tasks is None and custom else tasks
    parsed = read_recipe(recipe, tasks, options)
    asked = settle(parsed.study, tasks, options)
    check(asked, custom=custom, places=places_of(parsed, tasks, options))
    return parsed, asked


def read_recipe(
    recipe: Recipe | str | Path, tasks: str | Path | Sequence[str | Path] | None, options: Options
) -> Recipe:
    """The recipe. Raises RecipeError, which also tells what is wrong with keywords whatever a recipe says."""
    try:
        return api.as_recipe(recipe)
    except RecipeError as error:
        raise RecipeError([*error.problems, *single_problems(settle(None, tasks, options))]) from error


def _setup(recipe: Recipe, asked: Settings, folder: Path, score: ScoreFunction | None) -> Setup:
    return Setup(
        recipe=canonical(recipe), tasks=asked.tasks, scratch=folder / SCRATCH, test_tasks=asked.test_tasks,
        memory=asked.memory, threads=asked.threads, device=asked.device, compute=asked.compute, batch=asked.batch_size,
        score=score, server=asked.server, allow_code=asked.allow_task_code, ood=asked.ood, attack=asked.attack,
        asking=asked.asking, scoring=asked.threads,
    )  # fmt: skip


def _run(
    setup: Setup,
    bench: Workbench,
    asked: Settings,
    splits: Mapping[str, Split],
    known: Path | None,
    listeners: Listeners,
) -> Study:
    """From the space to the report, with the study's folder locked."""
    place = setup.scratch.parent
    plan = bench.merger.plan
    space = make_space(law_of(plan), tuple(plan.ratios), parse_vary(asked.vary, plan.recipe))
    subjects = baselines(space, bench.merger)
    weights = _weights(bench, asked, splits)
    pareto = asked.objective == "pareto"
    directions = len(weights) if pareto else 1
    chooser = make_sampler(asked.sampler, space.names, asked.seed, objectives=directions)
    identity = _identity(bench, space, splits, weights, list(subjects), asked)
    refuse_strange(place)
    check_storage(None if (place / FILE).exists() else asked.storage)
    with closing(_crew(setup, bench, asked)) as crew, FolderLock(place):
        identity = open_identity(place, identity)
        shutil.rmtree(setup.scratch, ignore_errors=True)
        validation = {name: splits[name].validation for name in weights}
        with closing(Storage(place, identity["storage"], identity["study"], space, chooser, directions)) as storage:
            session = Session(
                place, space, storage, crew, validation, weights, pareto, asked.draws, asked.seed, listeners
            )
            _begun(session, identity, asked, bench.notes)
            if known is not None and _same_parents(identity, known):
                take_over(place, known, [name for name in subjects if isinstance(subjects[name], Parent)])
            _work(session, subjects, splits, race=asked.race)
    study = Study(place)
    session.tell(Stage("report", str(place)))
    study.report()
    return study


def _crew(setup: Setup, bench: Workbench, asked: Settings) -> Crew:
    """One worker is this process itself."""
    if asked.ray is not None:
        return Cluster(setup, asked.workers, asked.ray, asked.ray_cpus, asked.ray_gpus)
    return Alone(bench) if asked.workers in (None, 1) else Processes(setup, asked.workers)


def _identity(
    bench: Workbench, space: Space, splits: Mapping[str, Split], weights: Mapping[str, float], subjects: Sequence[str],
    asked: Settings,
) -> Identity:  # fmt: skip
    return describe(
        bench, space, splits, weights, subjects, seed=asked.seed, sampler=asked.sampler,
        validation_fraction=asked.validation_fraction, objective=asked.objective, race=asked.race,
        storage=asked.storage, compute=bench.compute, backend=asked.backend, serve=asked.serve, limit=asked.limit,
    )  # fmt: skip


def _begun(session: Session, identity: Identity, asked: Settings, notes: tuple[str, ...]) -> None:
    done = len(finished(session.storage.trials()))
    place, tasks, labels = str(session.folder), tuple(session.validation), tuple(identity["sources"])
    session.tell(StudyStarted(place, asked.draws, done, asked.sampler, tasks, labels, notes))


def _work(session: Session, subjects: Mapping[str, Subject], splits: Mapping[str, Split], *, race: bool) -> None:
    """Baselines, draws, proof."""
    score_baselines(session, subjects, "validation", splits)
    (race_all if race else draw_all)(session)
    session.tell(Stage("proof", str(session.folder)))
    prove(session, subjects, splits)


def _same_parents(identity: Identity, other: Path) -> bool:
    """Whether another study scored the same parents on the same items."""
    keys = ("inputs", "models", "tasks", "ood", "attacks", "compute")
    if not os.path.isfile(other / FILE):
        return False
    theirs = read_identity(other)
    return all(identity.get(key) == theirs.get(key) for key in keys)


def _splits(bench: Workbench, asked: Settings, recipe: Recipe) -> dict[str, Split]:
    """Validation and test items by task and attack. Raises PlanError for names and weights that do not fit."""
    tasks, problems = bench.tasks, []
    in_recipe = recipe.study is not None and recipe.study.weights is asked.weights
    for name, weight in asked.weights.items():
        place = recipe.place(f"study.weights.{name}") if in_recipe else "weights"
        if name not in tasks and not (name == WEIGHT and asked.attacks):
            problems.append(Problem("weights are of tasks of the study", repr(name), place, nearest(name, tasks)))
        if not 0.0 < weight < float("inf"):
            problems.append(Problem("the weight of a task is above 0", f"{weight:g}", place, "leave the task out"))
    if OBJECTIVE in tasks:
        rule, cure = f"`{OBJECTIVE}` stands for the mean over tasks", "rename the task"
        problems.append(Problem(f"no task is called {OBJECTIVE}", rule, "tasks", cure))
    for name in tasks:
        if is_kept(name) or (name == WEIGHT and asked.attacks):
            rule = "it stands for what is kept under attack"
            problems.append(Problem(f"no task is called {name}", rule, "tasks", "rename the task"))
    if asked.server is not None:
        cure = "leave these out, say another --prompt, or score them in memory"
        found = ", ".join(n for n, task in tasks.items() if isinstance(task, LmEvalTask) and not task.needs_text_only)
        problems += [Problem(SCORES, f"of lm-eval: {found}", "tasks", cure)] if found else []
    problems += template_problems(bench.merger.plan, tasks, bench.asking)
    if problems:
        raise PlanError(problems)
    if not tasks:
        return {CUSTOM: Split(np.zeros(1, np.int64), np.zeros(0, np.int64))}
    divided = {name: split(task, asked.validation_fraction, asked.seed, asked.limit) for name, task in tasks.items()}
    chosen = [name for name in tasks if name in asked.weights or name not in bench.outside]
    if problems := list(seen_twice(tasks, divided, chosen)):
        raise PlanError(problems)
    return divided | {one.name: Split(one.indices("validation"), one.indices("test")) for one in bench.attacks.values()}


def _weights(bench: Workbench, asked: Settings, splits: Mapping[str, Split]) -> dict[str, float]:
    """Of what the objective looks at: tasks, those out of distribution with a weight, attacks that share theirs."""
    terms = [one.name for one in bench.attacks.values() if one.choosing]
    found = {name: float(asked.weights.get(name, 1.0)) for name in splits if name not in bench.attacks}
    found = {name: weight for name, weight in found.items() if name in asked.weights or name not in bench.outside}
    return found | {name: float(asked.weights[WEIGHT]) / len(terms) for name in terms}
