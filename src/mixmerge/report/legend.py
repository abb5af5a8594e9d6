"""What the marks in a study's charts of ratios mean, in words beside a swatch. Knows no HTML and draws nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mixmerge.report.charts.ratio import has_band
from mixmerge.report.reading import measures_of, merges_of, score_of, scored
from mixmerge.report.schema import BASE, EQUAL, WINNER, Study, Trial


@dataclass(frozen=True, slots=True)
class Entry:
    """A swatch, as CSS classes, and what it stands for."""

    swatch: str
    words: str


def legend_of(study: Study, *, pair: bool, places: bool) -> list[Entry]:
    """The legend. pair: of two sources with one ratio a draw; places: the winner has a place in a chart of ratios."""
    scored_by = Entry("heatscale", "a draw, from the worst score to the best")
    draw = Entry("blend", "a draw, coloured by λ") if pair else scored_by
    won = [Entry("ringed", "the winner")] if places and study["winner"] is not None else []
    return [draw, *won, *(_of_pair(study) if pair else ())]


def _of_pair(study: Study) -> Iterator[Entry]:
    """What only the chart against the ratio draws."""
    if any(trial["state"] == "pruned" for trial in study["trials"]):
        yield Entry("hollow", "a draw dropped early, over the items it answered")
    if any(_has_interval(study, trial) for trial in scored(study)):
        yield Entry("upright", "the 95 % interval of a draw")
    if any(trial["state"] == "failed" and trial["ratio"] for trial in study["trials"]):
        yield Entry("upright failed", "a ratio that failed")
    for merge in merges_of(study, {*study["test"], *study.get("baselines", {})} - {WINNER}):
        yield Entry(merge.mark, f"{merge.title}, dashed" if merge.name == BASE else merge.title)
        if merge.name == EQUAL and has_band(study):
            yield Entry("banded", "its 95 % interval")


def _has_interval(study: Study, trial: Trial) -> bool:
    scores = (score_of(trial, measure) for measure in measures_of(study))
    return any(score is not None and "low" in score and "high" in score for score in scores)
