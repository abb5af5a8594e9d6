"""report.md: the numbers of a report as text to paste. Names and errors are escaped, so they stay text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mixmerge.errors import legible
from mixmerge.report import wording
from mixmerge.report.check import studies_of, validate
from mixmerge.report.grids import GridCell, grid_view
from mixmerge.report.panels import Panel, panels_of
from mixmerge.report.reading import Measure, groups_of, measures_of, score_of, shown, varying, winner_of
from mixmerge.report.schema import Grid, Study, Trial, Value
from mixmerge.report.views import ResultRow, StudyView, cost_rows, study_views

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
_LONGEST_ERROR = 200


def markdown(summary: Mapping[str, Any]) -> str:
    """The report as Markdown. Raises ReportError where it breaks the schema."""
    validate(summary)
    studies = studies_of(summary)
    many = "studies" in summary
    parts: list[str] = []
    if many:
        parts += [f"# {escaped(summary['title'])}", escaped(summary.get("intro", ""))]
        parts += [f"> {escaped(note)}" for note in summary.get("notes", [])]
        parts += [_grid(grid) for grid in summary.get("grids", [])]
    for study, view in zip(studies, study_views(studies), strict=True):
        parts += _study(study, view, "##" if many else "#")
    parts += [_environment(summary["environment"], summary.get("created", ""))]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(words: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", legible(" ".join(words.split())))


def _study(study: Study, view: StudyView, head: str) -> list[str]:
    return [
        f"{head} {escaped(study['name'])}",
        f"**{escaped(study['verdict']['sentence'])}**",
        escaped(wording.comparison(study)),
        escaped(f"{view.how} Study seed {study['seed']}."),
        *(f"> {escaped(note)}" for note in study.get("notes", [])),
        _ratio(study),
        escaped(view.also_drawn),
        *_section(f"{head}# Scores on test items, with 95 % intervals", _merges(view.measures, view.results)),
        *(part for panel in panels_of(study) for part in _panel(panel, f"{head}#")),
        *_section(f"{head}# Luck", escaped(" ".join([view.spread, *view.optimism]).strip())),
        *_section(f"{head}# Another α", escaped(view.advice)),
        *(_grid(grid) for grid in study.get("grids", [])),
        *_section(f"{head}# Every draw (validation)", _trials(study)),
        *_section(f"{head}# Rebuild the winner", _rebuild(study)),
        *_section(f"{head}# Cost", table(["", ""], [list(row) for row in cost_rows(study)])),
    ]


def _section(title: str, body: str) -> list[str]:
    return [title, body] if body else []


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table of escaped cells."""
    lines = ["| " + " | ".join(map(escaped, head)) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(escaped, row)) + " |" for row in rows]
    return "\n".join(lines)


def _ratio(study: Study) -> str:
    won = winner_of(study)
    if won is None:
        return ""
    sources = study["law"]["sources"]
    rows = [[group, *(f"{part:.6f}" for part in parts)] for group, parts in groups_of(won).items()]
    if len(rows) == 1:
        shares = ", ".join(f"{part} {label}" for part, label in zip(rows[0][1:], sources, strict=True))
        return escaped(f"Winning ratio (trial {won['number']}): {shares}.")
    return escaped(f"Winning ratios (trial {won['number']}):") + "\n\n" + table(["group", *sources], rows)


def _panel(panel: Panel, head: str) -> Iterator[str]:
    yield f"{head} {panel.title}"
    yield escaped(panel.lead)
    for part in panel.parts:
        yield f"**{escaped(part.title)}**" if part.title else ""
        yield _merges(part.measures, part.rows)
        yield escaped(" ".join((*part.said, part.about)))


def _merges(measures: Sequence[Measure], merges: Sequence[ResultRow]) -> str:
    """A row a merge, a column a measure."""
    rows = [
        [
            row.merge.title,
            *("–" if cell is None else f"{cell.value} ({cell.interval}, n = {cell.n})" for cell in row.cells),
        ]
        for row in merges
    ]
    return table(["", *(measure.title for measure in measures)], rows) if rows else ""


def _trials(study: Study) -> str:
    measures, parameters = measures_of(study), varying(study)
    head = ["trial", "ratio", *parameters, *(measure.title for measure in measures), "seed", "state"]
    rows = []
    for trial in study["trials"]:
        scores = [score_of(trial, measure) for measure in measures]
        rows.append(
            [
                str(trial["number"]),
                _drawn(trial),
                *(shown(trial["parameters"].get(name)) for name in parameters),
                *("–" if s is None else m.show(s["mean"]) for m, s in zip(measures, scores, strict=True)),
                str(trial["seed"]),
                _state(study, trial),
            ]
        )
    return table(head, rows)


def _drawn(trial: Trial) -> str:
    groups = groups_of(trial)
    if len(groups) > 1:
        return f"{len(groups)} groups"
    return next((" : ".join(f"{part:.6f}" for part in parts) for parts in groups.values()), "–")


def _state(study: Study, trial: Trial) -> str:
    if trial["number"] == study["winner"]:
        return "winner"
    error = trial["error"]
    if error is None:
        return trial["state"]
    return f"{trial['state']}: {error if len(error) <= _LONGEST_ERROR else error[:_LONGEST_ERROR] + '…'}"


def _rebuild(study: Study) -> str:
    parts = []
    if study["command"]:
        parts += ["To be run in the folder that the study's folder lies in:", _fenced("sh", study["command"])]
    parts += [_fenced("yaml", study["recipe"]) if study["recipe"] else ""]
    return "\n\n".join(part for part in parts if part)


def _fenced(language: str, text: str) -> str:
    """Code between fences longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _grid(grid: Grid) -> str:
    view = grid_view(grid)
    rows = [[label, *map(_cell, cells)] for label, cells in view.rows]
    parts = [f"### {escaped(view.title)}", table(["", *view.columns], rows), escaped(view.note)]
    return "\n\n".join(part for part in parts if part)


def _cell(cell: GridCell) -> str:
    one = f"one draw {cell.single} {cell.draws}" if cell.single else ""
    return "; ".join(filter(None, (f"{cell.best} {cell.interval}".strip(), one)))


def _environment(environment: Mapping[str, Value], created: str) -> str:
    facts = ", ".join(f"{name} {shown(value)}" for name, value in environment.items())
    when = f"Begun {created}. " if created else ""
    return f"*{escaped(f'{when}{facts}')}*" if when or facts else ""
