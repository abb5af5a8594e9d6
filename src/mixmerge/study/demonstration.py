"""The demonstration: the main job and the paper's two-by-two, on the tiny real models that come with Mixmerge.

Three pairs of experts that were trained from one base. For each pair a study draws ratios, chooses on validation
items and proves on test items; a second one does the same after DARE. Whatever comes out is told as it is.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any, Final, cast

from mixmerge import report
from mixmerge.errors import OutputError, Problem
from mixmerge.evaluation import Estimate
from mixmerge.recipe import Recipe, recipe_from_options
from mixmerge.report.schema import OBJECTIVE, PLAIN, WINNER, Cell, Grid, Interval, SingleReport
from mixmerge.study.events import Stage, StudyListener
from mixmerge.study.exploring import explore
from mixmerge.study.exporting import export
from mixmerge.study.identity import FILE, refuse_strange
from mixmerge.study.study import Study
from mixmerge.study.summary import estimates
from mixmerge.study.threads import on_threads
from mixmerge.study.workbench import score_folder

EXPERTS: Final = {"adder": "add", "sorter": "sort", "flipper": "flip"}
"""Expert -> the task it was trained for."""

DROP_RATE: Final = 0.2
BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class PairResult:
    """One pair of experts.

    scores: of the weighted mean on test items: winner, equal, plain, base and each parent. spread: mean and sd of
    all draws on validation items. loaded: score of the winner after it was written to disk and loaded by transformers.
    """

    name: str
    ratio: tuple[float, ...]
    scores: dict[str, Estimate]
    spread: tuple[float, float]
    optimism: float
    loaded: float
    verdict: str
    winner: Path
    report: Path


@dataclass(frozen=True, slots=True)
class TwoByTwo:
    """One cell of the paper's table.

    single: mean and sd over draws taken one at a time, on validation items; None without M³, which draws nothing.
    drawn: how many of them were scored.
    chosen: on test items, the best of the draws on validation items, or the one merge there is without M³.
    """

    pair: str
    dare: bool
    m3: bool
    single: tuple[float, float] | None
    drawn: int
    chosen: Estimate


@dataclass(frozen=True, slots=True)
class Demo:
    """All results. winner: of the pair whose winner has the highest validation score. report: one page for all."""

    pairs: tuple[PairResult, ...]
    two_by_two: tuple[TwoByTwo, ...]
    draws: int
    winner: Path
    report: Path
    seconds: float


def demo(
    folder: str | Path,
    *,
    draws: int = 16,
    seed: int = 0,
    overwrite: bool = False,
    threads: int | None = None,
    listeners: Sequence[StudyListener] = (),
) -> Demo:
    """Run the demonstration into `folder`; one that is there already goes on, unless overwrite starts it afresh.

    draws: for each pair, and again with DARE. Raises what `explore` raises; OutputError where `folder` holds anything
    else than a demonstration, also with overwrite.
    """
    began, place = time.perf_counter(), Path(folder)
    _refuse_others(place)
    if overwrite:
        _remove(place)
    with on_threads(1):  # also where the winner is loaded again
        return _run(place, began, draws=draws, seed=seed, threads=threads, listeners=tuple(listeners))


def _run(place: Path, began: float, *, draws: int, listeners: Sequence[StudyListener], **settings: Any) -> Demo:
    results, cells, summaries = [], [], []
    for pair in combinations(EXPERTS, 2):
        plain = _study(place, pair, dare=False, draws=draws, listeners=listeners, **settings)
        dared = _study(place, pair, dare=True, draws=draws, listeners=listeners, parents_of=plain.folder, **settings)
        _tell(listeners, "writing the winner and loading it again", plain.folder)
        results.append(_result(plain, pair))
        cells += [*_cells(plain, pair, dare=False), *_cells(dared, pair, dare=True)]
        summaries += [_named(plain, pair, dare=False), _named(dared, pair, dare=True)]
    _tell(listeners, "report", place)
    page = _report(place, summaries, cells, draws)
    best = max(results, key=lambda result: result.scores[WINNER].mean + result.optimism)
    return Demo(tuple(results), tuple(cells), draws, best.winner, page, time.perf_counter() - began)


def zoo() -> Path:
    """Where the tiny models and their tasks are."""
    return Path(str(files("mixmerge"))) / "zoo"


def pair_recipe(pair: Sequence[str], *, dare: bool) -> Recipe:
    """Average merging of two experts in a drawn ratio, Beta(0.5, 0.5), as in the paper."""
    home = zoo()
    return recipe_from_options(
        "linear",
        [str(home / expert) for expert in pair],
        base=str(home / "base"),
        alpha=0.5,
        dare=DROP_RATE if dare else None,
    )


def pair_tasks(pair: Sequence[str]) -> list[str]:
    """The task files of two experts."""
    names = [f"{EXPERTS[expert]}.{part}.jsonl" for expert in pair for part in ("validation", "test")]
    return [str(zoo() / "tasks" / name) for name in names]


def _study(place: Path, pair: Sequence[str], *, dare: bool, **settings: Any) -> Study:
    folder = place / _name(pair, dare=dare)
    recipe, tasks = pair_recipe(pair, dare=dare), pair_tasks(pair)
    return explore(recipe, tasks, folder=folder, compute="float32", batch_size=BATCH, **settings)


def _folders(place: Path) -> list[Path]:
    """Where its studies are."""
    return [place / _name(pair, dare=dare) for pair in combinations(EXPERTS, 2) for dare in (False, True)]


def _name(pair: Sequence[str], *, dare: bool) -> str:
    return "-".join(pair) + ("-dare" if dare else "")


def _refuse_others(place: Path) -> None:
    """It goes into a folder that is not there, is empty, or holds studies of it. Raises OutputError."""
    folders = _folders(place)
    names = sorted(path.name for path in place.iterdir()) if os.path.isdir(place) else []
    if (names and not any(map(os.path.isdir, folders))) or (os.path.exists(place) and not os.path.isdir(place)):
        rule, cure = "a demonstration begins in an empty folder", "choose another folder with --out"
        found = f"it holds {', '.join(names[:3])}" if names else "a file"
        raise OutputError(Problem(rule, found, str(place), cure))
    for folder in folders:
        refuse_strange(folder)


def _remove(place: Path) -> None:
    """Studies of an earlier demonstration; nothing else."""
    for folder in _folders(place):
        if (folder / FILE).is_file():
            shutil.rmtree(folder)


def _tell(listeners: Sequence[StudyListener], stage: str, folder: Path) -> None:
    for listener in listeners:
        listener(Stage(stage, str(folder)))


def _result(study: Study, pair: Sequence[str]) -> PairResult:
    """Write the winner, load it again, and gather what the study found."""
    summary = study.summary
    (winner,) = export(study.folder, study.folder / "winner", overwrite=True)
    scores = score_folder(winner, pair_tasks(pair), compute="float32", batch=BATCH)
    loaded = estimates(scores, study.records.weights, study.identity["seed"])[OBJECTIVE].mean
    spread = summary["spread"][OBJECTIVE]
    return PairResult(
        name=summary["name"],
        ratio=tuple(next(iter(study.winner.outcome.point.ratios.values()))),
        scores={label: _estimate(row[OBJECTIVE]) for label, row in summary["test"].items()},
        spread=(spread["mean"], spread["sd"]),
        optimism=summary["optimism"][OBJECTIVE]["difference"],
        loaded=loaded,
        verdict=summary["verdict"]["sentence"],
        winner=winner,
        report=study.folder / "report.html",
    )


def _estimate(found: Interval) -> Estimate:
    return Estimate(found["mean"], found["low"], found["high"], found["n"])


def _cells(study: Study, pair: Sequence[str], *, dare: bool) -> list[TwoByTwo]:
    """Without M³, then with it."""
    summary = study.summary
    name = " + ".join(pair)
    spread = summary["spread"][OBJECTIVE]
    without = _estimate(summary["test"][PLAIN][OBJECTIVE])
    chosen = _estimate(summary["test"][WINNER][OBJECTIVE])
    return [
        TwoByTwo(name, dare, False, None, 0, without),
        TwoByTwo(name, dare, True, (spread["mean"], spread["sd"]), spread["n"], chosen),
    ]


def _named(study: Study, pair: Sequence[str], *, dare: bool) -> SingleReport:
    name = " + ".join(pair) + (", after DARE" if dare else "")
    return cast("SingleReport", {**study.summary, "name": name})


def _report(place: Path, summaries: Sequence[SingleReport], cells: Sequence[TwoByTwo], draws: int) -> Path:
    studies = [{key: value for key, value in one.items() if key != "version"} for one in summaries]
    grids = [_grid([cell for cell in cells if cell.pair == name], name) for name in _names(cells)]
    page: Mapping[str, Any] = {
        "version": summaries[0]["version"],
        "title": "Mixmerge demonstration",
        "intro": "Three pairs of tiny experts, trained from one base on generated tasks with exact answers, are merged "
        f"in {draws} drawn ratios each. The ratio is chosen on validation items and proved on test items.",
        "studies": studies,
        "environment": summaries[0]["environment"],
        "created": summaries[0].get("created", ""),
        "grids": grids,
    }
    report.build(page, place)
    return place / "report.html"


def _names(cells: Sequence[TwoByTwo]) -> list[str]:
    return list(dict.fromkeys(cell.pair for cell in cells))


def _grid(cells: Sequence[TwoByTwo], name: str) -> Grid:
    by_place = {(cell.dare, cell.m3): cell for cell in cells}
    return {
        "title": f"{name}: the paper's two-by-two",
        "rows": ["without DARE", "with DARE"],
        "columns": ["without M³", "with M³"],
        "cells": [[_cell(by_place[dare, m3]) for m3 in (False, True)] for dare in (False, True)],
        "note": "Single draws are on validation items, the chosen one on test items. Without M³ nothing is drawn: "
        "there is one merge.",
    }


def _cell(cell: TwoByTwo) -> Cell:
    single = None if cell.single is None else {"mean": cell.single[0], "sd": cell.single[1], "n": cell.drawn}
    chosen = cell.chosen
    best: Interval = {"mean": chosen.mean, "low": chosen.low, "high": chosen.high, "n": chosen.n}
    return cast("Cell", {"single": single, "best": best})
