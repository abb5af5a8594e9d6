"""Many numbers a draw: a line a draw through an axis a number, ending at its score.

For more than three sources, for ratios by group, and for parameters that varied beside the ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixmerge.report.charts.marks import NARROW_BELOW, ranked, shaded
from mixmerge.report.reading import (
    complete,
    groups_of,
    objective_of,
    one_ratio,
    score_of,
    shown,
    varying,
    winner_of,
)
from mixmerge.report.schema import Study, Trial
from mixmerge.report.svg import Scale, Svg, clipped, el, path, picture, span, text, ticks

MOST = 24
"""Axes drawn, beside the score's; a page is not wide enough for more."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A number of a draw. values: by trial number, as laid on the axis; labels: (value, words) along it."""

    name: str
    values: dict[int, float]
    low: float
    high: float
    labels: list[tuple[float, str]]


def axes_left_out(study: Study) -> int:
    """How many axes the drawing lacks because there are too many."""
    return max(0, len(_axes(study)) - MOST)


def parallel_chart(study: Study, width: float) -> Svg | None:
    """The drawing, coloured by the objective; None before the first complete draw or with nothing to show."""
    trials = [trial for trial in complete(study) if trial["objective"] is not None]
    axes = _axes(study)[:MOST]
    if not trials or not axes:
        return None
    measure = objective_of(study)
    scores = {trial["number"]: score["mean"] for trial in trials if (score := score_of(trial, measure)) is not None}
    low, high = span(scores.values(), least=measure.least, pad=0.02)
    score_labels = [(tick, measure.tick(tick)) for tick in ticks(low, high, 5)]
    axes = [*axes, Axis(measure.title, scores, low, high, score_labels)]
    step = max((width - 96) / (len(axes) - 1), 52.0)
    full = 96 + step * (len(axes) - 1)
    height, top = (300.0 if width < NARROW_BELOW else 340.0), 52.0
    places = [44 + step * index for index in range(len(axes))]
    scales = [Scale(axis.low, axis.high, height - 24, top) for axis in axes]
    parts = _lines(study, trials, axes, places, scales)
    for index, axis in enumerate(axes):
        side = "start" if index == 0 else "end" if index == len(axes) - 1 else "middle"
        parts += _axis(axis, places[index], scales[index], step, raised=index % 2 == 1, side=side)
    return picture(
        full, height, "A line a draw through its numbers, ending at its score", *parts, class_="chart parallel-chart"
    )


def _axes(study: Study) -> list[Axis]:
    trials = complete(study)
    axes: list[Axis] = []
    sources = study["law"]["sources"]
    shares = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]
    if one_ratio(study):
        for index, label in enumerate(sources if len(sources) > 2 else sources[:1]):
            values = {trial["number"]: trial["ratio"][index] for trial in trials if trial["ratio"]}
            axes.append(Axis(label if len(sources) > 2 else f"λ, {label}", values, 0, 1, shares))
    else:
        groups = list(dict.fromkeys(group for trial in trials for group in groups_of(trial)))
        for group, name in zip(groups, told_apart(groups), strict=True):
            for index, label in enumerate(sources if len(sources) > 2 else sources[:1]):
                values = {trial["number"]: ratio[index] for trial in trials if (ratio := groups_of(trial).get(group))}
                axes.append(Axis(name if len(sources) == 2 else f"{name}: {label}", values, 0, 1, shares))
    return axes + [_parameter(trials, name) for name in varying(study)]


def told_apart(names: Sequence[str]) -> list[str]:
    """Names without the dotted words that all of them begin and end with, as those of tensors do."""
    words = [name.split(".") for name in names]
    least = min(map(len, words), default=1) - 1 if len(names) > 1 else 0
    start = next((i for i in range(least) if len({part[i] for part in words}) > 1), least)
    end = next((i for i in range(least - start) if len({part[-1 - i] for part in words}) > 1), least - start)
    return [".".join(part[start : len(part) - end]) for part in words]


def _parameter(trials: list[Trial], name: str) -> Axis:
    given = {trial["number"]: trial["parameters"][name] for trial in trials if name in trial["parameters"]}
    numbers = {key: float(value) for key, value in given.items() if isinstance(value, int | float)}
    if len(numbers) == len(given) and len(set(numbers.values())) > 1:
        low, high = span(numbers.values(), pad=0.02)
        return Axis(name, numbers, low, high, [(tick, shown(tick)) for tick in ticks(low, high, 4)])
    words = sorted({shown(value) for value in given.values()})
    values = {key: float(words.index(shown(value))) for key, value in given.items()}
    return Axis(name, values, -0.5, len(words) - 0.5, [(float(index), word) for index, word in enumerate(words)])


def _lines(study: Study, trials: list[Trial], axes: list[Axis], places: list[float], scales: list[Scale]) -> list[Svg]:
    ranks = ranked([trial["objective"] or 0.0 for trial in trials], objective_of(study))
    winner = winner_of(study)
    order = sorted(range(len(trials)), key=lambda index: (trials[index] is winner, ranks[index]))
    parts = []
    for index in order:
        trial = trials[index]
        points = [
            (x, scale(axis.values[trial["number"]]))
            for axis, x, scale in zip(axes, places, scales, strict=True)
            if trial["number"] in axis.values
        ]
        won = " won" if trial is winner else ""
        drawn = path(points, f"thread heat{won}")
        parts.append(
            el(
                "g",
                path(points, "catch-line"),
                drawn,
                style=shaded(ranks[index]),
                data_trial=str(trial["number"]),
            )
        )
    return parts


def _axis(axis: Axis, x: float, scale: Scale, step: float, *, raised: bool, side: str) -> list[Svg]:
    """side: where the name is anchored; the first and the last keep inside the drawing."""
    crowded, last = step < 84, side == "end"
    style = ("title" if last else "axis-name", side)
    room = step * (1.9 if crowded else 1) - 6
    name = clipped(axis.name, room / 2 + 36 if side == "start" else room, 12)
    parts = [
        el("line", x1=x, x2=x, y1=scale.start, y2=scale.end, class_="axis-line strong" if last else "axis-line"),
        text(x + {"start": -40, "middle": 0, "end": 46}[side], 32 if raised or not crowded else 14, name, *style),
    ]
    for value, words in axis.labels:
        parts.append(text(x + 6, scale(value) + 4, clipped(words, step), "tick halo"))
    return parts
