"""Paired differences on the test items: one merge minus another, with intervals and the line of no difference."""

from __future__ import annotations

from collections.abc import Sequence

from mixmerge.report.charts.marks import NARROW_BELOW, lying
from mixmerge.report.reading import Measure, measures_of, merges_of
from mixmerge.report.schema import WINNER, Paired, Study
from mixmerge.report.svg import Scale, Svg, clipped, el, line, picture, span, text, ticks

ROW, TITLE = 26.0, 34.0
ROOM = 60.0  # that a word beside the line of no difference needs


def forest_chart(study: Study, width: float) -> Svg | None:
    """The drawing; None where nothing was compared."""
    blocks = [(measure, rows) for measure in measures_of(study) if (rows := _rows(study, measure))]
    if not blocks:
        return None
    narrow = width < NARROW_BELOW
    left, right = (112.0, width - 12) if narrow else (250.0, width - 190)
    parts: list[Svg] = []
    top = 0.0
    for measure, rows in blocks:
        parts.append(text(0, top + 20, _title(measure, width if narrow else left - 8), "title"))
        top += 20 if narrow else 0
        parts += _block(study, measure, rows, (left, right), top, narrow)
        top += TITLE + ROW * len(rows) + 34
    label = "Differences on the same test items, with 95 % intervals"
    return picture(width, top, label, *parts, class_="chart forest-chart")


def _rows(study: Study, measure: Measure) -> list[Paired]:
    rows = [pair for pair in study["paired"] if pair["task"] == measure.name]
    order = [merge.name for merge in merges_of(study, {row["a"] for row in rows} | {row["b"] for row in rows})]
    return sorted(rows, key=lambda row: (order.index(row["a"]), order.index(row["b"])))


def _title(measure: Measure, room: float) -> str:
    """Which side is good is said where it fits; arrows show it in any case."""
    whole = measure.title + ("" if measure.goal == "maximize" else ", smaller is better")
    return whole if clipped(whole, room, 13) == whole else clipped(measure.title, room, 13)


def _block(
    study: Study, measure: Measure, rows: Sequence[Paired], sides: tuple[float, float], top: float, narrow: bool
) -> list[Svg]:
    left, right = sides
    ends = [0.0, *(row["low"] for row in rows), *(row["high"] for row in rows)]
    scale = Scale(*span(ends, least=measure.least), left, right)
    bottom = top + TITLE + ROW * len(rows)
    parts: list[Svg] = []
    for tick in ticks(scale.low, scale.high, 4 if narrow else 6):
        parts.append(line(scale(tick), top + TITLE - 6, scale(tick), bottom, "grid"))
        parts.append(text(scale(tick), bottom + 16, measure.step(tick), "tick", "middle"))
    parts.append(line(scale(0), top + TITLE - 10, scale(0), bottom, "zero"))
    worse, better = ("← worse", "better →") if measure.goal == "maximize" else ("← better", "worse →")
    if scale(0) - left > ROOM:
        parts.append(text(scale(0) - 8, top + 20, worse, "tick", "end"))
    if right - scale(0) > ROOM:
        parts.append(text(scale(0) + 8, top + 20, better, "tick"))
    titles = {merge.name: merge for merge in merges_of(study, {row["a"] for row in rows} | {row["b"] for row in rows})}
    for index, row in enumerate(rows):
        y = top + TITLE + ROW * (index + 0.5)
        a, b = titles[row["a"]], titles[row["b"]]
        words = f"{a.title} {'−' if narrow else 'minus'} {b.title.lower() if b.name != b.title else b.title}"
        numbers = f"{measure.delta(row['low'])} to {measure.delta(row['high'])}"
        tip = f"{words}\n{measure.title}: {measure.delta(row['difference'])} {measure.points}\n95 % interval {numbers}"
        shown = f"− {b.title}" if narrow and a.name == WINNER else words
        sure = "sure" if row["low"] > 0 or row["high"] < 0 else "unsure"
        parts.append(text(0, y + 4, clipped(shown, left - 10), "row"))
        mark = lying(y, scale, row["low"], row["difference"], row["high"], mark=f"{b.mark} {sure}", tip=tip)
        parts.append(mark)
        if not narrow:
            parts.append(text(right + 14, y + 4, measure.delta(row["difference"]), "row number"))
            parts.append(text(right + 68, y + 4, f"[{numbers}]", "tick"))
    return [el("g", *parts)]
