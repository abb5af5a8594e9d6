"""What both forms of a printed plan ask of it: each model's part, and each parameter's resolved values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixmerge.methods import Number
from mixmerge.planning import Plan

if TYPE_CHECKING:
    from mixmerge.checkpoint import Adaptation


@dataclass(frozen=True, slots=True)
class AdapterView:
    """A model's LoRA adapter. ranks, alphas, scales: distinct values, ascending. changed: tensors that it adds to;
    replaced: tensors that are its own instead. nbytes: as stored."""

    label: str
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    scales: tuple[float, ...]
    changed: int
    replaced: int
    nbytes: int
    commit: str | None
    is_local: bool


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model of a plan. roles: source, base, or both; none where it only donates files. dtypes: tensors of each."""

    label: str
    roles: tuple[str, ...]
    tensors: int
    nbytes: int
    dtypes: Mapping[str, int]
    commit: str | None
    is_local: bool
    adapter: AdapterView | None = None


def models_of(plan: Plan) -> tuple[ModelView, ...]:
    """The plan's models in their order: sources first."""
    sources = {item.model for step in plan.steps for item in step.inputs}
    bases = {step.base.model for step in plan.steps if step.base is not None}
    views = []
    for number, model in enumerate(plan.models):
        spans = model.tensors.values()
        roles = tuple(role for role, members in (("source", sources), ("base", bases)) if number in members)
        dtypes = Counter(span.dtype.name for span in spans)
        commit = None if model.origin is None else model.origin.commit
        nbytes = sum(span.nbytes for span in spans)
        adapter = None if model.adaptation is None else _adapter_of(model.adaptation)
        views.append(ModelView(model.label, roles, len(spans), nbytes, dtypes, commit, model.weights_here, adapter))
    return tuple(views)


def _adapter_of(found: Adaptation) -> AdapterView:
    adapter, changes = found.adapter, found.changes
    return AdapterView(
        adapter.label,
        tuple(sorted({one.rank for one in changes.values()})),
        tuple(sorted({one.alpha for one in changes.values()})),
        tuple(sorted({one.scale for one in changes.values()})),
        len(changes),
        len(found.replaced),
        sum(span.nbytes for span in adapter.tensors.values()),
        None if adapter.origin is None else adapter.origin.commit,
        adapter.is_local,
    )


def shared_values(plan: Plan) -> Mapping[str, tuple[Number, ...]]:
    """Each parameter that holds for all sources -> its distinct values over the merged tensors."""
    return _distinct(step.shared for step in plan.steps if step.method is not None)


def source_values(plan: Plan) -> Mapping[str, Mapping[str, tuple[Number, ...]]]:
    """Each source -> its own parameters -> their distinct values over the merged tensors."""
    found: dict[str, list[Mapping[str, Number]]] = {}
    for step in plan.steps:
        for item, values in zip(step.inputs, step.sources, strict=False):
            found.setdefault(plan.models[item.model].label, []).append(values)
    return {label: _distinct(values) for label, values in found.items()}


def _distinct(mappings: Iterable[Mapping[str, Number]]) -> dict[str, tuple[Number, ...]]:
    found: dict[str, dict[Number, None]] = {}
    for values in mappings:
        for name, value in values.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def draw_seed(plan: Plan) -> int:
    """The seed of the ratio: that of `mixup`, else the recipe's."""
    mixup = plan.recipe.mixup
    return plan.recipe.seed if mixup is None or mixup.seed is None else mixup.seed
