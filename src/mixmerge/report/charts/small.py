"""Drawings the size of a table cell."""

from __future__ import annotations

import math

from mixmerge.report.advice import log_density
from mixmerge.report.schema import Interval
from mixmerge.report.svg import Scale, Svg, el, line, path


def interval_cell(score: Interval, bounds: tuple[float, float], mark: str, width: float = 120) -> Svg:
    """A mean and its interval on a scale that a table's column shares."""
    scale, middle = Scale(*bounds, 5, width - 5), 8.0
    return el(
        "svg",
        line(5, middle, width - 5, middle, "rail"),
        line(scale(score["low"]), middle, scale(score["high"]), middle, "whisker"),
        el("circle", cx=scale(score["mean"]), cy=middle, r=4.0, class_="mean"),
        viewBox=f"0 0 {width:g} 16",
        width=width,
        height=16,
        class_=f"cell-chart interval {mark}",
        aria_hidden="true",
    )


def density_spark(alpha: float, width: float = 72) -> Svg:
    """The shape of Beta(alpha, alpha)."""
    height, steps = 22.0, [0.01 + 0.98 * index / 48 for index in range(49)]
    curve = [math.exp(log_density((x, 1 - x), (alpha, alpha))) for x in steps]
    scale, share = Scale(0, 3.2, height - 1, 2), Scale(0, 1, 1, width - 1)
    points = [(share(x), scale.inside(y)) for x, y in zip(steps, curve, strict=True)]
    area = [(points[0][0], height - 1), *points, (points[-1][0], height - 1)]
    size = f"0 0 {width:g} {height:g}"
    shape = path(area, "law", closed=True)
    return el("svg", shape, viewBox=size, width=width, height=height, class_="cell-chart", aria_hidden="true")
