"""Grids, tables of ways to merge, as ready text. Knows no HTML."""

from __future__ import annotations

from dataclasses import dataclass

from mixmerge.report.reading import Measure, signless
from mixmerge.report.schema import Cell, Grid
from mixmerge.report.wording import plural


@dataclass(frozen=True, slots=True)
class GridCell:
    """One way to merge: the chosen draw's score on test and its interval, and single draws; each may be empty."""

    best: str
    interval: str
    single: str
    draws: str


@dataclass(frozen=True, slots=True)
class GridView:
    """A grid ready to show; rows: label and cells."""

    title: str
    note: str
    columns: list[str]
    rows: list[tuple[str, list[GridCell]]]


def grid_view(grid: Grid) -> GridView:
    """A grid ready to show."""
    measure = Measure("", "", grid.get("unit", "fraction"))
    rows = [
        (label, [_cell(measure, cell) for cell in cells])
        for label, cells in zip(grid["rows"], grid["cells"], strict=True)
    ]
    return GridView(grid["title"], grid.get("note", ""), list(grid["columns"]), rows)


def _cell(measure: Measure, cell: Cell) -> GridCell:
    best, interval, single, draws = "", "", "", ""
    if cell["best"] is not None:
        found = cell["best"]
        best = measure.show(found["mean"])
        interval = f"[{measure.number(found['low'])} to {measure.number(found['high'])}]"
    if cell["single"] is not None:
        one = cell["single"]
        single = f"{measure.number(one['mean'])} ± {signless(measure.delta(one['sd'])).lstrip('+')}"
        draws = f"({plural(one['n'], 'draw')})"
    return GridCell(best, interval, single, draws)
