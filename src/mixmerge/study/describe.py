"""What study.json says of a new study, gathered from plan, tasks and arguments."""

from __future__ import annotations

import datetime
import hashlib
import inspect
import json
import os
import platform
import secrets
import textwrap
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from mixmerge.evaluation import AnyTask, Split, Task
from mixmerge.planning import Plan
from mixmerge.recipe import canonical, recipe_hash
from mixmerge.report.schema import RESERVED
from mixmerge.study.attacking import Assault
from mixmerge.study.identity import SCHEMA, Identity
from mixmerge.study.proof import source_models, source_name
from mixmerge.study.space import Space
from mixmerge.study.suites import sources_of
from mixmerge.study.workbench import ScoreFunction, Workbench
from mixmerge.version import __version__


def describe(
    bench: Workbench, space: Space, splits: Mapping[str, Split], weights: Mapping[str, float], subjects: Sequence[str],
    **settings: Any,
) -> Identity:  # fmt: skip
    """The identity of a study as plain JSON values. weights: of what the objective looks at. settings: the rest, as the
    person gave it."""
    plan = bench.merger.plan
    recipe = plan.recipe
    models = source_models(plan)
    labels = short_labels([plan.models[index].label for index in models])
    parents = {source_name(index): label for index, label in enumerate(labels)}
    return {
        "schema": SCHEMA,
        "study": f"mixmerge-{recipe_hash(recipe)[:12]}-{settings['seed']}-{secrets.token_hex(4)}",
        "recipe": canonical(recipe),
        "method": recipe.method,
        "dialect": recipe.dialect,
        "sources": place_labels(plan, dict(zip(models, labels, strict=True))),
        "models": _models(plan, labels),
        "inputs": inputs_of(plan),
        "scope": "model" if recipe.mixup is None else recipe.mixup.scope,
        "alpha": list(space.law.alpha),
        "groups": list(space.groups),
        "centre": list(space.centre),
        "vary": {name: list(span) for name, span in space.vary.items()},
        "tasks": {name: _measured(bench, name, splits[name], weight) for name, weight in weights.items()},
        **_robustness(bench, splits, weights),
        **_suites(bench),
        "baselines": {parents.get(name, name): name for name in subjects},
        **settings,
        "notes": list(bench.notes),
        "versions": _versions(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def inputs_of(plan: Plan) -> dict[str, str]:
    """Model -> digest of names, sizes and times of its weight files: the same digest, the same weights."""
    return {model.label: _digest(model.identity()) for model in plan.models}


def short_labels(labels: Sequence[str]) -> list[str]:
    """The last part of each name where that tells them apart, else the names; never a word that reports reserve."""
    short = [Path(label).name or label for label in labels]
    chosen = short if len(set(short)) == len(short) else list(labels)
    return [f"{label} (source)" if label in RESERVED else label for label in chosen]


def place_labels(plan: Plan, labels: Mapping[int, str]) -> list[str]:
    """What each place of a ratio is of: one model, or `a or b` where slices take several there. labels: by model."""
    found = [" or ".join(labels[model] for model in place) for place in plan.source_places]
    if len(set(found)) == len(found):
        return found
    return [f"{label} ({number})" for number, label in enumerate(found, 1)]


def _models(plan: Plan, labels: Sequence[str]) -> list[dict[str, str]]:
    models = dict(zip(source_models(plan), labels, strict=True))
    found = [{"label": label, "path": plan.models[index].label, "role": "source"} for index, label in models.items()]
    if plan.base is not None and plan.base not in models:
        found.append({"label": "base", "path": plan.models[plan.base].label, "role": "base"})
    return found


def _suites(bench: Workbench) -> dict[str, Any]:
    """How tasks of a suite are asked, and digests of their data by file, package or data set; no key where none is."""
    sources = {name: sources_of(task) for name, task in bench.tasks.items() if sources_of(task)}
    if not sources:
        return {}
    digests = {name: [source["digest"] for source in found] for name, found in sources.items()}
    places = {name: [source["place"] for source in found] for name, found in sources.items()}
    return {"prompt": bench.asking.prompt, "data": digests, "places": places}


def _robustness(bench: Workbench, splits: Mapping[str, Split], weights: Mapping[str, float]) -> dict[str, Any]:
    """What is proved beside the objective; no key where nothing is."""
    outside = {name: _measured(bench, name, splits[name], weights.get(name, 0.0)) for name in bench.outside}
    attacks = {name: _attack(assault) for name, assault in bench.attacks.items()}
    return {key: found for key, found in (("ood", outside), ("attacks", attacks)) if found}


def _measured(bench: Workbench, name: str, parts: Split, weight: float) -> dict[str, Any]:
    if name not in bench.attacks:
        task = bench.tasks.get(name)
        found = _sizes(parts, weight) | (_custom(bench.setup.score) if task is None else _task(task))
        return found | ({"ood": True} if name in bench.outside else {})
    attack = bench.attacks[name]
    return {
        "metric": f"1 - PDR, {attack.attack}",
        "weight": weight,
        "validation_n": len(attack.rows("validation")),
        "test_n": len(attack.rows("test")),
        "fingerprint": attack_fingerprint(attack),
    }


def _attack(assault: Assault) -> dict[str, Any]:
    """What its numbers depend on."""
    return {
        "attack": assault.attack,
        "task": assault.task,
        "prompt": assault.ready.prompt.text,
        "labels": list(assault.ready.data.labels),
        "examples": len(assault.rows("test")),
        "fingerprint": attack_fingerprint(assault),
        "queries": assault.settings.queries,
        "seeds": [seed for seed in assault.ready.seeds if seed is not None],
        "masked_lm": assault.settings.masked_lm if assault.attack == "bertattack" else None,
    }


def attack_fingerprint(assault: Assault) -> str:
    """Digest of the examples that choose and that prove."""
    return _digest([[[row.content, row.answer] for row in assault.rows(split)] for split in ("validation", "test")])


def _sizes(parts: Split, weight: float) -> dict[str, Any]:
    """split: digest of which items choose."""
    return {
        "weight": weight,
        "validation_n": int(parts.validation.size),
        "test_n": int(parts.test.size),
        "split": _digest(parts.validation.tolist()),
    }


def _task(task: AnyTask) -> dict[str, Any]:
    return {"metric": "accuracy" if isinstance(task, Task) else task.metric, "fingerprint": task.fingerprint}


def _custom(score: ScoreFunction | None) -> dict[str, Any]:
    """A person's own function is known by its source; where Python has none, any other is taken for the same."""
    try:
        source = _digest(textwrap.dedent(inspect.getsource(cast("Any", score))))
    except (OSError, TypeError, SyntaxError):
        source = ""
    return {"metric": "custom", "fingerprint": source}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _versions() -> dict[str, str]:
    packages = ("numpy", "torch", "transformers", "optuna")
    found = {name: metadata.version(name) for name in packages}
    machine = f"{platform.system()} {platform.machine()}"
    here = {"python": platform.python_version(), "platform": machine, "cpus": str(os.cpu_count())}
    return {"mixmerge": __version__, **here, **found}
