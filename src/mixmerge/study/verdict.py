"""What may be said of a study's outcome, in words that are not stronger than its numbers."""

from __future__ import annotations

from typing import Literal

from mixmerge.evaluation import Estimate

Strength = Literal["better", "unclear", "worse", "pending"]


def strength_of(difference: Estimate) -> Strength:
    """Whether the interval of winner minus equal excludes 0, and on which side."""
    if difference.low > 0.0:
        return "better"
    return "worse" if difference.high < 0.0 else "unclear"


def sentence(winner: Estimate, equal: Estimate, against_equal: Estimate, *, chosen: str = "ratio") -> str:
    """The outcome against the equal ratio. chosen: what the winner is: a `ratio`, or a `draw` of more than that."""
    interval = f"95 % interval {_points(against_equal.low)} to {_points(against_equal.high)}"
    n = f"on {winner.n} test items"
    if against_equal.low > 0.0:
        gain = f"{100 * against_equal.mean:.1f} points above the equal ratio"
        return f"The chosen {chosen} scored {_percent(winner)} {n}, {gain} ({interval})."
    if against_equal.high < 0.0:
        loss = f"{_percent(equal)} against {_percent(winner)}, winner minus equal {_points(against_equal.mean)} points"
        return f"The equal ratio was better than the chosen one {n}: {loss} ({interval})."
    scores = f"{_percent(winner)} against {_percent(equal)}"
    found = f"{_points(against_equal.mean)} points, {interval}"
    both = "the chosen and the equal ratio" if chosen == "ratio" else f"the chosen {chosen} and the equal ratio"
    return f"No difference between {both} was shown {n}: {scores} ({found})."


def against_parent(label: str, parent: Estimate, difference: Estimate) -> str:
    """The outcome against the best parent, which was chosen on the validation items too."""
    interval = f"95 % interval {_points(difference.low)} to {_points(difference.high)}"
    if difference.low > 0.0:
        word = "The winner is better than the best parent"
    elif difference.high < 0.0:
        word = "The best parent is better than the winner"
    else:
        word = "No difference between the winner and the best parent was shown"
    found = f"{label} scored {_percent(parent)}; winner minus parent {_points(difference.mean)} points, {interval}"
    return f"{word} ({found})."


def _percent(score: Estimate) -> str:
    return f"{100 * score.mean:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
