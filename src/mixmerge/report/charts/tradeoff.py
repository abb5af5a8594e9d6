"""What one task costs the other: every draw by its scores on two tasks, and those that no other draw beats on both."""

from __future__ import annotations

from itertools import combinations

from mixmerge.report.charts.labels import Box, Room, along, around
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

DOT, RING, DIAMOND = 5.5, 11.0, 6.5  # how far a mark reaches, with a little air


def tradeoff_charts(study: Study, width: float) -> list[Svg]:
    """A drawing for each pair of tasks, the first `MOST`; none with a single task or before the first draw."""
    pairs = list(combinations(tasks_of(study), 2))[:MOST]
    return [_chart(study, x, y, width) for x, y in pairs] if complete(study) else []


def _chart(study: Study, across: Measure, up: Measure, width: float) -> Svg:
    height = min(width * 0.86, 430)
    left, bottom = 46.0, height - 46
    scored = {trial["number"]: pair for trial in complete(study) if (pair := _pair(trial, across, up)) is not None}
    others = _others(study, across, up)
    means = [*scored.values(), *((a["mean"], b["mean"]) for _, a, b in others)]
    x = Scale(*span([pair[0] for pair in means], least=across.least), left, width - 12)
    y = Scale(*span([pair[1] for pair in means], least=up.least), bottom, 26)
    parts = [*grid_columns(x, 26, bottom, across), *grid_rows(y, left, width - 12, up)]
    title = clipped(f"↑ {up.title}", width / 2)
    parts.append(text(left - 38, 14, title, "title"))
    parts.append(text(width - 12, height - 6, clipped(f"{across.title} →", width / 2), "title", "end"))
    best = front(scored, (across.goal, up.goal))
    joined = [(x(scored[key][0]), y(scored[key][1])) for key in best]
    if len(best) > 1:
        parts.append(path(joined, "front"))
    room = Room(Box(left, 2, width - 12, bottom), along(joined, 0.6))
    room.taken.append(Box(left - 38, 0, left - 38 + 8 * len(title), 19, 3.0))
    for number, pair in scored.items():
        won = number == study["winner"]
        room.taken.append(around((x(pair[0]), y(pair[1])), RING if won else DOT, 3.0 if won else 1.0))
    room.taken += [around((x(a["mean"]), y(b["mean"])), DIAMOND, 2.0) for _, a, b in others]
    marks = [
        _baseline(merge, (x(a["mean"]), y(b["mean"])), _words(merge, ((across, a), (up, b))), room)
        for merge, a, b in others
    ]
    parts += [*_dots(study, scored, (x, y)), *marks]
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


def _baseline(merge: Merge, at: tuple[float, float], tip: str, room: Room) -> Svg:
    """A diamond with its name where it hides the least."""
    x, y = at
    name = clipped(merge.title, 110)
    where = room.place(name, at)
    return el(
        "g",
        path([(x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5)], "rhomb", closed=True),
        text(where[0], where[1], name, "label halo", where[2]),
        class_=f"baseline {merge.mark}",
        data_tip=tip,
    )


def _words(merge: Merge, pairs: tuple[tuple[Measure, Score], ...]) -> str:
    lines = (f"{measure.title}: {interval_words(measure, s['mean'], None, None, s['n'])}" for measure, s in pairs)
    return "\n".join((f"{merge.title}, validation", *lines))


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
