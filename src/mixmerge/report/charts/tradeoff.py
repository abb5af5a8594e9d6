"""What one task costs the other: every draw by its scores on two tasks, and those that no other draw beats on both."""

from __future__ import annotations

from itertools import combinations

from mixmerge.report.charts.marks import dot, grid_columns, grid_rows, interval_words, mixed, ranked
from mixmerge.report.reading import (
    Measure,
    Merge,
    complete,
    front,
    merges_of,
    objective_of,
    one_ratio,
    score_of,
    tasks_of,
)
from mixmerge.report.schema import WINNER, Score, Study, Trial
from mixmerge.report.svg import Scale, Svg, clipped, el, path, picture, span, text

MOST = 6
"""Pairs of tasks drawn; more would be a wall."""


def tradeoff_charts(study: Study, width: float) -> list[Svg]:
    """A drawing for each pair of tasks, the first `MOST`; none with a single task or before the first draw."""
    pairs = list(combinations(tasks_of(study), 2))[:MOST]
    return [_chart(study, x, y, width) for x, y in pairs] if complete(study) else []


def _chart(study: Study, across: Measure, up: Measure, width: float) -> Svg:
    height = min(width * 0.86, 400)
    left, bottom = 46.0, height - 46
    scored = {trial["number"]: pair for trial in complete(study) if (pair := _pair(trial, across, up)) is not None}
    others = _others(study, across, up)
    means = [*scored.values(), *((a["mean"], b["mean"]) for _, a, b in others)]
    x = Scale(*span([pair[0] for pair in means], least=across.least), left, width - 12)
    y = Scale(*span([pair[1] for pair in means], least=up.least), bottom, 26)
    parts = [*grid_columns(x, 26, bottom, across), *grid_rows(y, left, width - 12, up)]
    parts.append(text(left - 38, 14, clipped(f"↑ {up.title}", width / 2), "title"))
    parts.append(text(width - 12, height - 6, clipped(f"{across.title} →", width / 2), "title", "end"))
    best = front(scored, (across.goal, up.goal))
    if len(best) > 1:
        parts.append(path([(x(scored[key][0]), y(scored[key][1])) for key in best], "front"))
    parts += [_baseline(merge, a, b, across, up, (x, y)) for merge, a, b in others]
    parts += _dots(study, scored, (x, y))
    label = f"{up.title} against {across.title}, every draw on validation"
    return picture(width, height, label, *parts, class_="chart tradeoff-chart")


def _pair(trial: Trial, across: Measure, up: Measure) -> tuple[float, float] | None:
    a, b = score_of(trial, across), score_of(trial, up)
    return None if a is None or b is None else (a["mean"], b["mean"])


def _others(study: Study, across: Measure, up: Measure) -> list[tuple[Merge, Score, Score]]:
    """Baselines with both scores, on validation; draws are not compared with test scores here."""
    table = study.get("baselines", {})
    found = []
    for merge in merges_of(study, table.keys() - {WINNER}):
        a, b = table[merge.name].get(across.name), table[merge.name].get(up.name)
        if a is not None and b is not None:
            found.append((merge, a, b))
    return found


def _baseline(merge: Merge, a: Score, b: Score, across: Measure, up: Measure, scales: tuple[Scale, Scale]) -> Svg:
    x, y = scales[0](a["mean"]), scales[1](b["mean"])
    words = (
        f"{measure.title}: {interval_words(measure, s['mean'], None, None, s['n'])}"
        for measure, s in ((across, a), (up, b))
    )
    side = "end" if x > (scales[0].start + scales[0].end) / 2 else "start"
    return el(
        "g",
        path([(x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5)], "rhomb", closed=True),
        text(x + (-9 if side == "end" else 9), y + 4, clipped(merge.title, 110), "label", side),
        class_=f"baseline {merge.mark}",
        data_tip="\n".join((f"{merge.title}, validation", *words)),
    )


def _dots(study: Study, scored: dict[int, tuple[float, float]], scales: tuple[Scale, Scale]) -> list[Svg]:
    parts: list[Svg] = []
    last: list[Svg] = []
    trials = [trial for trial in complete(study) if trial["number"] in scored]
    pair = one_ratio(study) and len(study["law"]["sources"]) == 2
    places = ranked([trial["objective"] or 0.0 for trial in trials], Measure("", "", objective_of(study).unit))
    for trial, place in zip(trials, places, strict=True):
        at = trial["ratio"][0] if pair and trial["ratio"] else place
        x, y = scored[trial["number"]]
        shade = "mix" if pair else "heat"
        mark = dot(study, trial, scales[0](x), scales[1](y), style=mixed(at), shade=shade)
        (last if trial["number"] == study["winner"] else parts).append(mark)
    return parts + last
