"""What another alpha would have drawn, from the draws that were made: importance reweighting of recorded scores.

A draw r with score y came from the law with density p(r); under another alpha it would have come with density q(r), so
weights q(r)/p(r) turn the recorded scores into an estimate for that alpha (self-normalised; Owen, Monte Carlo theory,
section 9.2). The effective sample size (sum w)^2 / sum w^2 says how many draws the estimate is worth. Only draws from
the law itself can be reweighted so: samplers that learn (tpe, gp, cmaes) cannot. Plain numbers in, plain numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GRID: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0)
ENOUGH: Final = 8.0
"""Effective draws below which an estimate is called too small to tell."""

FROM_THE_LAW: Final = ("random", "sobol")
"""Samplers whose draws follow the law."""

_EDGE: Final = 5e-7  # ratios are rounded to 6 decimals: 0 stands for all that is nearer than half a unit
_ALIKE: Final = 1e-12  # shares that differ by less are equal but for rounding
_FAMILY: Final = 0.05  # chance of one wrong preference over all alternatives together


@dataclass(frozen=True, slots=True)
class Draw:
    """One complete trial: the ratio of each group, its score, and the alpha it was drawn with, one number a source."""

    ratios: tuple[tuple[float, ...], ...]
    score: float
    alpha: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What Beta(alpha, alpha) (or its Dirichlet) would have drawn.

    ess: effective draws. mean: expected score of a single draw. best: expected best of as many draws as were made.
    gain: mean minus the mean of the draws made; error: its standard error, 0 for the law that drew them. enough: ess >=
    ENOUGH.
    """

    alpha: float
    ess: float
    mean: float
    best: float
    gain: float
    error: float
    enough: bool


def log_density(ratio: Sequence[float], alpha: Sequence[float]) -> float:
    """Logarithm of the Dirichlet(alpha) density at a ratio; Beta(a, b) at (x, 1 - x) for two.

    Parts that are 0 after rounding get the mean density of all that is rounded to 0.
    """
    norm = math.lgamma(math.fsum(alpha)) - math.fsum(math.lgamma(a) for a in alpha)
    return norm + math.fsum(
        (a - 1.0) * math.log(max(part, _EDGE)) - (math.log(a) if part < _EDGE else 0.0)
        for part, a in zip(ratio, alpha, strict=True)
    )


def weights(draws: Sequence[Draw], alpha: float) -> list[float]:
    """Share of each draw under the symmetric law of this alpha; they sum to 1. Draws have positive alphas."""
    logs = [
        math.fsum(log_density(ratio, (alpha,) * len(ratio)) - log_density(ratio, draw.alpha) for ratio in draw.ratios)
        for draw in draws
    ]
    top = max(logs)
    raw = [math.exp(log - top) for log in logs]
    total = math.fsum(raw)
    return [weight / total for weight in raw]


def effective(shares: Sequence[float]) -> float:
    """Effective sample size of shares that sum to 1: n where all are equal, 1 where one has all."""
    return 1.0 / math.fsum(share * share for share in shares)


def best_of(scores: Sequence[float], shares: Sequence[float], count: int) -> float:
    """Expected best of `count` independent picks of scores with these probabilities. Never above the best score."""
    total, below = 0.0, 0.0
    for score, share in sorted(zip(scores, shares, strict=True)):
        upto = min(1.0, below + share)
        total += score * (upto**count - below**count)
        below = upto
    return total + sorted(scores)[-1] * (1.0 - below**count)


def estimate(draws: Sequence[Draw], alpha: float) -> Estimate:
    """What `alpha` would have drawn, from two draws or more."""
    scores = [draw.score for draw in draws]
    shares = weights(draws, alpha)
    count = len(draws)
    mean = math.fsum(share * score for share, score in zip(shares, scores, strict=True))
    made = math.fsum(scores) / count
    ess = effective(shares)
    error = _error(scores, shares, mean, made)
    return Estimate(alpha, ess, mean, best_of(scores, shares, count), mean - made, error, ess >= ENOUGH)


def _error(scores: Sequence[float], shares: Sequence[float], mean: float, made: float) -> float:
    """Standard error of mean - made: the larger of two.

    The delta method's alone is too small with few draws, where those of low score happen to have low shares (up to one
    preference in ten was wrong); the other is the spread of the gain over all ways to deal the scores out to the
    shares, as if they had nothing to do with the ratio.
    """
    count = len(scores)
    if max(shares) - min(shares) < _ALIKE:
        return 0.0
    influence = (share * (score - mean) - (score - made) / count for share, score in zip(shares, scores, strict=True))
    delta = math.fsum(part * part for part in influence) * count / (count - 1)
    variance = math.fsum((score - made) ** 2 for score in scores) / (count - 1)
    return math.sqrt(max(delta, variance * math.fsum((share - 1 / count) ** 2 for share in shares)))


def advise(draws: Sequence[Draw], grid: Sequence[float] = GRID) -> list[Estimate]:
    """An estimate for each alpha of `grid`; empty with fewer than two draws or a law that draws one point only."""
    if len(draws) < 2 or any(min(draw.alpha) <= 0 for draw in draws):
        return []
    return [estimate(draws, alpha) for alpha in grid]


def preferred(estimates: Sequence[Estimate]) -> Estimate | None:
    """The alpha whose single draws score reliably better than those made: None where no difference can be told.

    Reliably: the gain is beyond the one-sided quantile of Student's law with ess - 1 degrees of freedom that keeps
    wrong preferences under 5 % over all alternatives together (Bonferroni), and the estimate has enough draws.
    """
    from scipy.special import stdtrit  # only a report asks; much slower to import than all else here

    able = [item for item in estimates if item.enough and item.error > 0]
    sure = [item for item in able if item.gain > float(stdtrit(item.ess - 1.0, 1.0 - _FAMILY / len(able))) * item.error]
    return max(sure, key=lambda item: item.mean, default=None)
