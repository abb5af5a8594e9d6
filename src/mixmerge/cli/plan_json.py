"""A plan as JSON. docs/plan.md describes the schema; `format` grows when a key changes its meaning or goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from mixmerge.errors import MixmergeError, without_password

if TYPE_CHECKING:
    from mixmerge.cli.plan_view import AdapterView, ModelView
    from mixmerge.methods import Number
    from mixmerge.planning import Plan

FORMAT: Final = 1


def plan_text(plan: Plan) -> str:
    """The JSON text of a plan."""
    return _text({"format": FORMAT, "problems": [], "plan": plan_data(plan)})


def refused_text(error: MixmergeError) -> str:
    """The JSON text of what is wrong, where there is no plan."""
    problems = [{key: without_password(text) for key, text in asdict(problem).items()} for problem in error.problems]
    return _text({"format": FORMAT, "problems": problems, "plan": None})


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan as plain values; sizes in bytes."""
    from mixmerge.cli.plan_view import models_of, source_values
    from mixmerge.recipe import canonical, recipe_hash

    own = source_values(plan)
    return {
        "recipe": canonical(plan.recipe),
        "recipe_sha256": recipe_hash(plan.recipe),
        "method": plan.method.name,
        "dialect": plan.method.dialect,
        "parameters": _parameters(_shared(plan)),
        "models": [_model(view, own.get(view.label, {})) for view in models_of(plan)],
        "seed": plan.recipe.seed,
        "dare": None if plan.recipe.dare is None else asdict(plan.recipe.dare),
        "mixup": _mixup(plan),
        "vocabulary": _vocabulary(plan),
        "read": {"bytes": plan.cost.read, "passes": plan.cost.passes},
        "write": _write(plan),
        "memory": _memory(plan),
        "notes": list(plan.notes),
    }


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _shared(plan: Plan) -> Mapping[str, Sequence[Number]]:
    from mixmerge.cli.plan_view import shared_values

    return shared_values(plan)


def _parameters(values: Mapping[str, Sequence[Number]]) -> dict[str, Any]:
    """One value, or the list of distinct values where it differs between tensors."""
    return {name: found[0] if len(found) == 1 else {"by_tensor": list(found)} for name, found in values.items()}


def _model(view: ModelView, parameters: Mapping[str, Sequence[Number]]) -> dict[str, Any]:
    return {
        "model": view.label,
        "roles": list(view.roles),
        "local": view.is_local,
        "commit": view.commit,
        "tensors": view.tensors,
        "bytes": view.nbytes,
        "dtypes": dict(view.dtypes),
        "parameters": _parameters(parameters),
        "adapter": None if view.adapter is None else _adapter(view.adapter),
    }


def _adapter(view: AdapterView) -> dict[str, Any]:
    return {
        "adapter": view.label,
        "local": view.is_local,
        "commit": view.commit,
        "ranks": list(view.ranks),
        "alphas": list(view.alphas),
        "scales": list(view.scales),
        "changed": view.changed,
        "replaced": view.replaced,
        "bytes": view.nbytes,
    }


def _mixup(plan: Plan) -> dict[str, Any] | None:
    from mixmerge.cli.plan_view import draw_seed

    mixup = plan.recipe.mixup
    if mixup is None:
        return None
    return {
        "law": None if plan.law is None else str(plan.law),
        "seed": None if plan.law is None else draw_seed(plan),
        "scope": mixup.scope,
        "filter": list(mixup.filters),
        "sources": list(plan.source_labels),
        "ratios": {group: list(ratio) for group, ratio in plan.ratios.items()},
    }


def _vocabulary(plan: Plan) -> dict[str, Any] | None:
    found = plan.vocabulary
    if found is None:
        return None
    labels = [model.label for model in plan.models]
    return {
        "tokenizer": labels[found.home],
        "tokens": found.tokens,
        "rows": found.rows,
        "rule": "owners" if found.owners else "own mean",
        "added": [
            {"token": one.token.content, "id": one.id, "model": _label(labels, one.model)} for one in found.added
        ],
        "named": [
            {
                "token": one.token,
                "id": one.id,
                "model": _label(labels, one.model),
                "row": None if one.model is None else one.row,
                "force": one.force,
            }
            for one in found.named
        ],
        "special": {one.role: {"token": one.token, "id": one.id} for one in found.special},
        "padding": found.rows - found.needed,
        "models": [
            {
                "model": labels[one.model],
                "rows": one.rows,
                "moved": one.moved,
                "missing": _tokens(one.missing),
                "dropped": _tokens(one.dropped),
                "beyond": _tokens(one.beyond),
            }
            for one in found.models
        ],
    }


def _label(labels: Sequence[str], model: int | None) -> str | None:
    return None if model is None else labels[model]


def _tokens(tokens: tuple[int, tuple[str, ...]]) -> dict[str, Any]:
    return {"count": tokens[0], "first": list(tokens[1])}


def _write(plan: Plan) -> dict[str, Any]:
    return {
        "bytes": plan.cost.written,
        "disk": plan.cost.disk,
        "tensors": len(plan.steps),
        "copied": sum(step.method is None for step in plan.steps),
        "dtype": plan.dtype.name,
        "files": [{"file": layout.file, "bytes": layout.size} for layout in plan.layouts],
        "made": list(plan.files),
        "carried": list(plan.carried),
        "donor": plan.models[plan.donor].label,
    }


def _memory(plan: Plan) -> dict[str, int]:
    budget = plan.budget
    return {
        "projected": budget.projected,
        "baseline": budget.baseline,
        "buffers": budget.buffers,
        "tables": budget.tables,
        "threads": budget.threads,
        "block": budget.block,
    }
