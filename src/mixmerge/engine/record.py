"""mixmerge.json: what a merged model was made from and what its bytes are. The same merge gives the same record."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from mixmerge import fileio
from mixmerge.checkpoint import RECORD, Checkpoint, MalformedJsonError, Origin, parse_json
from mixmerge.engine.events import TensorDone
from mixmerge.engine.statistics import Statistics
from mixmerge.errors import CheckpointError, Problem
from mixmerge.planning import Plan, VocabularyPlan
from mixmerge.recipe import canonical, recipe_hash

if TYPE_CHECKING:
    from mixmerge.checkpoint import Adaptation

FORMAT: Final = 1
MAX_RECORD: Final = 500_000_000  # bytes

Stored = Mapping[tuple[int, str], str]
"""(model, tensor) -> fingerprint of the stored bytes."""

NOTHING: Final[Stored] = MappingProxyType({})


def make_record(
    plan: Plan, statistics: Statistics, done: Mapping[str, TensorDone], version: str, stored: Stored = NOTHING
) -> dict[str, Any]:
    """The record as plain values: recipe, seed, ratios, models with fingerprints of their tensors, outputs.

    stored: fingerprints of tensors that were read with other rows than they are stored with; of the rest the engine
    took them in passing.
    """
    recipe = plan.recipe
    mixup = recipe.mixup
    record: dict[str, Any] = {
        "format": FORMAT,
        "mixmerge": version,
        "recipe": canonical(recipe),
        "recipe_sha256": recipe_hash(recipe),
        "method": recipe.method,
        "dialect": recipe.dialect,
        "seed": recipe.seed if mixup is None or mixup.seed is None else mixup.seed,
        "ratio_law": None if plan.law is None else str(plan.law),
        "sources": list(plan.source_labels),
        "ratios": {group: list(ratio) for group, ratio in plan.ratios.items()},
        "thresholds": None if statistics.limits is None else list(statistics.limits),
        "fingerprint": "xxh3-128 of chunks of 65536 elements, then of their digests",
        "models": [_model(plan, index, model, done, stored) for index, model in enumerate(plan.models)],
        "output": {step.spec.name: done[step.spec.name].output for step in plan.steps},
    }
    if plan.vocabulary is not None:
        record["vocabulary"] = _vocabulary(plan, plan.vocabulary)
    return record


def _vocabulary(plan: Plan, found: VocabularyPlan) -> dict[str, Any]:
    labels = [model.label for model in plan.models]
    added = [
        {"token": one.token.content, "id": one.id, "model": None if one.model is None else labels[one.model]}
        for one in found.added
    ]
    return {
        "tokenizer": plan.models[found.home].label,
        "tokens": found.tokens,
        "rows": found.rows,
        "rule": "owners" if found.owners else "own mean",
        "added": added,
        "sha256": found.digest,
    }


def _model(plan: Plan, index: int, model: Checkpoint, done: Mapping[str, TensorDone], stored: Stored) -> dict[str, Any]:
    tensors: dict[str, str] = {}
    for step in plan.steps:
        for item, fingerprint in zip(step.all_inputs, done[step.spec.name].inputs, strict=True):
            if item.model == index:
                tensors[item.span.name] = stored.get((index, item.span.name), fingerprint)
    role = "base" if index == plan.base else "source"
    found = {"model": model.label, "role": role, "hub": _hub(model.origin), "tensors": tensors}
    if model.adaptation is not None:
        found["adapter"] = _adapter(index, model.adaptation, stored)
    return found


def _hub(origin: Origin | None) -> dict[str, Any] | None:
    return None if origin is None else {"id": origin.model, "commit": origin.commit, "sha256": dict(origin.sha256)}


def _adapter(index: int, found: Adaptation, stored: Stored) -> dict[str, Any]:
    """What was added to a model, and by which factors; whole tensors it replaces are told among the model's."""
    return {
        "adapter": found.adapter.label,
        "hub": _hub(found.adapter.origin),
        "base_model": found.adapter.config.base,
        "config_sha256": found.adapter.config.sha256,
        "changes": {name: {"rank": one.rank, "scale": one.scale} for name, one in found.changes.items()},
        "replaced": list(found.replaced),
        "tensors": {span.name: stored[index, span.name] for span in found.factors},
    }


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """The text of mixmerge.json."""
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a merged model. Raises CheckpointError where it is missing or not one."""
    path = folder / RECORD
    cure = "only models merged by Mixmerge carry a record"
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        here = os.path.isdir(folder)
        found, cure = ("no such file", cure) if here else ("no such folder", fileio.mistyped(folder) or cure)
        raise CheckpointError(Problem(f"a merged model has its record in {RECORD}", found, str(folder), cure))
    if path.stat().st_size > MAX_RECORD:
        rule = f"{RECORD} is at most {MAX_RECORD:,} bytes long"
        raise CheckpointError(Problem(rule, f"{path.stat().st_size:,} bytes", str(path), cure))
    try:
        record = parse_json(path.read_bytes(), lenient=True)
    except OSError as error:
        problem = Problem(f"{RECORD} can be read", str(error), str(path), "check permissions and the disk")
        raise CheckpointError(problem) from error
    except MalformedJsonError as error:
        raise CheckpointError(Problem(f"{RECORD} is a record", str(error), str(path), cure)) from error
    if not isinstance(record, dict) or not _fingerprinted(record.get("output")):
        raise CheckpointError(Problem(f"{RECORD} is a record", "something else", str(path), cure))
    if record.get("format") != FORMAT:
        raise CheckpointError(Problem(f"{RECORD} has format {FORMAT}", "another", str(path), "use a newer Mixmerge"))
    return record


def _fingerprinted(output: object) -> bool:
    return isinstance(output, dict) and all(isinstance(value, str) for value in output.values())
