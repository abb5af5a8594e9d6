"""What the templates show: tables as rows of ready text, charts in two widths. Knows no HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixmerge.report import wording
from mixmerge.report.advice import GRID
from mixmerge.report.charts import (
    density_spark,
    forest_chart,
    interval_cell,
    luck_chart,
    parallel_chart,
    ratio_chart,
    ternary_chart,
    tradeoff_charts,
)
from mixmerge.report.charts.parallel import axes_left_out
from mixmerge.report.check import compared
from mixmerge.report.legend import Entry, legend_of
from mixmerge.report.reading import (
    COLOURS,
    Measure,
    Merge,
    coloured,
    describe,
    groups_of,
    law_varied,
    measures_of,
    merges_of,
    objective_of,
    one_ratio,
    score_of,
    scored,
    shown,
    signless,
    source_mark,
    varying,
    winner_of,
)
from mixmerge.report.schema import EQUAL, WINNER, Interval, Study, Trial
from mixmerge.report.svg import Svg, span

WIDE, NARROW = 920.0, 360.0
HALF, MOST = 450.0, 760.0  # two charts beside each other on a wide page, and one alone


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart in the two widths a page needs."""

    wide: Svg
    narrow: Svg


@dataclass(frozen=True, slots=True)
class ResultCell:
    """A test score in the result table. best: no other in its column is higher (lower, where that is better)."""

    value: str
    interval: str
    n: int
    chart: Svg
    best: bool


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A merge in the result table; a cell a measure, None where it was not tested."""

    merge: Merge
    cells: list[ResultCell | None]


@dataclass(frozen=True, slots=True)
class Share:
    """A source's part of a ratio."""

    label: str
    share: float
    mark: str


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial in the table; sort keys beside what is shown."""

    number: int
    about: str
    state: str
    won: bool
    groups: list[tuple[str, list[Share]]]
    first: float | None
    parameters: list[str]
    scores: list[tuple[str, float | None]]
    seconds: str
    sort_seconds: float | None
    seed: int
    error: str | None


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """An alpha and what it would have drawn."""

    alpha: str
    spark: Svg
    ess: str
    mean: str
    gain: str
    best: str
    enough: bool
    used: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """A number worth seeing first."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class StudyView:
    """One study's part of the page."""

    key: str
    palette: str
    study: Study
    badge: str
    headline: str
    further: str
    how: str
    also_drawn: str
    law: str
    law_varied: bool
    legend: list[Entry]
    pruned: bool
    pair: bool
    triple: bool
    ratio: list[tuple[str, list[Share]]]
    tiles: dict[str, Tile]
    measures: list[Measure]
    results: list[ResultRow]
    task_lines: list[str]
    weights: str
    forest: Drawing | None
    explored: Drawing | None
    parallel: Drawing | None
    left_out: int
    shares_of: str
    tradeoffs: list[Drawing]
    luck: Drawing | None
    spread: str
    optimism: list[str]
    advice: str
    advice_rows: list[AdviceRow]
    advised: int
    trial_measures: list[Measure]
    trial_parameters: list[str]
    trials: list[TrialRow]
    costs: list[tuple[str, str]]


def study_views(studies: Sequence[Study]) -> list[StudyView]:
    """What the page shows of each study. A source keeps its colour through all of them."""
    labels = list(dict.fromkeys(label for study in studies for label in coloured(study)))
    return [
        study_view(study, f"study-{index + 1}", [labels.index(label) for label in coloured(study)])
        for index, study in enumerate(studies)
    ]


def study_view(study: Study, key: str, colours: Sequence[int]) -> StudyView:
    """Everything the page shows of a study. colours: of its sources, as numbers in the page's palette."""
    headline, further = wording.headline(study["verdict"]["sentence"])
    sources = len(study["law"]["sources"])
    single = one_ratio(study)
    pair, triple = single and sources == 2, single and sources == 3
    chart = ratio_chart if pair else ternary_chart if triple else None
    threads = bool(varying(study)) or not (pair or triple)
    won = winner_of(study)
    estimates = wording.advice_of(study)
    drawn = bool(scored(study))
    return StudyView(
        key=key,
        palette=";".join(f"--s{i % COLOURS}:var(--c{c % COLOURS})" for i, c in enumerate(colours)),
        study=study,
        badge=wording.badge(study),
        headline=headline,
        further=further,
        how=wording.how_drawn(study),
        also_drawn=wording.also_drawn(study),
        law=wording.law_name(study),
        law_varied=law_varied(study),
        legend=legend_of(study, pair=pair, places=bool(chart) and drawn),
        pruned=any(trial["state"] == "pruned" for trial in study["trials"]),
        pair=pair,
        triple=triple,
        ratio=[] if won is None else _shares(study, won),
        tiles=_tiles(study),
        measures=tested(study),
        results=results_of(study),
        task_lines=[wording.task_line(name, task) for name, task in study["tasks"].items()],
        weights=wording.weights_sentence(study),
        forest=both_widths(lambda width: forest_chart(study, width)),
        explored=both_widths(lambda width: chart(study, width)) if chart and drawn else None,
        parallel=both_widths(lambda width: parallel_chart(study, width)) if threads else None,
        left_out=axes_left_out(study) if threads else 0,
        shares_of=study["law"]["sources"][0] if sources == 2 and not single else "",
        tradeoffs=_tradeoffs(study),
        luck=both_widths(lambda width: luck_chart(study, width)),
        spread=wording.spread_sentence(study),
        optimism=_optimism(study),
        advice=wording.advice_sentence(study, estimates),
        advice_rows=_advice_rows(study),
        advised=len(wording.draws_of(study)),
        trial_measures=measures_of(study),
        trial_parameters=varying(study),
        trials=[_trial_row(study, trial) for trial in study["trials"]],
        costs=cost_rows(study),
    )


def both_widths(draw: Callable[[float], Svg | None]) -> Drawing | None:
    """A chart for wide and narrow pages; None where there is nothing to draw."""
    wide, narrow = draw(WIDE), draw(NARROW)
    return None if wide is None or narrow is None else Drawing(wide, narrow)


def _tradeoffs(study: Study) -> list[Drawing]:
    alone = len(study["tasks"]) == 2
    wide, narrow = tradeoff_charts(study, MOST if alone else HALF), tradeoff_charts(study, NARROW)
    return [Drawing(*pair) for pair in zip(wide, narrow, strict=True)]


def _shares(study: Study, trial: Trial) -> list[tuple[str, list[Share]]]:
    labels = study["law"]["sources"]
    return [
        (group, [Share(label, part, source_mark(i)) for i, (label, part) in enumerate(zip(labels, parts, strict=True))])
        for group, parts in groups_of(trial).items()
    ]


def _tiles(study: Study) -> dict[str, Tile]:
    measure = objective_of(study)
    tiles = []
    for name, title in ((WINNER, "Winner, test"), (EQUAL, "Equal ratio, test")):
        score = study["test"].get(name, {}).get(measure.name)
        if score is not None:
            interval = f"{measure.number(score['low'])} to {measure.number(score['high'])}"
            tiles.append(Tile(title, measure.show(score["mean"]), f"95 % interval {interval}"))
    difference = compared(study, WINNER, EQUAL)
    if difference is not None:
        middle, low, high = difference
        interval = f"95 % interval {measure.delta(low)} to {measure.delta(high)}"
        tiles.append(Tile("Winner minus equal", wording.with_points(measure, middle), interval))
    costs = study["costs"]
    seconds = costs.get("wall_seconds", costs["merge_seconds"] + costs["evaluate_seconds"])
    tiles.append(Tile("Cost", wording.duration(seconds), wording.plural(costs["draws"], "draw")))
    return {tile.name: tile for tile in tiles}


def tested(study: Study) -> list[Measure]:
    """Measures with a test score."""
    return [
        measure for measure in measures_of(study) if any(measure.name in scores for scores in study["test"].values())
    ]


def results_of(study: Study) -> list[ResultRow]:
    """The result table: a row a merge, a cell for each of `tested`."""
    merges = merges_of(study, study["test"])
    columns = [_result_column(measure, study, merges) for measure in tested(study)]
    return [ResultRow(merge, [column[index] for column in columns]) for index, merge in enumerate(merges)]


def _result_column(measure: Measure, study: Study, merges: Sequence[Merge]) -> list[ResultCell | None]:
    scores: list[Interval | None] = [study["test"][merge.name].get(measure.name) for merge in merges]
    known = [score for score in scores if score is not None]
    bounds = span([end for score in known for end in (score["low"], score["high"])], least=measure.least, pad=0.02)
    top = max(known, key=lambda score: score["mean"] if measure.goal == "maximize" else -score["mean"])["mean"]
    return [
        None
        if score is None
        else ResultCell(
            measure.show(score["mean"]),
            f"{measure.number(score['low'])} to {measure.number(score['high'])}",
            score["n"],
            interval_cell(score, bounds, merge.mark),
            score["mean"] == top,
        )
        for merge, score in zip(merges, scores, strict=True)
    ]


def _optimism(study: Study) -> list[str]:
    draws = len(scored(study))  # those dropped early might have been chosen too
    sentences = []
    for measure in measures_of(study):
        optimism = study["optimism"].get(measure.name)
        if optimism is not None and measure.name == objective_of(study).name:
            sentences.append(wording.optimism_sentence(measure, optimism, draws))
        elif optimism is not None:
            drop = wording.with_points(measure, -optimism["difference"])
            numbers = f"{measure.show(optimism['validation'])} on validation, {measure.show(optimism['test'])} on test"
            sentences.append(f"{measure.title}: {numbers} ({drop}).")
    return sentences


def _advice_rows(study: Study) -> list[AdviceRow]:
    measure = objective_of(study)
    used = set() if law_varied(study) else set(study["law"]["alpha"])
    return [
        AdviceRow(
            alpha=f"{item.alpha:g}",
            spark=density_spark(item.alpha),
            ess=f"{item.ess:.1f}",
            mean=measure.show(item.mean),
            gain="–" if used == {item.alpha} else f"{measure.delta(item.gain)} ± {_sd(measure, 2 * item.error)}",
            best=measure.show(item.best),
            enough=item.enough,
            used=used == {item.alpha},
        )
        for item in wording.advice_of(study)
        if item.alpha in GRID
    ]


def _trial_row(study: Study, trial: Trial) -> TrialRow:
    scores: list[tuple[str, float | None]] = []
    for measure in measures_of(study):
        score = score_of(trial, measure)
        scores.append(("–", None) if score is None else (measure.number(score["mean"]), score["mean"]))
    seconds = trial["seconds"]
    total = None if seconds is None else seconds["merge"] + seconds["evaluate"]
    groups = _shares(study, trial)
    return TrialRow(
        number=trial["number"],
        about=describe(study, trial),
        state=trial["state"],
        won=trial["number"] == study["winner"],
        groups=groups,
        first=groups[0][1][0].share if len(groups) == 1 else None,
        parameters=[shown(trial["parameters"].get(name)) for name in varying(study)],
        scores=scores,
        seconds="–" if total is None else wording.duration(total),
        sort_seconds=total,
        seed=trial["seed"],
        error=trial["error"],
    )


def cost_rows(study: Study) -> list[tuple[str, str]]:
    """What the study took."""
    costs = study["costs"]
    rows = [
        ("merging", wording.duration(costs["merge_seconds"])),
        ("evaluating", wording.duration(costs["evaluate_seconds"])),
    ]
    if "wall_seconds" in costs:
        rows.append(("from start to end", wording.duration(costs["wall_seconds"])))
    rows += [("draws", f"{costs['draws']:,}"), ("item evaluations", f"{costs['items']:,}")]
    if costs["items_saved"]:
        share = costs["items_saved"] / (costs["items"] + costs["items_saved"])
        rows.append(("spared by racing", f"{costs['items_saved']:,} ({100 * share:.0f} %)"))
    return rows


def _sd(measure: Measure, value: float) -> str:
    return signless(measure.delta(value)).lstrip("+")
