"""How much of the winner is luck: all draws on a line, their mean and spread, the winner chosen and proved."""

from __future__ import annotations

from mixmerge.report.charts.marks import NARROW_BELOW, dot, grid_columns, interval_words, lying, mixed
from mixmerge.report.reading import Measure, complete, measures_of, one_ratio, score_of, scored, signless
from mixmerge.report.schema import WINNER, Study
from mixmerge.report.svg import Scale, Svg, clipped, el, line, picture, span, text

ROW, HEAD, FOOT = 30.0, 26.0, 34.0
ROWS = ("draws", "mean ± sd", "equal, test", "winner, test")


def luck_chart(study: Study, width: float) -> Svg | None:
    """The drawing; None before the first complete draw."""
    if not complete(study):
        return None
    left, right = (86.0 if width < NARROW_BELOW else 130.0, width - 14)
    parts: list[Svg] = []
    top = 0.0
    for measure in measures_of(study):
        rows = _rows(study, measure)
        parts.append(el("g", *_block(study, measure, rows, Scale(0, 1, left, right), top)))
        top += HEAD + ROW * len(rows) + FOOT
    label = "Draws on validation, their mean and spread, and the winner on test"
    return picture(width, top, label, *parts, class_="chart luck-chart")


def _rows(study: Study, measure: Measure) -> list[str]:
    wanted = {
        "draws": True,
        "mean ± sd": measure.name in study["spread"] and study["spread"][measure.name]["n"] > 1,
        "equal, test": measure.name in study["test"].get("equal", {}),
        "winner, test": measure.name in study["test"].get(WINNER, {}),
    }
    return [row for row in ROWS if wanted[row]]


def _block(study: Study, measure: Measure, rows: list[str], sides: Scale, top: float) -> list[Svg]:
    values = [score["mean"] for trial in scored(study) if (score := score_of(trial, measure)) is not None]
    if (found := study["spread"].get(measure.name)) is not None:
        values += [found["mean"] - found["sd"], found["mean"] + found["sd"]]
    for name in ("equal", WINNER):
        tested = study["test"].get(name, {}).get(measure.name)
        values += [tested["low"], tested["high"]] if tested is not None else []
    scale = Scale(*span(values, least=measure.least, pad=0.05), sides.start, sides.end)
    first = top + HEAD
    parts = [text(0, top + 14, clipped(measure.title, sides.end, 13), "title")]
    parts += grid_columns(scale, first, first + ROW * len(rows), measure)
    for index, row in enumerate(rows):
        y = first + ROW * (index + 0.5)
        parts.append(text(0, y + 4, row, "row"))
        parts += _row(study, measure, row, scale, y)
    winner = next((trial for trial in complete(study) if trial["number"] == study["winner"]), None)
    chosen = score_of(winner, measure) if winner else None
    if chosen is not None:
        x = scale(chosen["mean"])
        parts.insert(1, line(x, first + ROW / 2, x, first + ROW * (len(rows) - 0.5), "guide"))
    return parts


def _row(study: Study, measure: Measure, row: str, scale: Scale, y: float) -> list[Svg]:
    if row == "draws":
        return _draws(study, measure, scale, y)
    if row == "mean ± sd":
        spread = study["spread"][measure.name]
        low, high = spread["mean"] - spread["sd"], spread["mean"] + spread["sd"]
        sd = signless(measure.delta(spread["sd"])).lstrip("+")
        tip = f"{measure.title}: {measure.show(spread['mean'])} ± {sd} over {spread['n']} draws (validation)"
        box = el("rect", x=scale.inside(low), y=y - 6, width=scale.inside(high) - scale.inside(low), height=12.0)
        bar = line(scale(spread["mean"]), y - 9, scale(spread["mean"]), y + 9, "bar")
        return [el("g", box, bar, class_="spread", data_tip=tip)]
    name = WINNER if row.startswith(WINNER) else "equal"
    score = study["test"][name][measure.name]
    tip = f"{row}\n{measure.title}: " + interval_words(measure, score["mean"], score["low"], score["high"], score["n"])
    return [lying(y, scale, score["low"], score["mean"], score["high"], mark=f"m-{name}", tip=tip)]


def _draws(study: Study, measure: Measure, scale: Scale, y: float) -> list[Svg]:
    parts: list[Svg] = []
    last: list[Svg] = []
    pair = one_ratio(study) and len(study["law"]["sources"]) == 2
    for trial in scored(study):
        score = score_of(trial, measure)
        if score is None:
            continue
        share = trial["ratio"][0] if pair and trial["ratio"] else 0.5
        mark = dot(study, trial, scale(score["mean"]), y, style=mixed(share), shade="mix" if pair else "lone")
        (last if trial["number"] == study["winner"] else parts).append(mark)
    return parts + last
