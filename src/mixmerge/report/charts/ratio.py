"""Score against the ratio of two sources: a panel a measure, the ratio law and the drawn points beneath.

Left, every draw on the validation items, with the baselines as lines. Right, on the same scale, the test scores with
their intervals. All panels share the axis of lambda, the first source's share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mixmerge.report.advice import log_density
from mixmerge.report.charts.marks import NARROW_BELOW, dot, grid_rows, interval_words, mixed, upright
from mixmerge.report.reading import Measure, Merge, law_varied, measures_of, merges_of, score_of, scored
from mixmerge.report.schema import BASE, EQUAL, WINNER, Score, Study, Trial
from mixmerge.report.svg import Scale, Svg, clipped, el, line, path, picture, span, text

ROOM_FOR_BASE = 1.7  # a base model so far off that the rest would lie flat is shown as an arrow
PANEL, NARROW_PANEL, GAP, DENSITY, HEAD = 168, 136, 44, 62, 26


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things are: the left part from `left` to `right`, test columns from `tests` on, `step` apart."""

    width: float
    left: float
    right: float
    tests: float
    step: float
    panel: float
    share: Scale


def ratio_chart(study: Study, width: float) -> Svg:
    """The drawing, for two sources with one ratio a trial."""
    measures = measures_of(study)
    tested = merges_of(study, study["test"])
    frame = _frame(width, len(tested))
    top, parts = float(HEAD), [_heading(frame, bool(tested))]
    for measure in measures:
        parts += _panel(study, measure, frame, tested, top + 20)
        top += 20 + frame.panel + GAP - 20
    top += 6
    parts += _density(study, frame, top)
    parts += _guides(study, frame, HEAD + 20, top + DENSITY)
    parts += _column_names(frame, tested, top)
    first, second = study["law"]["sources"]
    label = f"Score of every draw against the share of {first} (the rest is {second}), with the test scores beside it"
    return picture(width, top + DENSITY + 62, label, *parts, class_="chart ratio-chart")


def has_band(study: Study) -> bool:
    """Whether the equal ratio is drawn with its interval."""
    scores = _table(study).get(EQUAL, {})
    known = (scores.get(measure.name) for measure in measures_of(study))
    return any(score is not None and "low" in score and "high" in score for score in known)


def _table(study: Study) -> Mapping[str, Mapping[str, Score]]:
    """Where the lines come from: the validation split where merges were scored there, else the test split."""
    return cast("Mapping[str, Mapping[str, Score]]", study.get("baselines") or study["test"])


def _frame(width: float, tested: int) -> _Frame:
    narrow = width < NARROW_BELOW
    left, step = (36.0, 18.0) if narrow else (52.0, 38.0)
    beside = tested * step + (14 if narrow else 34) if tested else 12.0
    right = width - beside
    panel = NARROW_PANEL if narrow else PANEL
    tests = right + beside - tested * step
    return _Frame(width, left, right, tests, step, panel, Scale(0, 1, left + 12, right - 12))


def _heading(frame: _Frame, tested: bool) -> Svg:
    parts = [text(frame.left, 14, "Validation: a dot a draw", "eyebrow")]
    if tested:
        parts.append(text(frame.width - 2, 14, "Test, 95 %", "eyebrow", "end"))
    return el("g", *parts)


def _panel(study: Study, measure: Measure, frame: _Frame, tested: Sequence[Merge], top: float) -> list[Svg]:
    trials = [trial for trial in scored(study) if score_of(trial, measure) is not None and trial["ratio"]]
    scale = Scale(*_bounds(study, measure, trials), top + frame.panel, top)
    parts = [text(frame.left, top - 8, clipped(measure.title, frame.right - frame.left, 13), "title")]
    if tested:
        parts.append(
            el("rect", x=frame.tests - 4, y=top, width=frame.width - frame.tests + 4, height=frame.panel, class_="pane")
        )
    parts += grid_rows(scale, frame.left, frame.width if tested else frame.right, measure)
    parts += _baselines(study, measure, frame, scale)
    parts += _dots(study, measure, frame, scale, trials)
    for index, merge in enumerate(tested):
        score = study["test"][merge.name].get(measure.name)
        if score is not None:
            words = interval_words(measure, score["mean"], score["low"], score["high"], score["n"])
            x = frame.tests + (index + 0.5) * frame.step
            tip = f"{merge.title}, test\n{measure.title}: {words}"
            if scale.low <= score["mean"] <= scale.high:
                parts.append(upright(x, scale, score["low"], score["mean"], score["high"], mark=merge.mark, tip=tip))
            else:
                parts.append(_away(x, scale, score["mean"], mark=merge.mark, tip=tip))
    return parts


def _bounds(study: Study, measure: Measure, trials: Sequence[Trial]) -> tuple[float, float]:
    values = [score["mean"] for trial in trials if (score := score_of(trial, measure)) is not None]
    base: list[float] = []
    for table in (study["test"], study.get("baselines", {})):
        for merge, scores in cast("Mapping[str, Mapping[str, Score]]", table).items():
            known = scores.get(measure.name)
            if known is not None:
                ends = [known["mean"], known.get("low", known["mean"]), known.get("high", known["mean"])]
                (base if merge == BASE else values).extend(ends)
    near = span(values, least=measure.least)
    whole = span([*values, *base], least=measure.least)
    return whole if whole[1] - whole[0] < ROOM_FOR_BASE * (near[1] - near[0]) else near


def _away(x: float, scale: Scale, value: float, *, mark: str, tip: str) -> Svg:
    """An arrow to what lies beyond the scale."""
    below = value < scale.low
    y, point = (scale.start - 8, 5.0) if below else (scale.end + 8, -5.0)
    arrow = path([(x - 5, y - point / 2), (x, y + point / 2), (x + 5, y - point / 2)], "away")
    catch = el("rect", x=x - 9, y=y - 9, width=18.0, height=18.0, class_="catch")
    return el("g", catch, arrow, class_=mark, data_tip=tip)


def _baselines(study: Study, measure: Measure, frame: _Frame, scale: Scale) -> list[Svg]:
    """Lines of what was not drawn, from the validation split where it was scored there, else from test."""
    table = _table(study)
    where = "validation" if study.get("baselines") else "test"
    parts: list[Svg] = []
    for merge in merges_of(study, table.keys() - {WINNER}):
        score = table[merge.name].get(measure.name)
        if score is None or not scale.low <= score["mean"] <= scale.high:
            continue
        low, high = score.get("low"), score.get("high")
        words = interval_words(measure, score["mean"], low, high, score["n"])
        tip = f"{merge.title}, {where}\n{measure.title}: {words}"
        inner = [line(frame.left, scale(score["mean"]), frame.right, scale(score["mean"]), "level")]
        if merge.name == EQUAL and low is not None and high is not None:
            height = scale(low) - scale(high)
            inner.insert(
                0, el("rect", x=frame.left, y=scale(high), width=frame.right - frame.left, height=height, class_="band")
            )
        parts.append(el("g", *inner, class_=f"baseline {merge.mark}", data_tip=tip))
    return parts


def _dots(study: Study, measure: Measure, frame: _Frame, scale: Scale, trials: Sequence[Trial]) -> list[Svg]:
    parts: list[Svg] = []
    winner: list[Svg] = []
    for trial in trials:
        score, ratio = score_of(trial, measure), trial["ratio"]
        assert score is not None
        assert ratio is not None
        x, low, high = frame.share(ratio[0]), score.get("low"), score.get("high")
        if low is not None and high is not None:
            ends = (scale.inside(low), scale.inside(high))
            parts.append(el("line", x1=x, x2=x, y1=ends[0], y2=ends[1], class_="stem mix", style=mixed(ratio[0])))
        mark = dot(study, trial, x, scale(score["mean"]), style=mixed(ratio[0]))
        (winner if trial["number"] == study["winner"] else parts).append(mark)
    return parts + winner


def _density(study: Study, frame: _Frame, top: float) -> list[Svg]:
    """The law as an area, the drawn ratios as strokes on the axis, and the axis."""
    alpha = study["law"]["alpha"]
    bottom, share = top + DENSITY, frame.share
    parts: list[Svg] = []
    if min(alpha) > 0 and not law_varied(study):
        steps = [0.0, *((1 - math.cos(math.pi * index / 120)) / 2 for index in range(1, 120)), 1.0]
        curve = [math.exp(log_density((x, 1 - x), alpha)) for x in steps]
        cap = max(
            math.exp(log_density((x, 1 - x), alpha))
            for x in (0.015, 0.5, 0.985, *(x for x in steps if 0.015 < x < 0.985))
        )
        height = Scale(0, cap, bottom, top + 8)
        points = [(share(x), height.inside(y)) for x, y in zip(steps, curve, strict=True)]
        parts.append(path([(share(0), bottom), *points, (share(1), bottom)], "law-area", closed=True))
        parts.append(path([point for point, y in zip(points, curve, strict=True) if y < cap], "law-line"))
        name = f"Beta({alpha[0]:g}, {alpha[1]:g})"
        won = next((trial["ratio"][0] for trial in study["trials"] if _won(study, trial) and trial["ratio"]), 0.0)
        beside = abs(won - 0.5) < 0.3  # the winner's line would cross it in the middle
        x, anchor = _beside_guide(frame, won) if beside else (share(0.5), "middle")
        parts.append(text(x, bottom - 26, name, "law-name", anchor))
    for trial in study["trials"]:
        if trial["ratio"]:
            x = share(trial["ratio"][0])
            failed = trial["state"] == "failed"
            kind = "rug failed" if failed else "rug mix"
            number = str(trial["number"])
            parts.append(
                el(
                    "line",
                    x1=x,
                    x2=x,
                    y1=bottom - 11,
                    y2=bottom,
                    class_=kind,
                    style=mixed(trial["ratio"][0]),
                    data_trial=number,
                    data_tip=f"trial {number} failed: {trial['error']}" if failed else None,
                )
            )
    return [*parts, *_axis(study, frame, bottom)]


def _axis(study: Study, frame: _Frame, bottom: float) -> list[Svg]:
    share, narrow = frame.share, frame.width < NARROW_BELOW
    first, second = study["law"]["sources"]
    pieces = 24
    parts: list[Svg] = []
    for index in range(pieces):
        x = share(index / pieces)
        width = share((index + 1) / pieces) - x + 0.4
        style = mixed((index + 0.5) / pieces)
        parts.append(el("rect", x=x, y=bottom, width=width, height=4.0, class_="mix", style=style))
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(text(share(tick), bottom + 19, f"{tick:g}", "tick", "middle"))
    room = (share(1) - share(0)) * (0.48 if narrow else 0.3)
    parts.append(text(share(0) - 6, bottom + 37, clipped(f"← {second}", room), "end s1"))
    parts.append(text(share(1) + 6, bottom + 37, clipped(f"{first} →", room), "end s0", "end"))
    where = bottom + (55 if narrow else 37)
    parts.append(text((share(0) + share(1)) / 2, where, clipped(f"λ, the share of {first}", 240), "axis", "middle"))
    return parts


def _guides(study: Study, frame: _Frame, top: float, bottom: float) -> list[Svg]:
    """Where the winner stands, through all panels."""
    for trial in study["trials"]:
        if _won(study, trial) and trial["ratio"]:
            x = frame.share(trial["ratio"][0])
            words = f"winner λ = {trial['ratio'][0]:.3f}"
            beside, anchor = _beside_guide(frame, trial["ratio"][0])
            return [
                line(x, top, x, bottom, "guide"),
                text(beside, bottom - DENSITY + 2, words, "guide-name", anchor),
            ]
    return []


def _beside_guide(frame: _Frame, won: float) -> tuple[float, str]:
    """Where words begin or end beside the winner's line, on the side that has more room."""
    return (frame.share(won) - 7, "end") if won > 0.5 else (frame.share(won) + 7, "start")


def _won(study: Study, trial: Trial) -> bool:
    return trial["number"] == study["winner"]


def _column_names(frame: _Frame, tested: Sequence[Merge], top: float) -> list[Svg]:
    return [
        text(
            frame.tests + (index + 0.5) * frame.step + 4,
            top - 12,
            clipped(merge.title, DENSITY + 60),
            f"column {merge.mark}",
            "end",
            turn=-90,
        )
        for index, merge in enumerate(tested)
    ]
