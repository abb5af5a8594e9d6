"""The demonstration: the main job and the paper's two-by-two, on the tiny real models that come with Mixmerge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixmerge.study.events import StudyListener


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of item scores in [0, 1] with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class PairResult:
    """One pair of experts.

    scores: on test items: winner, equal, plain, base and each parent -> Estimate of the weighted mean. loaded: score of the winner written
    to disk and loaded back by transformers (equal to scores["winner"].mean). winner, report: paths.
    """

    name: str
    ratio: tuple[float, ...]
    scores: dict[str, Estimate]
    spread: tuple[float, float]
    optimism: float
    loaded: float
    verdict: str
    winner: Path
    report: Path


@dataclass(frozen=True, slots=True)
class TwoByTwo:
    """One cell of the paper's table. single: mean and sd over single draws on test-free validation items; chosen: best of N on test."""

    pair: str
    dare: bool
    m3: bool
    single: tuple[float, float] | None
    chosen: Estimate


@dataclass(frozen=True, slots=True)
class Demo:
    """All results. winner and report: of the pair whose winner has the highest validation score."""

    pairs: tuple[PairResult, ...]
    two_by_two: tuple[TwoByTwo, ...]
    draws: int
    winner: Path
    report: Path
    seconds: float


def demo(
    folder: str | Path,
    *,
    draws: int = 16,
    seed: int = 0,
    overwrite: bool = False,
    threads: int | None = None,
    listeners: Sequence[StudyListener] = (),
) -> Demo:
    """Run the demonstration into `folder`; a study that is there already goes on, unless overwrite."""
    raise NotImplementedError
