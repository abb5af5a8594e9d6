"""The ratios of three sources in a triangle: a corner is one source alone, the centre is the equal ratio."""

from __future__ import annotations

import math

from mixmerge.report.charts.marks import NARROW_BELOW, dot, ranked, shaded
from mixmerge.report.reading import Measure, complete, source_mark
from mixmerge.report.schema import Study
from mixmerge.report.svg import Svg, clipped, el, line, path, picture, text

Point = tuple[float, float]


def ternary_chart(study: Study, width: float) -> Svg | None:
    """The drawing, coloured by the objective; None before the first complete draw."""
    trials = [trial for trial in complete(study) if trial["ratio"]]
    if not trials:
        return None
    side = min(width - (56 if width < NARROW_BELOW else 260), 470)
    rise = side * math.sqrt(3) / 2
    middle, top = width / 2, 34.0
    corners: list[Point] = [(middle, top), (middle - side / 2, top + rise), (middle + side / 2, top + rise)]
    parts = [path(corners, "triangle", closed=True), *_grid(corners), *_corner_names(study, corners, side)]
    centre = _place((1 / 3, 1 / 3, 1 / 3), corners)
    parts.append(el("g", _plus(centre), class_="baseline m-equal", data_tip="equal ratio"))
    places = ranked([trial["objective"] or 0.0 for trial in trials], Measure("", "", "number"))
    order = sorted(range(len(trials)), key=lambda index: (trials[index]["number"] == study["winner"], places[index]))
    for index in order:
        x, y = _place(trials[index]["ratio"] or [], corners)
        parts.append(dot(study, trials[index], x, y, style=shaded(places[index]), shade="heat"))
    label = "Ratios of the three sources, coloured by score"
    return picture(width, top + rise + 44, label, *parts, class_="chart ternary-chart")


def _place(ratio: list[float] | tuple[float, ...], corners: list[Point]) -> Point:
    return (
        math.fsum(part * corner[0] for part, corner in zip(ratio, corners, strict=True)),
        math.fsum(part * corner[1] for part, corner in zip(ratio, corners, strict=True)),
    )


def _grid(corners: list[Point]) -> list[Svg]:
    """Lines of equal share at 0.25, 0.5, 0.75 of each source, numbered along its edge."""
    parts: list[Svg] = []
    for source in range(3):
        one, two = (source + 1) % 3, (source + 2) % 3
        for share in (0.25, 0.5, 0.75):
            ends = []
            for other in (one, two):
                ratio = [0.0, 0.0, 0.0]
                ratio[source], ratio[other] = share, 1 - share
                ends.append(_place(ratio, corners))
            parts.append(line(*ends[0], *ends[1], "grid"))
            x, y = ends[0]
            dx, dy, anchor = ((-7.0, 4.0, "end"), (0.0, 17.0, "middle"), (8.0, 4.0, "start"))[source]
            parts.append(text(x + dx, y + dy, f"{share:g}", f"tick {source_mark(source)}", anchor))
    return parts


def _corner_names(study: Study, corners: list[Point], side: float) -> list[Svg]:
    names = study["law"]["sources"]
    places = ((0.0, -14.0, "middle"), (-14.0, 34.0, "start"), (14.0, 34.0, "end"))
    return [
        text(x + dx, y + dy, clipped(name, side / 2.2, 13), f"end {source_mark(index)}", anchor)
        for index, (name, (x, y), (dx, dy, anchor)) in enumerate(zip(names, corners, places, strict=True))
    ]


def _plus(at: Point) -> Svg:
    x, y = at
    return el("path", d=f"M{x - 6:.1f} {y:.1f}H{x + 6:.1f}M{x:.1f} {y - 6:.1f}V{y + 6:.1f}", class_="plus")
