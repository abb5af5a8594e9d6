"""Tables of the paper, plans and results of `reproduce`, as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mixmerge.cli.sizes import bytes_text
from mixmerge.cli.tables import table

if TYPE_CHECKING:
    from mixmerge.reproduce import Prepared
    from mixmerge.reproduce.grid import Cell
    from mixmerge.reproduce.request import Job
    from mixmerge.reproduce.summary import Summary


def tables_text() -> str:
    """Every table with its cells, their measures, and the published numbers there are."""
    from mixmerge.reproduce.grid import TABLES
    from mixmerge.reproduce.published import MARK, SOURCE

    width = max(len(cell.name) for one in TABLES.values() for cell in one.cells)
    lines = [f"tables of {SOURCE}; numbers are without -> with M³, {MARK}"]
    for name, one in TABLES.items():
        lines += ["", f"{name}: {one.summary}"]
        lines += [f"  {cell.name:<{width}}  {_numbers(cell)}" for cell in one.cells]
    return "\n".join([*lines, "", "mixmerge reproduce TABLE [CELL...] --out DIR --dry-run says what a run needs"])


def _numbers(cell: Cell) -> str:
    parts = []
    for measure in cell.measures:
        found = cell.published(measure)
        short = measure.removeprefix("m3_")
        parts.append(short if found is None else f"{short} {found.without:.1f} -> {found.with_m3:.1f}")
    return ", ".join(parts)


def outline_text(found: Prepared) -> str:
    """What a run would do: models, merges with their bytes, measures, what is lacking. Problems are not in it."""
    request = found.request
    lines = [f"table     {request.table}: {found.table.summary}"]
    lines += [f"model     {role}: {name}" for role, name in found.models.items()]
    lines.append(f"data      {request.data_dir or 'installed packages, and the hub'}")
    draws = "one for each merge, as in the paper" if request.draws == 1 else f"best of {request.draws}"
    lines.append(f"ratio     {draws}; seed {request.seed}")
    for job in found.jobs:
        lines += ["", *_job(found, job)]
    lines += ["", f"disk      {_disk(found)}"]
    lines.append(f"out       {request.out}{' (goes on)' if request.out.is_dir() else ''}")
    return "\n".join(lines)


def _job(found: Prepared, job: Job) -> Iterator[str]:
    from mixmerge.reproduce.grid import ARM_WORDS, MEASURES

    yield f"{job.cell.merge.words}, {ARM_WORDS[job.arm]} ({job.cell.name})"
    if not job.wanted:
        yield "  merge   no: nothing of it is left to measure"
    elif job.refused:
        yield "  merge   refused: why is told below"
    elif job.cost is None:
        yield "  merge   bytes are not known before the models are here"
    else:
        passes = f"{job.cost.passes} pass{'es' * (job.cost.passes != 1)}"
        yield f"  merge   {bytes_text(job.cost.read)} read in {passes}, {bytes_text(job.cost.written)} written"
    for measure in job.cell.measures:
        done = "score" if measure in job.wanted else "not"
        yield f"  {done:<5}   {MEASURES[measure].words}{_why(found, job, measure)}"


def _why(found: Prepared, job: Job, measure: str) -> str:
    if measure in job.wanted:
        return ""
    if measure in found.lacks:
        return f": {found.lacks[measure]}"
    return ": not asked for" if found.request.tasks and measure not in found.request.tasks else ": known already"


def _disk(found: Prepared) -> str:
    if not any(job.wanted for job in found.jobs):
        return "none: no merge is made"
    if any(job.refused for job in found.jobs):
        return "not known: a merge is refused"
    if found.disk is None:
        return "not known before the models are here; for 13B in half precision 26 GB a merge"
    kept = "all merges are kept" if found.request.keep_models else "one merge at a time"
    return f"{bytes_text(found.disk)} free space, {kept}"


def summary_text(found: Summary) -> str:
    """The rows that were asked for, published numbers beside; and where the report is."""
    from mixmerge.reproduce.report import HEADINGS, cells_of, gains

    lines = []
    for cell in found.cells:
        if cell.is_run:
            lines += [cell.words, table([HEADINGS, *(cells_of(row) for row in cell.rows)], indent="  ")]
            lines += [*(f"  {line}" for line in gains(cell)), ""]
    missing = [cell.name for cell in found.cells if not cell.is_run]
    lines += [f"the paper's numbers are {found.mark}"]
    lines += [f"note      {note}" for note in found.notes]
    lines += [f"not run   {', '.join(missing)}"] if missing else []
    lines += [f"report    {Path(found.folder) / 'report.html'}"]
    return "\n".join(lines)
