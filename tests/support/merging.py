"""Recipes from Python values, and merges into files or memory, in the fewest words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixmerge import api
from mixmerge.checkpoint import DTYPES, DType
from mixmerge.engine import Engine, Event, Listener, Statistics
from mixmerge.kernels import Kernels
from mixmerge.planning import Plan, build_plan
from mixmerge.recipe import Recipe, parse_recipe
from mixmerge.sink import LiveSink, LiveTensor


def recipe_of(
    method: str,
    models: Sequence[Path | str],
    base: Path | str | None = None,
    *,
    sources: Sequence[dict[str, Any]] | None = None,
    **keys: Any,
) -> Recipe:
    """A recipe of whole models. sources: parameters of each; keys: further top-level keys."""
    listed = [{"model": str(model)} for model in models]
    for entry, parameters in zip(listed, sources or (), strict=False):
        entry["parameters"] = parameters  # type: ignore[assignment]
    data: dict[str, Any] = {"merge_method": method, "models": listed}
    if base is not None:
        data["base_model"] = str(base)
    data |= {key: value for key, value in keys.items() if value is not None}
    return _parsed(yaml.dump(data, Dumper=_DUMPER))


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_parsed = cache(parse_recipe)  # recipes are frozen, and every law is tried on the same ones


def plan_of(recipe: Recipe, **options: Any) -> Plan:
    """A plan of local models."""
    return build_plan(recipe, api.open_models(recipe), **options)


def with_block(plan: Plan, block: int) -> Plan:
    """The same plan with another block size."""
    return replace(plan, budget=replace(plan.budget, block=block))


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def live_tensors(plan: Plan, dtype: DType | None = None) -> dict[str, LiveTensor]:
    """Memory for every output tensor, of its own element type or of one for all (floats only)."""
    found = {}
    for step in plan.steps:
        kind = dtype if dtype is not None and step.spec.dtype.kind == "float" else step.spec.dtype
        found[step.spec.name] = LiveTensor(np.zeros(step.spec.count, kind.numpy), kind)
    return found


def merge_live(
    recipe: Recipe,
    *,
    kernels: Kernels | None = None,
    block: int | None = None,
    dtype: str | None = None,
    listeners: Sequence[Listener] = (),
    **options: Any,
) -> dict[str, np.ndarray]:
    """Merge into memory; name -> array of the output's shape. options: of the plan."""
    plan = plan_of(recipe, **options)
    plan = plan if block is None else with_block(plan, block)
    try:
        return run_live(plan, kernels=kernels, dtype=dtype, listeners=listeners)[0]
    finally:
        plan.close()


def run_live(
    plan: Plan, *, kernels: Kernels | None = None, dtype: str | None = None, listeners: Sequence[Listener] = ()
) -> tuple[dict[str, np.ndarray], Statistics]:
    """Measure and apply a plan into memory."""
    tensors = live_tensors(plan, None if dtype is None else DTYPES[dtype])
    sink = LiveSink(tensors)
    sink.check({step.spec.name: step.spec.shape for step in plan.steps})
    engine = Engine(plan, listeners, kernels)
    statistics = engine.apply(plan, engine.measure(plan), sink)
    shapes = {step.spec.name: step.spec.shape for step in plan.steps}
    return {name: live.data.reshape(shapes[name]) for name, live in tensors.items()}, statistics


def bytes_of(model: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Bytes of every tensor."""
    return {name: values.tobytes() for name, values in model.items()}
