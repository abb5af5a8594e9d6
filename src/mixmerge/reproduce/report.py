"""The report of a run: report.md, report.html and report.json in its folder, rewritten after every merge.

One page that asks nothing of any network, with the styles of a study's report; whatever is put into it is escaped.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from mixmerge.errors import extra_missing, legible
from mixmerge.report.svg import Svg
from mixmerge.reproduce.request import Prepared
from mixmerge.reproduce.summary import CellRows, Row, Summary, summary

if TYPE_CHECKING:
    from jinja2 import Environment

HEADINGS: Final = ("measure", "merge", "published", "measured here", "95 % interval", "items", "difference")


def write_report(ready: Prepared) -> None:
    """All three are made before the first is written. Raises MissingExtraError without Jinja, OutputError."""
    found, store = summary(ready), ready.store
    texts = {"report.md": markdown(found), "report.html": html(found)}
    for name, text in texts.items():
        store.write_text(store.folder / name, text)
    store.write(store.folder / "report.json", found.record())


def cells_of(row: Row) -> tuple[str, ...]:
    """A row's cells under `HEADINGS`, as text."""
    score = "not run" if row.score is None else f"{row.score:.1f}"
    if row.held_out is not None:
        score += f" ({row.held_out:.1f} on the {row.n_held_out} items that did not choose)"
    return (
        row.words + " (lower is better)" * row.lower,
        row.arm,
        _number(row.published),
        score,
        "–" if row.low is None or row.high is None else f"[{row.low:.1f}, {row.high:.1f}]",
        str(row.n) if row.n else "–",
        "–" if row.difference is None else f"{row.difference:+.1f}",
    )


def gains(cell: CellRows) -> list[str]:
    """What M³ adds, here and as published: one line a measure that both merges have."""
    found = []
    for one in cell.gains:
        interval = "" if one.low is None or one.high is None else f" [{one.low:+.1f}, {one.high:+.1f}]"
        paper = "none published" if one.published is None else f"{one.published:+.1f} published"
        better = " (lower is better)" * one.lower
        where = "here" if one.held_out is None else f"on the {one.held_out} items that did not choose"
        found.append(f"{one.words}{better}, with M³ less without: {one.points:+.1f}{interval} {where}, {paper}")
    return found


def remarks(cell: CellRows) -> list[str]:
    """What a person must know about a cell's rows: why a score is missing, what differs from the paper's. Each once."""
    found = [f"{row.words}: {note}" for row in cell.rows for note in row.notes]
    found += [f"{row.words}: not run, {row.why}" for row in cell.rows if row.score is None]
    return list(dict.fromkeys(found))


def settings_text(found: Summary) -> list[tuple[str, str]]:
    """Models and settings as (name, value)."""
    settings = [(name, "none" if value is None else str(value)) for name, value in found.settings.items()]
    return [*((f"model {role}", name) for role, name in found.models.items()), *settings]


def markdown(found: Summary) -> str:
    """The report as Markdown. Whatever comes from outside has its signs escaped."""
    done = [cell for cell in found.cells if cell.is_run]
    rest = [cell for cell in found.cells if not cell.is_run]
    lines = [
        f"# {found.source}: {found.table}", "", found.words, "",
        f"The paper's numbers are {found.mark}. Scores are percent; differences are points, measured less published.",
        "", *(f"- {note}" for note in found.notes), "",
    ]  # fmt: skip
    for cell in done:
        lines += [f"## {cell.words} (`{cell.name}`)", ""]
        lines += [f"Ratio with M³: {cell.ratio}.", ""] if cell.ratio else []
        lines += [_line(HEADINGS), _line(["---"] * 2 + ["---:"] * 5)]
        lines += [_line(cells_of(row)) for row in cell.rows]
        lines += ["", *(f"- {_escaped(text)}" for text in (*gains(cell), *remarks(cell))), ""]
    lines += ["## Not run", ""]
    lines += [_line(("cell", "measure", "published without M³", "with M³", "why")), _line(["---"] * 5)] if rest else []
    lines += [_line(row) for cell in rest for row in not_run(cell)]
    lines += [] if rest else ["Every cell of the table has a score."]
    lines += ["", "## Settings", "", *(f"- {name}: {_escaped(value)}" for name, value in settings_text(found))]
    return "\n".join(lines) + "\n"


def not_run(cell: CellRows) -> list[tuple[str, ...]]:
    """One row a measure of a cell without any score: cell, measure, published without and with M³, why."""
    pairs = zip(cell.rows[::2], cell.rows[1::2], strict=True)
    return [(cell.name, old.words, _number(old.published), _number(new.published), old.why) for old, new in pairs]


def html(found: Summary) -> str:
    """The report as one page. Raises MissingExtraError without Jinja."""
    page: str = (
        _environment()
        .get_template("reproduce.html.j2")
        .render(
            found=found,
            done=[cell for cell in found.cells if cell.is_run],
            rest=[row for cell in found.cells if not cell.is_run for row in not_run(cell)],
            headings=HEADINGS,
            cells_of=cells_of,
            gains=gains,
            remarks=remarks,
            settings=settings_text(found),
            style=Svg(files("mixmerge.report").joinpath("templates", "style.css").read_text("utf-8")),
        )
    )
    return legible(page)


def _number(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.1f}"


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise extra_missing("study", "jinja2", "the HTML report") from error
    folder = files("mixmerge.reproduce").joinpath("templates")
    loader = FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8"))
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """On one line, without signs that Markdown or HTML would take for their own."""
    return re.sub(r"([|`<>*_\[\]\\])", r"\\\1", legible(" ".join(text.split())))
