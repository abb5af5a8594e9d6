"""Numbers of an objective whose terms are task means and shares of accuracy kept under attack (1 - PDR).

Stored scores of the latter alternate: clean, attacked, clean, attacked, two an example. Kept is attacked accuracy by
clean accuracy, clipped to [0, 1], and 0 where nothing is right under the clean prompt. Without such terms everything
here is what `evaluation.numbers` says. It knows arrays of scores; it knows no models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mixmerge import evaluation
from mixmerge.evaluation import Estimate
from mixmerge.evaluation.attacks import Drop, drop
from mixmerge.evaluation.numbers import LEVEL, RESAMPLES, resampled_means, widened
from mixmerge.study.items import Floats

PREFIX: Final = "1-pdr "
"""Names of such terms begin so; no task may."""

STILL: Final = 1e-12
"""Resampled values nearer to each other than this are rounding, and say nothing."""

Weights = Mapping[str, float]
Scores = Mapping[str, Floats]


def is_kept(name: str) -> bool:
    """Whether a term is a share of accuracy kept under an attack."""
    return name.startswith(PREFIX)


def pairs(scores: Floats) -> tuple[Floats, Floats]:
    """Clean and attacked scores of the same examples."""
    return scores[0::2], scores[1::2]


def size(name: str, scores: np.ndarray[Any, Any]) -> int:
    """Items or examples a term is of."""
    return scores.size // 2 if is_kept(name) else scores.size


def value(name: str, scores: Floats) -> float:
    """What counts in the objective, in [0, 1] for tasks and attacks."""
    if not is_kept(name):
        return float(scores.mean())
    clean, attacked = pairs(scores)
    return float(_kept(clean.sum(), attacked.sum()))


def _kept(right: Any, still: Any) -> Any:
    """right, still: numbers of right answers, clean and attacked; numbers or arrays."""
    return np.clip(np.where(right > 0, still / np.maximum(right, 1e-300), 0.0), 0.0, 1.0)


def estimate(name: str, scores: Floats, *, seed: int) -> Estimate:
    """A term and its interval; where clean accuracy is 0, anything from 0 to 1 might have been kept."""
    if not is_kept(name):
        return evaluation.estimate(scores, seed=seed)
    clean, attacked = pairs(scores)
    found = drop(clean, attacked, seed=seed)
    if found is None:
        return Estimate(0.0, 0.0, 1.0, clean.size)
    low, high = (min(max(1.0 - bound, 0.0), 1.0) for bound in (found.high, found.low))
    return Estimate(value(name, scores), low, high, clean.size)


def objective(scores: Scores, weights: Weights, *, seed: int) -> Estimate:
    """Weighted mean of the terms, each resampled by itself."""
    if not any(map(is_kept, scores)):
        return evaluation.objective(scores, weights, seed=seed)
    singles = {name: estimate(name, values, seed=seed) for name, values in scores.items()}
    return _combined({name: values[:, None] for name, values in scores.items()}, singles, weights, seed)


def difference(name: str, a: Floats, b: Floats, *, seed: int) -> Estimate:
    """a minus b of one term, on the same items: a paired bootstrap."""
    if not is_kept(name):
        return evaluation.paired_difference(a, b, seed=seed)
    both = np.stack([a, b], axis=1)
    return _interval(value(name, a) - value(name, b), _resampled(name, both, seed), _doubt(a) + _doubt(b), a.size // 2)


def objective_difference(a: Scores, b: Scores, weights: Weights, *, seed: int) -> Estimate:
    """Objective of a minus objective of b: a paired bootstrap within each term."""
    if not any(map(is_kept, a)):
        return evaluation.objective_difference(a, b, weights, seed=seed)
    singles = {name: difference(name, values, b[name], seed=seed) for name, values in a.items()}
    return _combined({name: np.stack([a[name], b[name]], axis=1) for name in a}, singles, weights, seed)


def _combined(columns: Scores, singles: Mapping[str, Estimate], weights: Weights, seed: int) -> Estimate:
    """columns: scores of one model, or of two side by side, by term. singles: each term's own estimate.

    Terms that resampling leaves as they are add the width of their own estimate.
    """
    total = sum(weights[name] for name in columns)
    shares = {name: weights[name] / total for name in columns}
    mean = sum(shares[name] * singles[name].mean for name in columns)
    seeds = np.random.SeedSequence(seed).generate_state(len(columns), np.uint64)
    parts = {
        name: shares[name] * _resampled(name, both, int(own))
        for (name, both), own in zip(columns.items(), seeds, strict=True)
    }
    n = sum(size(name, both[:, 0]) for name, both in columns.items())
    still = [name for name, found in parts.items() if found.max() - found.min() < STILL]
    found = _interval(mean, np.sum(list(parts.values()), axis=0), 0.0, n)
    return widened(found, [(shares[name], singles[name]) for name in still])


def _resampled(name: str, columns: Floats, seed: int) -> Floats:
    """The term of resampled items: of one column of scores, or of the first minus the second."""
    if not is_kept(name):
        return resampled_means(columns[:, 0] - columns[:, 1] if columns.shape[1] == 2 else columns[:, 0], seed=seed)
    drawn = _drawn(np.hstack([columns[0::2], columns[1::2]]), seed)  # clean of each model, then attacked of each
    kept = [_kept(drawn[:, one], drawn[:, one + columns.shape[1]]) for one in range(columns.shape[1])]
    return np.asarray(kept[0] - kept[1] if len(kept) == 2 else kept[0])


def _drawn(rows: Floats, seed: int) -> Floats:
    """Sums over resampled rows, shape (resamples, columns): how often each distinct row comes up is drawn."""
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    generator = np.random.Generator(np.random.Philox(seed))
    return np.asarray(generator.multinomial(len(rows), counts / len(rows), size=RESAMPLES) @ distinct)


def drop_difference(a: Floats, b: Floats, *, seed: int) -> Drop | None:
    """PDR of a minus PDR of b on the same examples, unclipped; None where one of them has no right answer to lose.

    a, b: alternating scores. Resamples in which one of them has no PDR are left out.
    """
    (clean_a, attacked_a), (clean_b, attacked_b) = pairs(a), pairs(b)
    if not clean_a.any() or not clean_b.any():
        return None
    drawn = _drawn(np.stack([clean_a, attacked_a, clean_b, attacked_b], axis=1), seed)
    right_a, still_a, right_b, still_b = drawn[(drawn[:, 0] > 0) & (drawn[:, 2] > 0)].T
    found = still_b / right_b - still_a / right_a
    middle = float(attacked_b.mean() / clean_b.mean() - attacked_a.mean() / clean_a.mean())
    interval = _interval(middle, found, _doubt(a) + _doubt(b), clean_a.size)
    return Drop(interval.mean, interval.low, interval.high, interval.n)


def _interval(middle: float, found: Floats, doubt: float, n: int) -> Estimate:
    """Percentiles; where resampling shows no spread, as far as examples that were not seen might move it."""
    if found.size == 0 or found.max() - found.min() < STILL:
        return Estimate(middle, middle - doubt, middle + doubt, n)
    low, high = np.quantile(found, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return Estimate(middle, min(float(low), middle), max(float(high), middle), n)


def _doubt(scores: Floats) -> float:
    """The share of examples that would stay unseen with probability 1 - level, by clean accuracy, as in `drop`."""
    clean = pairs(scores)[0]
    unseen = 1.0 - (1.0 - LEVEL) ** (1.0 / clean.size)
    return min(1.0, unseen / float(clean.mean())) if clean.any() else 1.0
