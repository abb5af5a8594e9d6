"""Where draws come from: coordinates in (0, 1) for a trial number, by Optuna's samplers or by address.

`random` and `sobol` are pure functions of (seed, trial number). `tpe`, `gp` and `cmaes` also look at the trials so
far; they are made anew for each trial from (seed, trial number), so what they propose does not depend on when the
study was stopped. Their first draws are Sobol's.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import numpy as np

from mixmerge.errors import PlanError, Problem, extra_missing, nearest
from mixmerge.recipe import Sampler
from mixmerge.rng import stream_key, uniform

try:
    import optuna
except ImportError as error:
    raise extra_missing("study", "optuna", "A study") from error

SAMPLERS: Final = get_args(Sampler)
FIRST: Final = 8
"""Trials of tpe, gp and cmaes that are Sobol's, so that they have something to go on from."""

Propose = Callable[[int], tuple[float, ...]]


def make_sampler(name: str, names: Sequence[str], seed: int, *, objectives: int = 1) -> optuna.samplers.BaseSampler:
    """The sampler of a study. names: of the coordinates. Raises PlanError where it does not fit the study."""
    _check(name, len(names), objectives)
    if name == "random":
        return _Addressed(names, lambda number: _random(names, seed, number))
    sobol = _Addressed(names, lambda number: _sobol(len(names), seed, number))
    return sobol if name == "sobol" else _Reseeded(sobol, lambda number: _adaptive(name, len(names), seed, number))


def _check(name: str, dimensions: int, objectives: int) -> None:
    if name not in SAMPLERS:
        raise PlanError(Problem("samplers are " + ", ".join(SAMPLERS), repr(name), "sampler", nearest(name, SAMPLERS)))
    if name == "cmaes" and (dimensions < 2 or objectives > 1):
        found = "one number to explore" if dimensions < 2 else f"{objectives} objectives"
        rule, cure = "cmaes explores two numbers or more, for one objective", "choose sobol or tpe"
        raise PlanError(Problem(rule, found, "sampler", cure))


def _random(names: Sequence[str], seed: int, number: int) -> tuple[float, ...]:
    return tuple(uniform(seed, "trial", number, name) for name in names)


def _sobol(dimensions: int, seed: int, number: int) -> tuple[float, ...]:
    """Point `number` of the scrambled Sobol sequence of a seed, moved to the middle of its cell of width 2^-30."""
    from scipy.stats import qmc  # most of a second to import; needed for drawing only

    generator = np.random.default_rng(stream_key(seed, "sobol")[0])
    engine = qmc.Sobol(dimensions, scramble=True, bits=30, seed=generator)
    if number:
        engine.fast_forward(number)
    return tuple(float(u) + 2.0**-31 for u in engine.random(1)[0])


def _adaptive(name: str, dimensions: int, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler of Optuna for one trial."""
    own = stream_key(seed, name, number)[0] % 2**31
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=own, n_startup_trials=FIRST, multivariate=dimensions > 1)
        if name == "gp":
            logging.getLogger("optuna._gp.batched_lbfgsb").addFilter(_is_no_advice)
            return optuna.samplers.GPSampler(seed=own, n_startup_trials=FIRST, deterministic_objective=True)
        try:
            return optuna.samplers.CmaEsSampler(seed=own, n_startup_trials=FIRST)
        except ImportError as error:
            raise extra_missing("study", "cmaes", "The sampler cmaes") from error


def _is_no_advice(record: logging.LogRecord) -> bool:
    """False of Optuna's advice to install greenlet: in as few dimensions as a ratio has, proposing takes no time."""
    return "greenlet" not in str(record.msg)


class _Addressed(optuna.samplers.BaseSampler):  # type: ignore[misc]
    """Coordinates that are a function of the trial's number."""

    def __init__(self, names: Sequence[str], propose: Propose) -> None:
        self.names = tuple(names)
        self._propose = propose

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:  # noqa: ARG002
        """Every coordinate, always."""
        return {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in self.names}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:  # noqa: ARG002
        """The trial's coordinates by name."""
        return dict(zip(self.names, self._propose(trial.number), strict=True))

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:  # noqa: ARG002
        """Never asked: nothing is outside the relative space."""
        raise AssertionError(f"{param_name} is a coordinate")


class _Reseeded(optuna.samplers.BaseSampler):  # type: ignore[misc]
    """An Optuna sampler made anew for each trial; the first trials are those of `first`."""

    def __init__(self, first: _Addressed, build: Callable[[int], optuna.samplers.BaseSampler]) -> None:
        self._first = first
        self._build = build
        self._number = -1
        self._made: optuna.samplers.BaseSampler = first

    def _of(self, trial: Any) -> optuna.samplers.BaseSampler:
        if trial.number != self._number:
            self._made = self._first if trial.number < FIRST else self._build(trial.number)
            self._number = trial.number
        return self._made

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The space the trial's sampler handles as a whole."""
        return self._of(trial).infer_relative_search_space(study, trial)  # type: ignore[no-any-return]

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """The coordinates proposed as a whole."""
        return self._of(trial).sample_relative(study, trial, search_space)  # type: ignore[no-any-return]

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """A coordinate proposed by itself."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)
