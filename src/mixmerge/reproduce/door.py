"""The public door: `outline` looks, `reproduce` works. Defaults live here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, Unpack

from mixmerge.evaluation.judging.judge import Judge
from mixmerge.evaluation.lists import lists
from mixmerge.evaluation.live import Compute
from mixmerge.reproduce.events import Listener
from mixmerge.reproduce.problems import ReproduceError
from mixmerge.reproduce.request import Prepared, Request, prepared
from mixmerge.reproduce.running import run
from mixmerge.reproduce.summary import Summary, summary


class Options(TypedDict, total=False):
    """Keywords of `reproduce`, explained there."""

    models: str | Path | Sequence[str | Path]
    data_dir: str | Path | None
    tasks: str | Sequence[str]
    draws: int
    seed: int
    limit: int | None
    device: str
    compute: Compute | None
    batch_size: int
    allow_code_execution: bool
    judge: Judge | None
    workers: int
    memory: int | None
    threads: int | None
    keep_models: bool


def outline(table: str, cells: str | Sequence[str] = (), *, out: str | Path, **options: Unpack[Options]) -> Prepared:
    """What `reproduce` would do, with its problems; asks no network, writes nothing. Arguments as there.

    Raises ReproduceError where there is no such table or cell; every other problem is in what it returns.
    """
    return prepared(_request(table, cells, out, options), look_up=False)


def reproduce(
    table: str,
    cells: str | Sequence[str] = (),
    *,
    out: str | Path,
    listeners: Sequence[Listener] = (),
    **options: Unpack[Options],
) -> Summary:
    """Make the merges of a table of the paper, score them, and put the published numbers beside.

    table: of `TABLES`. cells: of that table by name, one or a list; none: all. out: a folder, new or of an earlier run
    of the same table, models, seed, draws and limit, which then goes on: what is known is not measured again. models: a
    folder that holds one for each role (base, lm, math, code) or `role=NAME` with a folder or hub id, one or a list;
    none: the hub's. data_dir: plain files of the suite's data; None: installed packages and the hub. tasks: only these
    measures, one or a list. draws: 1, as the paper; more: the best of so many, chosen on half of the items. seed: of
    ratios and masks, >= 0. limit: items of each task, the first ones; scores are then not the paper's. device, compute,
    batch_size, workers, judge: as `evaluate`. allow_code_execution: run programs that models write, confined. memory
    (bytes), threads: of merging. keep_models: do not delete merges that are scored.

    What needs a permission or a judge that is not given is left out, and the report says so. Raises ReproduceError,
    before anything is written, with everything that is wrong; later what merging and scoring raise: what was measured
    until then is kept.
    """
    ready = prepared(_request(table, cells, out, options), look_up=True)
    if ready.problems:
        raise ReproduceError(ready.problems)
    run(ready, listeners)
    return summary(ready)


def _request(table: str, cells: str | Sequence[str], out: str | Path, options: Options) -> Request:
    values: dict[str, Any] = dict(options)
    values["execute"] = values.pop("allow_code_execution", False)
    unknown = set(values) - {field.name for field in fields(Request)}
    if unknown:
        raise TypeError(f"reproduce has no keyword {', '.join(sorted(unknown))}")
    given = {"cells": cells, "models": values.get("models", ()), "tasks": values.get("tasks", ())}
    values |= lists(given, error=ReproduceError)
    if values.get("data_dir") is not None:
        values["data_dir"] = Path(values["data_dir"]).expanduser()
    return Request(table=table, out=Path(out).expanduser(), **values)
