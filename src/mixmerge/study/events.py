"""What a study tells its listeners while it runs: enough for a table of draws, best so far, rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mixmerge.mixup import Ratio


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase begins. name: for people, as "baselines" or "proof on the test items". folder: of its study."""

    name: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class StudyStarted:
    """Draws begin. done: those recorded by an earlier run. notes: what the person should know (plan and model)."""

    folder: str
    draws: int
    done: int
    sampler: str
    tasks: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """One draw begins. number: from 0."""

    number: int
    draws: int


@dataclass(frozen=True, slots=True)
class TrialDone:
    """One draw ended.

    state: complete, dropped (by racing) or failed. ratios: by group. scores: mean by task on the validation items
    answered, in [0, 1]. value: the objective, None if failed. best, best_number: so far. seconds: of this draw.
    left: estimated seconds until all draws are done, None where nothing can be told: before each worker has ended a
    draw beside its first, and while draws race. error: of a failed draw.
    """

    number: int
    draws: int
    done: int
    state: str
    ratios: Mapping[str, Ratio]
    scores: Mapping[str, float]
    value: float | None
    best: float | None
    best_number: int | None
    seconds: float
    left: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Proving:
    """A model is being scored beside the draws. name: as "winner", "equal" or a parent. split: validation or test."""

    name: str
    split: str


StudyEvent = Stage | StudyStarted | TrialStarted | TrialDone | Proving
StudyListener = Callable[[StudyEvent], None]
