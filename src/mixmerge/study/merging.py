"""Points of a space, merged: plans, engines and statistics kept while they hold.

Models are opened once. What was measured depends on method, density and drop rate only, so a study that varies none
of these measures once, and each draw is one pass over the sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mixmerge import api
from mixmerge.checkpoint import Checkpoint
from mixmerge.engine import Engine, MappedFiles, Statistics
from mixmerge.errors import PlanError, Problem, RecipeError
from mixmerge.mixup import RatioLaw
from mixmerge.planning import Plan, build_plan, with_ratios
from mixmerge.recipe import ModelRef, Recipe, parse_recipe
from mixmerge.sink import Sink
from mixmerge.study.space import MEASURED, Point, Value, with_values

KEPT: Final = 4
"""Statistics kept at once where a study varies what they depend on."""

Key = tuple[tuple[str, Value], ...]


def open_local(recipe: Recipe) -> Mapping[ModelRef, Checkpoint]:
    """Every model of a recipe, opened, its weights on this machine; from the hub, once the plan stands."""
    models = api.open_models(recipe)
    if all(model.is_local for model in models.values()):
        return models
    planned = build_plan(recipe, models)
    planned.close()
    return api.fetched_models(recipe, planned)


def law_of(plan: Plan) -> RatioLaw:
    """The law a study draws from. Raises RecipeError where the recipe leaves nothing to draw."""
    law = plan.law
    if law is not None and any(law.alpha):
        return law
    rule = "a study draws ratios: the recipe has `mixup` with an alpha above 0"
    mixup = plan.recipe.mixup
    fixed = mixup is not None and (mixup.ratio is not None or mixup.groups)
    found = "a fixed ratio" if fixed else "alpha 0" if law is not None else "no `mixup`"
    raise RecipeError(Problem(rule, found, plan.recipe.place("mixup"), "write `mixup: {alpha: 0.5}`"))


class Merger:
    """Merges points of one recipe into any sink. memory: bytes for plans and buffers; threads: None for all cores."""

    def __init__(self, recipe: Recipe, *, memory: int | None, threads: int | None) -> None:
        self.recipe = recipe
        self._models = open_local(recipe)
        self._memory = memory
        self._threads = threads
        self._statistics: dict[Key, Statistics] = {}
        self._values: Mapping[str, Value] = {}
        self.plan = self.planned(recipe)
        self._current = self.plan
        self._engine: Engine | None = None
        self._files = MappedFiles()

    def planned(self, recipe: Recipe) -> Plan:
        """The plan of another recipe over the same models."""
        return build_plan(recipe, self._models, memory=self._memory, threads=self._threads)

    def plan_of(self, point: Point) -> Plan:
        """The plan that merges a point. Raises RecipeError, PlanError where its values cannot be merged."""
        if dict(point.values) != dict(self._values):
            self._current = self.planned(with_values(self.recipe, point.values))
            self._values = point.values
            self._engine = None
        return with_ratios(self._current, point.ratios)

    def merge(self, point: Point, sink: Sink) -> None:
        """One pass into the sink, after measuring where these values were not measured yet."""
        plan = self.plan_of(point)
        if self._engine is None:
            self._engine = Engine(plan, files=self._files)
        key = tuple((name, value) for name, value in point.values.items() if name in MEASURED)
        known = self._statistics.pop(key, None)
        statistics = self._engine.measure(plan) if known is None else known
        self._statistics[key] = self._engine.apply(plan, statistics, sink, hashed=False)
        if len(self._statistics) > KEPT:
            del self._statistics[next(iter(self._statistics))]

    def plain_plan(self) -> Plan | None:
        """The same method without mixup; None where it then lacks its weights."""
        try:
            return self.planned(replace(self.recipe, mixup=None))
        except (RecipeError, PlanError):
            return None

    def parent_plan(self, index: int) -> Plan | None:
        """What writes a model of the plan as it is seen; None where its own folder holds it so."""
        model = self.plan.models[index]
        if model.adaptation is None:
            return None
        ref = next(ref for ref, found in self._models.items() if found is model)
        alone = parse_recipe("{merge_method: linear, dialect: mergekit, models: [{model: x, parameters: {weight: 1}}]}")
        part = alone.slices[0]
        return self.planned(replace(alone, slices=(replace(part, sources=(replace(part.sources[0], model=ref),)),)))

    def merge_plain(self, plan: Plan, sink: Sink) -> None:
        """A plan of `plain_plan` into the sink."""
        engine = Engine(plan, files=self._files)
        engine.apply(plan, engine.measure(plan), sink, hashed=False)

    def close(self) -> None:
        """Close the models' files."""
        self._files.close()
        for model in self._models.values():
            model.close()


def write_skeleton(plan: Plan, folder: Path) -> Path:
    """What a merge has beside its weights (config, tokenizer), for a live model to be built from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in plan.carried.items():
        (folder / name).write_bytes(source.read_bytes())
    for name, content in plan.files.items():
        (folder / name).write_bytes(content)
    return folder
