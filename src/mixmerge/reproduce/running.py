"""The work: merge, score, keep, forget the weights; cell after cell. Everything was checked before.

It knows the engine, the evaluation and the run's folder. A merge is deleted once it is scored, unless it is to be kept:
its recipe and seed make the same bytes again.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from mixmerge import api
from mixmerge.checkpoint import RECORD
from mixmerge.evaluation.attacks.run import attack
from mixmerge.evaluation.evaluate import evaluate
from mixmerge.evaluation.results import TaskResult
from mixmerge.evaluation.suite.prompts import Style
from mixmerge.recipe import parse_recipe, recipe_hash
from mixmerge.reproduce.choosing import Choice, chosen
from mixmerge.reproduce.events import Doing, Event, Listener, Measured
from mixmerge.reproduce.grid import ARM_WORDS, MEASURES, Arm, Cell
from mixmerge.reproduce.recipes import file_name, recipe_text
from mixmerge.reproduce.report import write_report
from mixmerge.reproduce.request import Job, Prepared
from mixmerge.study.storage import FolderLock

ATTACK: Final = "stresstest"


def run(ready: Prepared, listeners: Sequence[Listener]) -> None:
    """Everything that is wanted, and the report after each merge. Raises what merging and scoring raise."""
    ready.store.begin(ready.identity)
    with FolderLock(ready.store.folder):
        write_report(ready)
        for job in ready.jobs:
            if job.wanted:
                _work(ready, job, tuple(listeners))
                write_report(ready)


def _work(ready: Prepared, job: Job, listeners: tuple[Listener, ...]) -> None:
    cell, arm = job.cell, job.arm
    text, choice = _recipe(ready, cell, arm, listeners)
    ready.store.write_text(ready.store.folder / "recipes" / file_name(cell.merge, arm), text)
    _tell(listeners, Doing(_words(cell, arm), "merging"))
    folder = ready.store.folder / "models" / f"{cell.name}-{arm}-m3"
    record = _merged(ready, text, folder, listeners)
    facts = {
        "recipe": file_name(cell.merge, arm), "recipe_sha256": record["recipe_sha256"], "ratios": record["ratios"],
        "choice": None if choice is None else asdict(choice),
    }  # fmt: skip
    for style in dict.fromkeys(MEASURES[name].style for name in job.wanted if MEASURES[name].attack is None):
        names = [name for name in job.wanted if MEASURES[name].attack is None and MEASURES[name].style == style]
        _score(ready, cell, arm, folder, facts, style, names, listeners)
    for name in job.wanted:
        if MEASURES[name].attack is not None:
            _attack(ready, cell, arm, folder, facts, name, listeners)
    if not ready.request.keep_models:
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _recipe(
    ready: Prepared, cell: Cell, arm: Arm, listeners: tuple[Listener, ...]
) -> tuple[str, Choice | None]:  # fmt: skip
    """The recipe of a merge; its ratio drawn by the recipe itself, or chosen among several draws first."""
    names = {role: ready.models[role] for role in cell.merge.roles}
    text = recipe_text(cell.merge, arm, names, ready.request.seed)
    if arm == "without" or ready.request.draws == 1:
        return text, None
    known = ready.store.arm(cell.name, arm).get("choice")
    choice = None if known is None else Choice(**{**known, "ratio": tuple(known["ratio"])})
    if choice is None:
        _tell(listeners, Doing(_words(cell, arm), f"choosing among {ready.request.draws} draws"))
        choice = chosen(ready, cell, text)
    return recipe_text(cell.merge, arm, names, ready.request.seed, choice.ratio), choice


def _merged(ready: Prepared, text: str, folder: Path, listeners: tuple[Listener, ...]) -> Mapping[str, Any]:
    """The record of the merge: made now, or found whole where an earlier run was stopped while it scored."""
    wanted = recipe_hash(parse_recipe(text))
    if (folder / RECORD).is_file():
        known: dict[str, Any] = json.loads((folder / RECORD).read_text("utf-8"))
        if known.get("recipe_sha256") == wanted:
            return known
    request = ready.request
    return api.merge(
        text, folder, memory=request.memory, threads=request.threads, resume=True, overwrite=folder.exists(),
        listeners=listeners,
    )  # fmt: skip


def _score(
    ready: Prepared, cell: Cell, arm: Arm, folder: Path, facts: Mapping[str, Any], style: Style, names: list[str],
    listeners: tuple[Listener, ...],
) -> None:  # fmt: skip
    """Tasks that are asked in one style, the model loaded once for them."""
    request, place = ready.request, ready.store.folder / "records"
    place.mkdir(exist_ok=True)
    _tell(listeners, Doing(_words(cell, arm), f"scoring {', '.join(names)}"))
    found = evaluate(
        folder, names, prompt=style, data_dir=request.data_dir, limit=request.limit, device=request.device,
        compute=request.compute, batch_size=request.batch_size, allow_code_execution=request.execute,
        judge=request.judge, workers=request.workers, listeners=listeners,
    )  # fmt: skip
    file = place / f"{cell.name}-{arm}-{style}-{'-'.join(name.removeprefix('m3_') for name in names)}.json"
    found.write(file)
    scores = {result.name: _of_task(result, style, file, facts) for result in found.tasks}
    ready.store.add(cell.name, arm, facts, scores)
    for name, score in scores.items():
        if score["score"] is not None:
            _tell(listeners, Measured(_words(cell, arm), MEASURES[name].words, 100 * score["score"]))


def _of_task(result: TaskResult, style: Style, file: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """score: in [0, 1], None where no item got one. held_out: mean of the items that did not choose the ratio.

    by_item: score of each item in order, None without a verdict.
    """
    estimate = result.estimate
    by_item = [None if math.isnan(sample.score) else sample.score for sample in result.samples]
    return {
        "score": None if estimate is None else estimate.mean,
        "low": None if estimate is None else estimate.low,
        "high": None if estimate is None else estimate.high,
        "n": 0 if estimate is None else estimate.n,
        "unscored": result.unscored, "shortened": result.shortened, "prompt": style,
        "items": result.fingerprint, "data": [dict(source) for source in result.data],
        "held_out": _held_out(result, facts), "by_item": by_item, "record": f"records/{file.name}",
    }  # fmt: skip


def _held_out(result: TaskResult, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    choice = facts["choice"]
    if choice is None or result.name not in choice["items"]:
        return None
    used = set(choice["items"][result.name])
    rest = [sample.score for sample in result.samples if sample.index not in used and not math.isnan(sample.score)]
    return {"score": sum(rest) / len(rest), "n": len(rest)} if rest else None


def _attack(
    ready: Prepared, cell: Cell, arm: Arm, folder: Path, facts: Mapping[str, Any], name: str,
    listeners: tuple[Listener, ...],
) -> None:  # fmt: skip
    """StressTest draws nothing: one search."""
    asked, request = MEASURES[name].attack, ready.request
    assert asked is not None, "the caller looked"
    place = ready.store.folder / "records"
    place.mkdir(exist_ok=True)
    file = place / f"{cell.name}-{arm}-{name}.json"
    _tell(listeners, Doing(_words(cell, arm), f"attacking on {asked.task}"))
    report = attack(
        [folder], asked.task, ATTACK, data_dir=request.data_dir, limit=request.limit, prompt_text=asked.prompt,
        device=request.device, compute=request.compute, out=file, overwrite=True, listeners=listeners,
    )  # fmt: skip
    (result,) = report.results
    drop = result.runs[0].pdr
    score = {
        "score": None if drop is None else drop.value,
        "low": None if drop is None else drop.low,
        "high": None if drop is None else drop.high,
        "n": report.examples, "clean": result.clean.mean, "attacked": result.runs[0].attacked.mean,
        "items": report.digest, "data": [dict(source) for source in report.sources], "record": f"records/{file.name}",
    }  # fmt: skip
    ready.store.add(cell.name, arm, facts, {name: score})
    if drop is not None:
        _tell(listeners, Measured(_words(cell, arm), MEASURES[name].words, 100 * drop.value))


def _words(cell: Cell, arm: Arm) -> str:
    return f"{cell.merge.words}, {ARM_WORDS[arm]}"


def _tell(listeners: Sequence[Listener], event: Event) -> None:
    for listener in listeners:
        listener(event)
