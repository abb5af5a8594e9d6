"""Baselines and proof: everything that is scored beside the draws, each once, and what may be said of it.

The choice is made on validation items; test items are looked at once, for the winner and the baselines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from mixmerge import fileio
from mixmerge.errors import MixmergeError, Problem
from mixmerge.evaluation import Split
from mixmerge.planning import Plan
from mixmerge.study import items
from mixmerge.study.events import Proving
from mixmerge.study.items import Found, trial_name
from mixmerge.study.merging import Merger
from mixmerge.study.session import Session, best_of
from mixmerge.study.space import Space
from mixmerge.study.storage import Recorded
from mixmerge.study.workbench import Items, Job, Parent, Plain, Result, Subject

EQUAL, PLAIN, BASE = "equal", "plain", "base"


class ScoringError(MixmergeError, RuntimeError):
    """A baseline, or the winner, could not be scored: without them a study proves nothing."""

    exit_code = 1


def source_name(index: int) -> str:
    """Name of a parent's files: by position, since labels may hold any character."""
    return f"source-{index + 1}"


def source_models(plan: Plan) -> list[int]:
    """Positions of the models that are sources, each once, in the order of the ratio."""
    return list(dict.fromkeys(chain.from_iterable(plan.source_places)))


def baselines(space: Space, merger: Merger) -> dict[str, Subject]:
    """By name: equal ratio, the same method without mixup where it has its weights, the base, every parent."""
    plan = merger.plan
    found: dict[str, Subject] = {EQUAL: space.equal()}
    if merger.plain_plan() is not None:
        found[PLAIN] = Plain()
    if plan.base is not None and plan.base not in source_models(plan):
        found[BASE] = Parent(plan.base)
    return found | {source_name(index): Parent(model) for index, model in enumerate(source_models(plan))}


def score_baselines(session: Session, subjects: Mapping[str, Subject], split: str, chosen: Mapping[str, Split]) -> None:
    """Score on one split all that were not scored yet. Raises ScoringError.

    On validation only what the objective looks at.
    """
    wanted = {
        task: parts.validation if split == "validation" else parts.test
        for task, parts in chosen.items()
        if split == "test" or task in session.weights
    }
    waiting = deque(name for name in subjects if not _known(session.folder, name, split, wanted))
    running = 0
    while waiting or running:
        while waiting and running < session.crew.size:
            name = waiting.popleft()
            session.tell(Proving(name, split))
            session.crew.submit(Job(name, subjects[name], wanted, remembered=True, split=split))
            running += 1
        job, result = session.crew.next()
        running -= 1
        _store(session.folder, job.name, split, result)


def _known(folder: Path, name: str, split: str, wanted: Items) -> bool:
    return _complete(items.read(items.path_of(folder, name, split)), wanted)


def _complete(found: Found, wanted: Items) -> bool:
    return all(task in found and found[task].keys() >= set(chosen.tolist()) for task, chosen in wanted.items())


def _store(folder: Path, name: str, split: str, result: Result) -> None:
    if result.error:
        raise ScoringError(Problem("every baseline and the winner can be scored", result.error, name))
    if result.attacks and split == "test":
        items.write_attacks(folder, name, result.attacks)
    path = items.path_of(folder, name, split)
    path.unlink(missing_ok=True)
    items.append(path, result.scores)


def prove(session: Session, subjects: Mapping[str, Subject], splits: Mapping[str, Split]) -> Recorded | None:
    """Score the winner and the baselines on the test items, once each; the winner, None where no draw completed."""
    winner = best_of(session.storage.trials(), session.weights)
    if winner is None or not any(parts.test.size for parts in splits.values()):
        return winner
    chosen: Subject = winner.outcome.point
    score_baselines(session, {trial_name(winner.number): chosen, **subjects}, "test", splits)
    return winner


def take_over(folder: Path, other: Path, names: Sequence[str]) -> None:
    """Item scores of parents and base from another study; the caller knows that they are the same models and items."""
    for name in names:
        for split in ("validation", "test"):
            source, target = items.path_of(other, name, split), items.path_of(folder, name, split)
            if source.is_file() and not target.exists():
                if split == "test" and (attacks := items.read_attacks(other, name)):
                    items.write_attacks(folder, name, attacks)
                target.parent.mkdir(exist_ok=True)
                fileio.atomic_write(target, source.read_bytes())
