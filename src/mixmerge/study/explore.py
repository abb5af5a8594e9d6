"""The public door of a study: `explore`. Defaults live here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mixmerge.recipe import Recipe
from mixmerge.study.events import StudyListener
from mixmerge.study.study import Study

Sampler = Literal["sobol", "random", "tpe", "gp", "cmaes"]


def explore(
    recipe: Recipe | str | Path,
    tasks: Sequence[str | Path] = (),
    *,
    folder: str | Path,
    draws: int = 32,
    sampler: Sampler = "sobol",
    seed: int = 0,
    validation_fraction: float = 0.5,
    test_tasks: Sequence[str | Path] = (),
    weights: Mapping[str, float] | None = None,
    objective: Literal["mean", "pareto"] = "mean",
    vary: Mapping[str, Sequence[float] | Sequence[str]] | None = None,
    race: bool = False,
    workers: int = 1,
    storage: str | None = None,
    backend: str = "transformers",
    url: str | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    memory: int | None = None,
    threads: int | None = None,
    score: Callable[[Any, Any], float] | None = None,
    listeners: Sequence[StudyListener] = (),
) -> Study:
    """Draw, merge, score, choose on validation, prove on test. The same call goes on with an interrupted study."""
    raise NotImplementedError
