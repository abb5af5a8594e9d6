"""What a run knows so far, beside what was published: plain values that the report and the command line print.

Scores are percent here, differences points. It reads the run's folder; it formats nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, final

import numpy as np

from mixmerge.evaluation.numbers import Estimate, paired_difference
from mixmerge.evaluation.results import shortened_note, unscored_note
from mixmerge.reproduce.grid import ALPHA, ARM_WORDS, ARMS, MEASURES, NOT_STATED, PAIRS, Arm, Cell
from mixmerge.reproduce.published import MARK, SOURCE, STRESSTEST, Published
from mixmerge.reproduce.request import Prepared

FORMAT: Final = "mixmerge reproduction report 1"


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one merge. arm: as `ARM_WORDS` says it. published, score and interval: percent, None: not known.

    difference: score minus published, in points; None under a limit of items. held_out: score on the n_held_out items
    that did not choose the ratio. why: where there is no score, why not. notes: what keeps score and published from
    being the same thing.
    """

    measure: str
    words: str
    lower: bool
    arm: str
    published: float | None
    score: float | None
    low: float | None
    high: float | None
    n: int
    held_out: float | None
    n_held_out: int
    difference: float | None
    why: str
    notes: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Gain:
    """What M³ adds to one measure, in points: with less without, here and as published.

    low, high: 95 % interval over the same items, paired; None for attacks, or where items differ. held_out: the number
    of these items where the ratio was chosen on others; None where all items are compared.
    """

    words: str
    lower: bool
    points: float
    low: float | None
    high: float | None
    published: float | None
    held_out: int | None = None


@final
@dataclass(frozen=True, slots=True)
class CellRows:
    """A cell's rows, by measure, without M³ before with it. ratio: of the merge with M³, in words; empty: not drawn.

    gains: of the measures that both merges have.
    """

    name: str
    words: str
    ratio: str
    rows: tuple[Row, ...]
    gains: tuple[Gain, ...] = ()

    @property
    def is_run(self) -> bool:
        return any(row.score is not None for row in self.rows)


@final
@dataclass(frozen=True, slots=True)
class Summary:
    """cells: all of the table, in its order. notes: on the whole run. folder: where it is kept."""

    table: str
    words: str
    source: str
    mark: str
    models: Mapping[str, str]
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    cells: tuple[CellRows, ...]
    folder: str

    def record(self) -> dict[str, Any]:
        """As report.json has it."""
        return {"format": FORMAT, **asdict(self)}


def summary(ready: Prepared) -> Summary:
    """Of everything in the run's folder, whatever part of it this call asked for."""
    request = ready.request
    cells = tuple(_cell(ready, cell) for cell in ready.table.cells)
    settings = {
        "seed": request.seed, "draws": request.draws, "limit": request.limit, "device": request.device,
        "compute": request.compute, "code execution": request.execute, "judge": request.judge is not None,
    }  # fmt: skip
    return Summary(
        request.table, ready.table.summary, SOURCE, MARK, dict(ready.models), settings, tuple(_notes(ready)), cells,
        str(request.out),
    )  # fmt: skip


def _notes(ready: Prepared) -> Iterator[str]:
    draws, limit = ready.request.draws, ready.request.limit
    if draws == 1:
        yield "One ratio was drawn for each merge, as in the paper. Another seed gives another ratio, and other scores."
    else:
        yield (
            f"The ratio with M³ is the best of {draws} draws, chosen on half of the items of each task; the paper "
            "draws once. Scores on all items flatter it: those on the items that did not choose stand beside."
        )
    if limit is not None:
        yield f"Only the first {limit} items of each task were asked: no score is comparable with a published one."
    if any(cell.merge.alpha is None for cell in ready.table.cells):
        yield f"The paper's α of these merges is {NOT_STATED}; α = {ALPHA}, the default of its released script."
    if any(one is not None and one.method is None for one in _all_published(ready)):
        yield f"Which method these published numbers are of is {NOT_STATED}: they stand beside every method."
    if any(one is not None and one.measure == STRESSTEST for one in _all_published(ready)):
        yield f"Which data set the published PDR are of is {NOT_STATED}: they stand beside both."


def _all_published(ready: Prepared) -> list[Published | None]:
    return [cell.published(measure) for cell in ready.table.cells for measure in cell.measures]


def _cell(ready: Prepared, cell: Cell) -> CellRows:
    known = {arm: ready.store.arm(cell.name, arm) for arm in ARMS}
    rows = tuple(
        _row(ready, cell, measure, arm, known[arm].get("measures", {}).get(measure), known)
        for measure in cell.measures
        for arm in ARMS
    )
    gains = [_gain(old, new, known) for old, new in zip(rows[::2], rows[1::2], strict=True)]
    found = tuple(gain for gain in gains if gain is not None)
    return CellRows(cell.name, cell.merge.words, _ratio(cell, known["with"]), rows, found)


def _gain(old: Row, new: Row, known: Mapping[Arm, Any]) -> Gain | None:
    if old.score is None or new.score is None:
        return None
    published = None if old.published is None or new.published is None else new.published - old.published
    chose = frozenset(((known["with"].get("choice") or {}).get("items") or {}).get(old.measure, ()))
    without, with_m3 = (known[arm]["measures"][old.measure] for arm in ARMS)
    paired = _paired(without, with_m3, chose)
    if chose and paired is None:
        return None
    low, high = (None, None) if paired is None else (100.0 * paired.low, 100.0 * paired.high)
    points = new.score - old.score if paired is None else 100.0 * paired.mean
    held_out = paired.n if paired is not None and chose else None
    return Gain(old.words, old.lower, points, low, high, published, held_out)


def _paired(old: Mapping[str, Any], new: Mapping[str, Any], chose: Collection[int]) -> Estimate | None:
    """With less without, over items with a verdict both times. None where items are not kept, or not the same.

    chose: numbers of items that chose the ratio; they would flatter it, and are left out.
    """
    if "by_item" not in old or "by_item" not in new or old["items"] != new["items"]:
        return None
    scores = enumerate(zip(new["by_item"], old["by_item"], strict=True))
    both = [(a, b) for item, (a, b) in scores if a is not None and b is not None and item not in chose]
    if not both:
        return None
    with_m3, without = np.array(both, dtype=np.float64).T
    return paired_difference(with_m3, without)


def _ratio(cell: Cell, arm: Mapping[str, Any]) -> str:
    ratios = list(arm.get("ratios", {}).values())
    if not ratios:
        return ""
    words = ", ".join(f"{part:.6f} {role}" for part, role in zip(ratios[0], PAIRS[cell.merge.pair], strict=True))
    choice = arm.get("choice")
    return words + (f", the best of {choice['draws']} draws" if choice else ", drawn once")


def _row(
    ready: Prepared, cell: Cell, measure: str, arm: Arm, found: Mapping[str, Any] | None, known: Mapping[Arm, Any]
) -> Row:
    what, paper = MEASURES[measure], cell.published(measure)
    number = None if paper is None else {"without": paper.without, "with": paper.with_m3}[arm]
    values = {key: _percent(found, key) for key in ("score", "low", "high")}
    score, rest = values["score"], (found or {}).get("held_out")
    return Row(
        measure=measure, words=what.words, lower=what.lower, arm=ARM_WORDS[arm], published=number,
        score=score, low=values["low"], high=values["high"], n=0 if found is None else found["n"],
        held_out=_percent(rest, "score"), n_held_out=0 if rest is None else rest["n"],
        difference=None if score is None or number is None or ready.request.limit else score - number,
        why="" if score is not None else _why(ready, cell, measure, found),
        notes=tuple(_row_notes(measure, found, known)),
    )  # fmt: skip


def _percent(found: Mapping[str, Any] | None, key: str) -> float | None:
    return None if found is None or found[key] is None else 100.0 * found[key]


def _why(ready: Prepared, cell: Cell, measure: str, found: Mapping[str, Any] | None) -> str:
    if found is not None:
        attacked = MEASURES[measure].attack is not None
        return "never right before the attack: nothing to lose" if attacked else "no item got a verdict"
    if cell.name not in [one.name for one in ready.cells]:
        return "not asked for"
    if ready.request.tasks and measure not in ready.request.tasks:
        return "not asked for"
    return ready.lacks.get(measure, "not run yet")


def _row_notes(measure: str, found: Mapping[str, Any] | None, known: Mapping[Arm, Any]) -> Iterator[str]:
    if MEASURES[measure].caveat:
        yield MEASURES[measure].caveat
    if found is None:
        return
    if found.get("unscored"):
        yield unscored_note(found["unscored"])
    if found.get("shortened"):
        yield shortened_note(found["shortened"])
    yield from (
        f"that file is {source['stand_in']}, in place of the task's own data"
        for source in found["data"]
        if source.get("stand_in")
    )
    items = {one["measures"][measure]["items"] for one in known.values() if measure in one.get("measures", {})}
    if len(items) > 1:
        yield "the merges without and with M³ were asked other items: do not compare them"
