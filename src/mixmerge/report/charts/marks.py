"""What the charts share: a draw's dot, an interval's whisker, axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mixmerge.report.reading import Measure
from mixmerge.report.schema import Study, Trial
from mixmerge.report.svg import Scale, Svg, el, join, line, text, ticks

NARROW_BELOW: Final = 600
"""Charts narrower than this are drawn for a phone."""


def mixed(share: float) -> str:
    """Style of a mark coloured between the second source (0) and the first (1)."""
    return f"--at:{100 * share:.1f}%"


def shaded(place: float) -> str:
    """Style of a mark coloured by score, from the worst (0) to the best (1)."""
    return f"--at:{100 * place:.1f}%"


def dot(study: Study, trial: Trial, x: float, y: float, *, style: str, shade: str = "mix") -> Svg:
    """A draw, ringed if it is the winner. Its words are in the table of trials, once for all charts."""
    won = trial["number"] == study["winner"]
    state = " pruned" if trial["state"] == "pruned" else ""
    mark = el(
        "circle",
        cx=x,
        cy=y,
        r=6.0 if won else 4.6,
        class_=f"draw {shade}{state}",
        style=style,
        data_trial=str(trial["number"]),
    )
    return join((el("circle", cx=x, cy=y, r=9.5, class_="ring"), mark)) if won else mark


def upright(x: float, scale: Scale, low: float, mean: float, high: float, *, mark: str, tip: str) -> Svg:
    """A mean with its interval, standing."""
    return el(
        "g",
        el("rect", x=x - 9, y=scale(high) - 4, width=18.0, height=scale(low) - scale(high) + 8, class_="catch"),
        line(x, scale(low), x, scale(high), "whisker"),
        line(x - 3.5, scale(low), x + 3.5, scale(low), "whisker"),
        line(x - 3.5, scale(high), x + 3.5, scale(high), "whisker"),
        el("circle", cx=x, cy=scale(mean), r=4.5, class_="mean"),
        class_=f"interval {mark}",
        data_tip=tip,
    )


def lying(y: float, scale: Scale, low: float, mean: float, high: float, *, mark: str, tip: str) -> Svg:
    """A mean with its interval, lying."""
    return el(
        "g",
        el("rect", x=scale(low) - 4, y=y - 9, width=scale(high) - scale(low) + 8, height=18.0, class_="catch"),
        line(scale(low), y, scale(high), y, "whisker"),
        line(scale(low), y - 3.5, scale(low), y + 3.5, "whisker"),
        line(scale(high), y - 3.5, scale(high), y + 3.5, "whisker"),
        el("circle", cx=scale(mean), cy=y, r=4.5, class_="mean"),
        class_=f"interval {mark}",
        data_tip=tip,
    )


def grid_rows(scale: Scale, left: float, right: float, measure: Measure, about: int = 4) -> list[Svg]:
    """Horizontal grid lines with numbers at the left."""
    marks: list[Svg] = []
    for tick in ticks(scale.low, scale.high, about):
        marks.append(line(left, scale(tick), right, scale(tick), "grid"))
        marks.append(text(left - 8, scale(tick) + 4, measure.tick(tick), "tick", "end"))
    return marks


def grid_columns(scale: Scale, top: float, bottom: float, measure: Measure, about: int = 5) -> list[Svg]:
    """Vertical grid lines with numbers below."""
    marks: list[Svg] = []
    for tick in ticks(scale.low, scale.high, about):
        marks.append(line(scale(tick), top, scale(tick), bottom, "grid"))
        marks.append(text(scale(tick), bottom + 16, measure.tick(tick), "tick", "middle"))
    return marks


def interval_words(measure: Measure, mean: float, low: float | None, high: float | None, n: int | None) -> str:
    """`71.2 %, 95 % interval 68.1 to 74.0, n = 300`."""
    parts = [measure.show(mean)]
    if low is not None and high is not None:
        parts.append(f"95 % interval {measure.number(low)} to {measure.number(high)}")
    parts += [f"n = {n}"] if n is not None else []
    return ", ".join(parts)


def ranked(values: Sequence[float], measure: Measure) -> list[float]:
    """Place of each value between the worst (0) and the best (1)."""
    low, high = min(values), max(values)
    places = [0.5 if high == low else (value - low) / (high - low) for value in values]
    return places if measure.goal == "maximize" else [1 - place for place in places]
