"""Honest statistics of item scores: intervals of one mean, of the difference of two, and the spread over draws.

All intervals are two-sided. Everything random is seeded, so the same scores give the same numbers. It knows arrays of
scores in [0, 1]; it knows no tasks and no models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Scores = Sequence[float] | Floats

RESAMPLES: Final = 10_000
LEVEL: Final = 0.95
_CELLS: Final = 4_000_000  # numbers of a bootstrap that are held at once


@final
@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of n scores, or of n differences, and its interval."""

    mean: float
    low: float
    high: float
    n: int


@final
@dataclass(frozen=True, slots=True)
class Spread:
    """mean and sample standard deviation (divisor n - 1; 0 for one value) over draws."""

    mean: float
    sd: float
    n: int


def estimate(scores: Scores, *, seed: int = 0, level: float = LEVEL) -> Estimate:
    """The mean and its interval: Wilson's for scores that are all 0 or 1, else by bootstrap."""
    values = _checked(scores)
    if np.isin(values, (0.0, 1.0)).all():
        return wilson(int(values.sum()), values.size, level=level)
    return bootstrap(values, seed=seed, level=level, lowest=0.0)


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Estimate:
    """Wilson's score interval of a share (Wilson 1927), without continuity correction."""
    from scipy import stats  # takes most of a second to import

    interval = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def bootstrap(
    values: Scores, *, seed: int = 0, level: float = LEVEL, resamples: int = RESAMPLES, lowest: float = -1.0
) -> Estimate:
    """Percentile bootstrap of the mean (Efron 1979). values: numbers in [lowest, 1].

    Where all values are equal, resampling says nothing; see `_all_equal`.
    """
    array = _checked(values, lowest)
    if (array == array[0]).all():
        return _all_equal(float(array[0]), array.size, level, lowest)
    return _interval(float(array.mean()), resampled_means(array, seed=seed, resamples=resamples), array.size, level)


def paired_difference(a: Scores, b: Scores, *, seed: int = 0, level: float = LEVEL) -> Estimate:
    """Mean of a - b on the same items, with a paired bootstrap interval."""
    first, second = _pair(a, b)
    return bootstrap(first - second, seed=seed, level=level)


def objective(
    scores: Mapping[str, Scores], weights: Mapping[str, float], *, seed: int = 0, level: float = LEVEL
) -> Estimate:
    """Weighted mean of task means, each task resampled by itself. weights: by task, > 0, any scale. n: all items.

    One task alone gets the interval of `estimate`.
    """
    arrays = {task: _checked(values) for task, values in scores.items()}
    if len(arrays) == 1:
        return estimate(next(iter(arrays.values())), seed=seed, level=level)
    return _stratified(arrays, weights, seed, level, lowest=0.0)


def objective_difference(
    a: Mapping[str, Scores],
    b: Mapping[str, Scores],
    weights: Mapping[str, float],
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> Estimate:
    """Objective of a minus objective of b on the same items: a paired bootstrap within each task."""
    assert a.keys() == b.keys(), "both were scored on the same tasks"
    pairs = {task: _pair(a[task], b[task]) for task in a}
    return _stratified({task: first - second for task, (first, second) in pairs.items()}, weights, seed, level, -1.0)


def mcnemar(a: Scores, b: Scores) -> float:
    """Two-sided exact p-value that a and b are equally good on items scored 0 or 1 (McNemar 1947, exact)."""
    from scipy import stats  # as above

    first, second = _pair(a, b)
    better, worse = int((first > second).sum()), int((first < second).sum())
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0


def spread(values: Scores) -> Spread:
    """Mean ± sd of one number a draw."""
    array = np.asarray(values, dtype=np.float64)
    assert array.ndim == 1, "one number a draw"
    assert array.size, "at least one draw"
    return Spread(float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else 0.0, array.size)


def resampled_means(values: Floats, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of `resamples` samples with replacement.

    Instead of items, how often each distinct value comes up is drawn: the same law, and for scores of 0 and 1 one
    binomial number a sample.
    """
    distinct, counts = np.unique(values, return_counts=True)
    generator = np.random.Generator(np.random.Philox(seed))
    shares = counts / values.size
    rows = max(1, _CELLS // distinct.size)
    parts = [
        generator.multinomial(values.size, shares, size=min(rows, resamples - start)) @ distinct
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts) / values.size


def widened(found: Estimate, others: Iterable[tuple[float, Estimate]]) -> Estimate:
    """The interval of a sum of independent parts, where that of some (share of the sum, estimate) is known apart.

    Distances from the mean add up in quadrature, each side by itself (Zou and Donner 2008, "Construction of confidence
    limits about effect measures"). found: the sum, with the interval of all other parts.
    """
    parts = list(others)
    below = math.hypot(max(found.mean - found.low, 0.0), *(share * (part.mean - part.low) for share, part in parts))
    above = math.hypot(max(found.high - found.mean, 0.0), *(share * (part.high - part.mean) for share, part in parts))
    return Estimate(found.mean, found.mean - below, found.mean + above, found.n)


def _stratified(
    arrays: Mapping[str, Floats], weights: Mapping[str, float], seed: int, level: float, lowest: float
) -> Estimate:
    """Tasks have independent items: their resampled means add up, each from a stream of its own.

    Resampling says nothing of a task whose scores are all equal: it adds the width of `_all_equal`.
    """
    if len(arrays) == 1:
        return bootstrap(next(iter(arrays.values())), seed=seed, level=level, lowest=lowest)
    total = sum(weights[task] for task in arrays)
    shares = {task: weights[task] / total for task in arrays}
    n = sum(array.size for array in arrays.values())
    mean = sum(shares[task] * float(array.mean()) for task, array in arrays.items())
    seeds = np.random.SeedSequence(seed).generate_state(len(arrays), np.uint64)
    means = np.sum(
        [
            shares[task] * resampled_means(array, seed=int(own))
            for (task, array), own in zip(arrays.items(), seeds, strict=True)
        ],
        axis=0,
    )
    constant = [task for task, array in arrays.items() if (array == array[0]).all()]
    if not constant:
        return _interval(mean, means, n, level)
    bounds = [(shares[task], _all_equal(float(arrays[task][0]), arrays[task].size, level, lowest)) for task in constant]
    resampled = Estimate(mean, mean, mean, n) if len(constant) == len(arrays) else _interval(mean, means, n, level)
    return widened(resampled, bounds)


def _all_equal(value: float, n: int, level: float, lowest: float) -> Estimate:
    """n equal numbers: others may occur up to as often as would leave n draws without one with probability 1 - level.

    These others may be as far away as numbers in [lowest, 1] can be (Clopper and Pearson's bound for none of n).
    """
    share = 1.0 - (1.0 - level) ** (1.0 / n)
    return Estimate(value, value - share * (value - lowest), value + share * (1.0 - value), n)


def _interval(mean: float, means: Floats, n: int, level: float) -> Estimate:
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Estimate(mean, float(low), float(high), n)


def _pair(a: Scores, b: Scores) -> tuple[Floats, Floats]:
    first, second = _checked(a), _checked(b)
    assert first.shape == second.shape, "paired scores belong to the same items"
    return first, second


def _checked(scores: Scores, lowest: float = 0.0) -> Floats:
    array = np.asarray(scores, dtype=np.float64)
    assert array.ndim == 1, "one score an item"
    assert array.size, "at least one item"
    assert ((array >= lowest) & (array <= 1.0)).all(), f"scores lie in [{lowest:g}, 1]"
    return array
