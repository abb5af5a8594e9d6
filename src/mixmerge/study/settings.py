"""What a study is asked to be: the keywords of `explore`, their defaults, and what cannot be asked together.

Servers' command and storage are recorded in study.json, and told where something fails: secrets in them are refused.

A keyword wins over the recipe's `study` section, and that over the default. Opens nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, get_args

from mixmerge.errors import PlanError, Problem, nearest
from mixmerge.evaluation.attacks import ATTACKS
from mixmerge.evaluation.attacks.request import LIMIT, QUERIES, SEEDS
from mixmerge.evaluation.devices import device_problems
from mixmerge.evaluation.http import address_problem
from mixmerge.evaluation.lists import lists
from mixmerge.evaluation.score import MAX_ROWS
from mixmerge.evaluation.secret_words import secret_in
from mixmerge.evaluation.suite import Resources
from mixmerge.evaluation.suite.opening import Settings as Asking
from mixmerge.evaluation.suite.prompts import Style
from mixmerge.recipe import Compute, Objective, Recipe, Sampler, StudySection
from mixmerge.study.attacking import WEIGHT, AttackSettings, is_appending
from mixmerge.study.serving import SERVE_TIMEOUT, Server

Backend = Literal["transformers", "openai"]
RACING = ("sobol", "random")
"""Samplers that know all draws at the start."""


NOWHERE: Final[Mapping[str, str]] = {}
_LISTS = ("tasks", "test_tasks", "ood", "attacks", "attack_tasks")


class Options(TypedDict, total=False):
    """Keywords of `explore`, explained there. None: not said."""

    test_tasks: str | Path | Sequence[str | Path] | None
    weights: Mapping[str, float] | None
    objective: Objective | None
    draws: int | None
    validation_fraction: float | None
    seed: int | None
    sampler: Sampler | None
    vary: Mapping[str, Sequence[float] | Sequence[str] | str] | None
    race: bool | None
    workers: int | None
    storage: str | None
    backend: Backend | None
    serve: str | None
    serve_timeout: float | None
    url: str | None
    ray: str | None
    ray_cpus: float | None
    ray_gpus: float | None
    device: str | None
    compute: Compute | None
    batch_size: int | None
    memory: int | None
    threads: int | None
    allow_task_code: bool | None
    prompt: Style | None
    data_dir: str | Path | None
    limit: int | None
    allow_code_execution: bool | None
    ood: str | Path | Sequence[str | Path] | None
    attacks: str | Sequence[str] | None
    attack_tasks: str | Path | Sequence[str | Path] | None
    attack_prompt: str | None
    attack_data: str | Path | None
    attack_limit: int | None
    attack_queries: int | None
    attack_seeds: Sequence[int] | None
    masked_lm: str | Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Every keyword with a value. workers: None for one, or with Ray for as many as fit."""

    tasks: tuple[str, ...] = ()
    test_tasks: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    objective: Objective = "mean"
    draws: int = 32
    validation_fraction: float = 0.5
    seed: int = 0
    sampler: Sampler = "sobol"
    vary: Mapping[str, Sequence[float] | Sequence[str] | str] = field(default_factory=dict)
    race: bool = False
    workers: int | None = None
    storage: str | None = None
    backend: Backend = "transformers"
    serve: str | None = None
    serve_timeout: float = SERVE_TIMEOUT
    url: str | None = None
    ray: str | None = None
    ray_cpus: float = 1.0
    ray_gpus: float = 0.0
    device: str = "cpu"
    compute: Compute | None = None
    batch_size: int = MAX_ROWS
    memory: int | None = None
    threads: int | None = None
    allow_task_code: bool = False
    prompt: Style | None = None
    data_dir: str | None = None
    limit: int | None = None
    allow_code_execution: bool = False
    ood: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    attack_tasks: tuple[str, ...] = ()
    attack_prompt: str | None = None
    attack_data: str | None = None
    attack_limit: int = LIMIT
    attack_queries: int = QUERIES
    attack_seeds: tuple[int, ...] = SEEDS
    masked_lm: str | None = None

    @property
    def asking(self) -> Asking:
        """How tasks of a suite are asked; what is not said is as the environment says. Raises TaskError."""
        known = Asking.from_environment()
        return Asking(
            prompt=self.prompt or known.prompt,
            data_dir=known.data_dir if self.data_dir is None else Path(self.data_dir).expanduser(),
            limit=self.limit,
            resources=Resources(execute=self.allow_code_execution),
        )

    @property
    def attack(self) -> AttackSettings | None:
        """The attacks in one; None where there are none."""
        if not self.attacks:
            return None
        return AttackSettings(
            tuple(dict.fromkeys(self.attacks)), tuple(dict.fromkeys(self.attack_tasks)), self.attack_prompt,
            self.attack_data, self.attack_limit, self.attack_queries, self.attack_seeds, self.masked_lm,
            choosing=WEIGHT in self.weights,
        )  # fmt: skip

    @property
    def server(self) -> Server | None:
        """The server that is started for each model; None where models are scored in memory."""
        return None if self.serve is None else Server(self.serve, self.url, self.serve_timeout)


def settle(section: StudySection | None, tasks: str | Path | Sequence[str | Path] | None, options: Options) -> Settings:
    """Keywords over the recipe's section over defaults. Raises TypeError for a keyword there is not, PlanError for what
    is no list."""
    of_recipe = {} if section is None else {part.name: getattr(section, part.name) for part in fields(section)}
    merged: dict[str, Any] = {}
    for said in (of_recipe, {"tasks": tasks, **options}):
        merged |= {key: value for key, value in said.items() if value is not None}
    known = dict.fromkeys(_LISTS, ()) | {"attack_seeds": SEEDS}
    merged |= lists({key: merged.get(key, known[key]) for key in known}, ("attack_seeds",), PlanError)
    for key in ("attack_data", "masked_lm", "data_dir"):
        merged[key] = None if merged.get(key) is None else str(merged[key])
    return Settings(**merged)


def check(asked: Settings, *, custom: bool, places: Mapping[str, str] = NOWHERE) -> None:
    """Raise PlanError with all that can be refused before anything is opened. custom: the person's own score. places:
    where keywords stand that a recipe says."""
    problems = [*single_problems(asked), *_combinations(asked, custom), *_servers(asked, custom)]
    problems += [*_attacked(asked), *_robust(asked, custom)]
    if problems:
        raise PlanError(replace(one, place=places.get(one.place.removeprefix("--"), one.place)) for one in problems)


def single_problems(asked: Settings) -> Iterator[Problem]:
    """What is wrong with a keyword whatever the others say."""
    yield from _words(asked)
    yield from _secrets(asked)
    yield from _numbers(asked)
    yield from device_problems(asked.device, asked.compute, here=asked.backend == "transformers" and asked.ray is None)


def places_of(recipe: Recipe, tasks: str | Path | Sequence[str | Path] | None, options: Options) -> dict[str, str]:
    """Where a recipe's section says what no keyword does: keyword -> place."""
    said = {name for name, value in {"tasks": tasks, **options}.items() if value is not None}
    names = [] if recipe.study is None else [part.name for part in fields(recipe.study)]
    in_recipe = [name for name in names if getattr(recipe.study, name) is not None and name not in said]
    return {name: recipe.place(f"study.{name}") for name in in_recipe}


def _words(asked: Settings) -> Iterator[Problem]:
    known = {"objective": Objective, "sampler": Sampler, "backend": Backend, "prompt": Style}
    for name, words in known.items():
        value = getattr(asked, name)
        if value is not None and value not in get_args(words):
            yield Problem(
                f"{name} is one of: {', '.join(get_args(words))}", repr(value), name, nearest(value, get_args(words))
            )


def _secrets(asked: Settings) -> Iterator[Problem]:
    """A key or a password among what is recorded as it was typed."""
    if asked.serve is not None and (found := secret_in(asked.serve)):
        cure = "export it in the shell that runs this, which the server takes over; it is asked without a key"
        yield Problem("the command of a server holds no key or password: it is recorded and told", found, "serve", cure)
    if asked.storage is not None and (found := secret_in(asked.storage)):
        cure = "leave it to the database's client: PGPASSWORD, ~/.pgpass, or ?read_default_file=~/.my.cnf"
        yield Problem("the address of a storage holds no password: it is recorded and told", found, "storage", cure)


def _numbers(asked: Settings) -> Iterator[Problem]:
    for name in ("draws", "workers", "batch_size", "limit", "threads"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            yield Problem(f"{name} is at least 1", str(value), name, f"give {name} 1 or more")
    if asked.seed < 0:
        yield Problem("seed is 0 or more", str(asked.seed), "seed", "give 0")
    if not 0.0 < asked.validation_fraction < 1.0:
        rule, cure = "validation and test both get items", "give a fraction between 0 and 1"
        yield Problem(rule, f"{asked.validation_fraction:g}", "validation_fraction", cure)
    needs = {"ray_cpus": "say what one worker needs", "ray_gpus": "say what one worker needs"}
    for name, cure in (needs | {"serve_timeout": "say how many seconds a server may take to start"}).items():
        if not 0.0 <= getattr(asked, name) < float("inf"):
            yield Problem(f"{name} is 0 or more", f"{getattr(asked, name):g}", name, cure)


def _combinations(asked: Settings, custom: bool) -> Iterator[Problem]:
    if bool(asked.tasks) == custom:
        rule = "a study has tasks, or a score function instead"
        cure = "give one of the two" if custom else "say --tasks and names or files (tasks=[...])"
        yield Problem(rule, "both" if custom else "neither", "tasks", cure)
    if asked.race and (custom or asked.objective == "pareto" or asked.sampler not in RACING):
        rule = "racing compares draws on the items of tasks by their mean, and needs all draws at the start"
        cure = "race with sampler sobol or random, tasks, and the objective mean; or do not race"
        yield Problem(rule, f"sampler {asked.sampler}, objective {asked.objective}", "race", cure)


def _attacked(asked: Settings) -> Iterator[Problem]:
    """Words about attacks that do not fit each other; what is wrong with one of them is told when it is prepared."""
    for name in asked.attacks:
        if name not in ATTACKS:
            yield Problem("an attack has a known name", repr(name), "--attack", nearest(name, ATTACKS))
    if asked.attacks and not asked.attack_tasks:
        cure = "say --attack-task sst2, cola, or a JSONL file of choices with its --attack-prompt"
        yield Problem("an attack has a task", "none", "--attack-task", cure)
    said = [name for name in ("attack_tasks", "attack_prompt", "attack_data", "masked_lm") if getattr(asked, name)]
    if said and not asked.attacks:
        cure = "add --attack, as --attack stresstest"
        yield Problem("words about attacks stand beside an attack", "none", ", ".join(said), cure)
    if WEIGHT in asked.weights and asked.attacks and not any(map(is_appending, asked.attacks)):
        rule = "the objective looks at attacks that append sentences: others would search prompts for every draw"
        cure = "add --attack stresstest or --attack checklist; what is searched is reported at the proof"
        yield Problem(rule, ", ".join(asked.attacks), f"weights.{WEIGHT}", cure)


def _robust(asked: Settings, custom: bool) -> Iterator[Problem]:
    """What robustness cannot be asked together with."""
    if custom and (asked.ood or asked.attacks):
        rule, cure = "a score function stands for everything that is asked of a model", "give tasks instead of it"
        yield Problem(rule, "with ood or attacks", "score", cure)
    if asked.attacks and asked.backend == "openai":
        rule, cure = "attacks ask a model in memory", "leave them out, or score in memory"
        yield Problem(rule, "backend openai", "--attack", cure)
    if asked.race and WEIGHT in asked.weights and asked.attacks:
        rule, cure = "racing compares draws item by item, and PDR is no mean over items", "do not race"
        yield Problem(rule, f"a weight of {WEIGHT}", "race", cure)


def _servers(asked: Settings, custom: bool) -> Iterator[Problem]:
    if asked.backend != "openai":
        said = [name for name in ("serve", "url") if getattr(asked, name) is not None]
        if said:
            rule = "a server is started only where models are scored through one"
            yield Problem(rule, f"backend {asked.backend}", ", ".join(said), "add --backend openai (backend='openai')")
        return
    if custom:
        rule, cure = "a score function is given a model in memory", "leave backend out, or give tasks"
        yield Problem(rule, "backend openai", "score", cure)
    if asked.serve is None:
        rule = "a server serves one model, so one is started for each draw"
        cure = "say how: --serve 'vllm serve {model} --port {port}' (serve=...)"
        yield Problem(rule, "no command", "serve", cure)
        return
    if asked.url is not None:
        cure = "start the server so that it asks for none: it lives for one model of this study"
        problem = address_problem(asked.url.replace("{port}", "1"), "a server", cure)
        yield from () if problem is None else (problem,)
    command = "not shown: it holds a key or password" if secret_in(asked.serve) else asked.serve
    try:
        shlex.split(asked.serve)
    except ValueError as error:
        cure = "quote it as a shell wants it, as --serve 'vllm serve {model} --port {port}'"
        yield Problem("the command of a server can be taken apart as a shell does", str(error), "serve", cure)
    if "{model}" not in asked.serve:
        cure = "such as 'vllm serve {model} --port {port}'"
        yield Problem("the command names the model by {model}", command, "serve", cure)
    if "{port}" not in asked.serve and asked.url is None:
        rule, cure = "it is known where a server listens", "put {port} into the command, or give --url (url=...)"
        yield Problem(rule, command, "serve", cure)
    if "{port}" not in asked.serve and (asked.ray is not None or (asked.workers or 1) > 1):
        rule, cure = "servers of several workers listen on ports of their own", "put {port} into the command"
        yield Problem(rule, command, "serve", cure)
