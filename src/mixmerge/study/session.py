"""One run of a study, from asking for the first draw to the last one told. Proof and report come after.

Trials a dead process left come first, under their own numbers and coordinates, so a study that was killed and taken
up again has the trials of one that was not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixmerge.study import items, terms
from mixmerge.study.crew import Crew
from mixmerge.study.events import StudyEvent, StudyListener, TrialDone, TrialStarted
from mixmerge.study.items import Found, trial_name
from mixmerge.study.pace import time_left
from mixmerge.study.space import Point, Space
from mixmerge.study.storage import Asked, Outcome, Recorded, Storage, finished
from mixmerge.study.workbench import Items, Job, Result


@dataclass
class Session:
    """What a running study works with. weights: of the tasks. validation: items draws are scored on. ended: when each
    draw of this run ended, in seconds, where draws end one after the other."""

    folder: Path
    space: Space
    storage: Storage
    crew: Crew
    validation: Items
    weights: Mapping[str, float]
    pareto: bool
    draws: int
    seed: int
    listeners: Sequence[StudyListener] = ()
    ended: list[float] = field(default_factory=list)

    def tell(self, event: StudyEvent) -> None:
        """To all listeners, in their order."""
        for listener in self.listeners:
            listener(event)

    def path(self, number: int) -> Path:
        """Where the item scores of a trial are."""
        return items.path_of(self.folder, trial_name(number), "validation")

    def objectives(self, scores: Mapping[str, tuple[float, int]]) -> tuple[float, ...]:
        """One number a direction of the storage: the weighted mean, or every task's mean."""
        if self.pareto:
            return tuple(scores[task][0] for task in self.weights)
        return (weighted(scores, self.weights),)


def weighted(scores: Mapping[str, tuple[float, int]], weights: Mapping[str, float]) -> float:
    """The objective: weighted mean of the task means."""
    return sum(weights[task] * scores[task][0] for task in weights) / sum(weights.values())


def objective_of(scores: Mapping[str, tuple[float, int]], weights: Mapping[str, float]) -> float | None:
    """The same; None where a task has no score, as of a failed draw or one dropped early."""
    return weighted(scores, weights) if weights.keys() <= scores.keys() else None


def draw_all(session: Session) -> None:
    """Ask, merge, score and tell until the study has its draws."""
    waiting = deque(session.storage.left_running())
    asked = len(session.storage.trials())
    running: dict[str, Asked] = {}
    while True:
        while len(running) < session.crew.size and (waiting or asked < session.draws):
            trial = waiting.popleft() if waiting else session.storage.ask()
            asked = max(asked, trial.number + 1)
            running[trial_name(trial.number)] = trial
            begin(session, trial, session.validation)
        if not running:
            return
        job, result = session.crew.next()
        trial = running.pop(job.name)
        keep(session, trial, result)
        session.ended.append(time.perf_counter())
        end(session, trial, outcome_of(session, job.subject, result))


def begin(session: Session, trial: Asked, chosen: Items) -> None:
    """Hand a trial to the crew; scores of an earlier, unfinished attempt are dropped."""
    session.path(trial.number).unlink(missing_ok=True)
    session.tell(TrialStarted(trial.number, session.draws))
    session.crew.submit(Job(trial_name(trial.number), session.space.point(trial.coordinates), chosen))


def keep(session: Session, trial: Asked, result: Result) -> None:
    """Store the item scores of a result."""
    if result.scores:
        items.append(session.path(trial.number), result.scores)


def outcome_of(session: Session, point: object, result: Result) -> Outcome:
    """The record of a trial that was scored on all items, or failed."""
    assert isinstance(point, Point), "trials are points"
    if result.error:
        return Outcome("failed", point, error=result.error, seconds=result.seconds)
    scores = means(result)
    return Outcome("complete", point, scores, session.objectives(scores), result.seconds, direct=result.direct)


def means(result: Result) -> dict[str, tuple[float, int]]:
    """Task -> (mean, number of items); of an attack what is kept of its examples."""
    return {
        task: (terms.value(task, values), terms.size(task, values)) for task, (_, values) in result.scores.items()
    }  # fmt: skip


def means_of(found: Found) -> dict[str, tuple[float, int]]:
    """The same of stored scores."""
    return {task: (items.mean(scores), len(scores)) for task, scores in found.items()}


def end(session: Session, trial: Asked, outcome: Outcome) -> None:
    """Tell the storage, then the listeners."""
    session.storage.tell(trial, outcome)
    trials = finished(session.storage.trials())
    best = best_of(trials, session.weights)
    done = len(trials)
    session.tell(
        TrialDone(
            number=trial.number,
            draws=session.draws,
            done=done,
            state=outcome.state,
            ratios=outcome.point.ratios,
            scores={task: mean for task, (mean, _) in outcome.scores.items()},
            value=objective_of(outcome.scores, session.weights),
            best=None if best is None else weighted(best.outcome.scores, session.weights),
            best_number=None if best is None else best.number,
            seconds=sum(outcome.seconds),
            left=time_left(session.ended, session.crew.size, max(0, session.draws - done)),
            error=outcome.error,
        )
    )


def best_of(trials: Sequence[Recorded], weights: Mapping[str, float]) -> Recorded | None:
    """The complete trial with the best objective; the earliest of equals; None where none is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: (weighted(trial.outcome.scores, weights), -trial.number), default=None)


def pareto_set(trials: Sequence[Recorded], weights: Mapping[str, float]) -> list[Recorded]:
    """Complete trials no other one beats: none is as good on every task and better on one. In order of number."""
    complete = [trial for trial in trials if trial.state == "complete"]
    rows = {trial.number: tuple(trial.outcome.scores[task][0] for task in weights) for trial in complete}
    return [trial for trial in complete if not any(_beats(row, rows[trial.number]) for row in rows.values())]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
