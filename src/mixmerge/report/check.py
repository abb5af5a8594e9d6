"""Whether data is a report: first its shape, read off the types in `schema`, then what no type can say.

Everything wrong is told at once, each problem with its key path. A shape that is wrong is told alone: meaning is only
looked for in data of the right shape.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from mixmerge.errors import MixmergeError, Problem, nearest
from mixmerge.report.reading import coloured
from mixmerge.report.schema import (
    EQUAL,
    OBJECTIVE,
    RESERVED,
    VERSION,
    WINNER,
    Attack,
    Attacked,
    Grid,
    MultiReport,
    OutOfDistribution,
    SingleReport,
    Study,
    Trial,
)

SUM_TOLERANCE = 1e-5  # ratios are rounded to 6 decimals
DROP_TOLERANCE = 1e-6


class ReportError(MixmergeError, ValueError):
    """Data offered as a report breaks the schema."""


def validate(summary: Mapping[str, Any]) -> None:
    """Return if `summary` is a report of this version. Raises ReportError with every problem and its key path."""
    shape = MultiReport if "studies" in summary else SingleReport
    problems = list(_version(summary)) or list(_shape(summary, shape, ""))
    if problems:
        raise ReportError(problems)
    meaning = list(_meaning(summary))
    if meaning:
        raise ReportError(meaning)


def studies_of(summary: Mapping[str, Any]) -> list[Study]:
    """The studies of a valid report, one or many."""
    if "studies" in summary:
        return cast("list[Study]", list(summary["studies"]))
    return [cast("Study", summary)]


def _version(summary: Mapping[str, Any]) -> Iterator[Problem]:
    if summary.get("version") != VERSION or isinstance(summary.get("version"), bool):
        yield Problem(f"a report says version {VERSION}", _shown(summary.get("version")), "version")


# Shape


def _shape(value: Any, hint: Any, path: str) -> Iterator[Problem]:
    """Problems of `value` as a `hint`: TypedDict, list, dict, Literal, union or scalar."""
    if is_typeddict(hint):
        yield from _record(value, hint, path)
    elif get_origin(hint) is list:
        yield from _list(value, get_args(hint)[0], path)
    elif get_origin(hint) is dict:
        yield from _mapping(value, get_args(hint)[1], path)
    elif get_origin(hint) is Literal:
        if not (isinstance(value, str) and value in get_args(hint)):
            yield Problem("must be one of " + ", ".join(get_args(hint)), _shown(value), path)
    elif get_origin(hint) in (Union, types.UnionType):
        yield from _union(value, get_args(hint), path)
    elif not _is_scalar(value, hint):
        yield Problem(f"must be {_NAMES[hint]}", _shown(value), path)


def _record(value: Any, hint: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem("must be an object", _shown(value), path)
        return
    hints = get_type_hints(hint, include_extras=True)
    for key in value:
        if key not in hints:
            yield Problem("unknown key", _shown(key), path or "the top level", nearest(str(key), hints))
    for key, inner in hints.items():
        optional = get_origin(inner) is NotRequired
        if key in value:
            yield from _shape(value[key], get_args(inner)[0] if optional else inner, _join(path, key))
        elif not optional:
            yield Problem("required key is missing", "", _join(path, key))


def _list(value: Any, hint: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        yield Problem("must be a list", _shown(value), path)
        return
    for index, item in enumerate(value):
        yield from _shape(item, hint, f"{path}[{index}]")


def _mapping(value: Any, hint: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem("must be an object", _shown(value), path)
        return
    for key, item in value.items():
        if not isinstance(key, str):
            yield Problem("keys must be text", _shown(key), path)
        yield from _shape(item, hint, _join(path, str(key)))


def _union(value: Any, hints: Sequence[Any], path: str) -> Iterator[Problem]:
    if value is None and type(None) in hints:
        return
    others = [hint for hint in hints if hint is not type(None)]
    if len(others) == 1:
        yield from _shape(value, others[0], path)
    elif not any(_is_scalar(value, hint) for hint in others):
        yield Problem("must be text, a finite number, true, false or null", _shown(value), path)


_NAMES = {str: "text", int: "an integer", float: "a finite number", bool: "true or false"}


def _is_scalar(value: Any, hint: Any) -> bool:
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# Meaning


def _meaning(summary: Mapping[str, Any]) -> Iterator[Problem]:
    if "studies" not in summary:
        yield from _study(cast("Study", summary), "")
        return
    studies = studies_of(summary)
    if not studies:
        yield Problem("a report holds at least one study", "[]", "studies")
    yield from _distinct([study["name"] for study in studies], "studies", "names of studies")
    for index, study in enumerate(studies):
        yield from _study(study, f"studies[{index}].")
    yield from _grids(summary.get("grids", []), "")


def _study(study: Study, at: str) -> Iterator[Problem]:
    yield from _law(study, at)
    yield from _tasks(study, at)
    yield from _distinct([trial["number"] for trial in study["trials"]], f"{at}trials", "trial numbers")
    for index, trial in enumerate(study["trials"]):
        yield from _trial(trial, study, f"{at}trials[{index}]")
    yield from _winner(study, at)
    yield from _names(study, at)
    yield from _intervals(study, at)
    yield from _strength(study, at)
    yield from _grids(study.get("grids", []), at)
    if "ood" in study:
        yield from _outside(study, study["ood"], f"{at}ood")
    for index, attack in enumerate(study.get("attacks", [])):
        yield from _attack(study, attack, f"{at}attacks[{index}]")


def _law(study: Study, at: str) -> Iterator[Problem]:
    law = study["law"]
    yield from _distinct(law["sources"], f"{at}law.sources", "labels of sources")
    for label in law["sources"]:
        if label in RESERVED:
            yield Problem("a source may not be called " + ", ".join(RESERVED), label, f"{at}law.sources")
    if len(law["alpha"]) != len(law["sources"]) or len(law["sources"]) < 2:
        yield Problem("alpha holds one number for each source, two or more", _shown(law["alpha"]), f"{at}law.alpha")
    elif min(law["alpha"]) < 0:
        yield Problem("alpha is not negative", _shown(law["alpha"]), f"{at}law.alpha")
    if (law["kind"] == "beta") != (len(law["sources"]) == 2):
        yield Problem("the law is beta for two sources, dirichlet for more", law["kind"], f"{at}law.kind")


def _tasks(study: Study, at: str) -> Iterator[Problem]:
    if not study["tasks"]:
        yield Problem("a study has at least one task", "{}", f"{at}tasks")
    if OBJECTIVE in study["tasks"]:
        yield Problem(f"no task may be called {OBJECTIVE}", OBJECTIVE, f"{at}tasks")
    for name, task in study["tasks"].items():
        if task["weight"] < 0:
            yield Problem("a weight is not negative", _shown(task["weight"]), f"{at}tasks.{name}.weight")


def _trial(trial: Trial, study: Study, at: str) -> Iterator[Problem]:
    ratio, ratios = trial["ratio"], trial.get("ratios")
    drawn = {"ratio": ratio} if ratio is not None else {}
    drawn |= {f"ratios.{group}": parts for group, parts in (ratios or {}).items()}
    if ratio is not None and ratios is not None:
        yield Problem("a trial has a ratio or ratios, not both", "", at)
    if not drawn and trial["state"] == "complete":
        yield Problem("a complete trial has a ratio, or ratios by group", "null", f"{at}.ratio")
    for key, parts in drawn.items():
        yield from _ratio(parts, len(study["law"]["sources"]), f"{at}.{key}")
    if trial["state"] == "complete":
        if trial["objective"] is None:
            yield Problem("a complete trial has an objective", "null", f"{at}.objective")
        for task in study["tasks"].keys() - trial["validation"].keys():
            yield Problem("a complete trial has a score on every task", "", f"{at}.validation.{task}")
    if trial["state"] == "failed" and not trial["error"]:
        yield Problem("a failed trial says why", _shown(trial["error"]), f"{at}.error")
    yield from _known(trial["validation"], (*study["tasks"], OBJECTIVE), f"{at}.validation")


def _ratio(parts: Sequence[float], sources: int, at: str) -> Iterator[Problem]:
    if len(parts) != sources:
        yield Problem(f"a ratio has one number for each of the {sources} sources", _shown(list(parts)), at)
    elif min(parts) < 0 or max(parts) > 1 or abs(math.fsum(parts) - 1) > SUM_TOLERANCE:
        yield Problem("a ratio's numbers lie in [0, 1] and sum to 1", _shown(list(parts)), at)


def _winner(study: Study, at: str) -> Iterator[Problem]:
    complete = {trial["number"] for trial in study["trials"] if trial["state"] == "complete"}
    if study["winner"] is not None and study["winner"] not in complete:
        yield Problem("the winner is the number of a complete trial", _shown(study["winner"]), f"{at}winner")
    if study["winner"] is None and study["state"] == "finished" and complete:
        yield Problem("a finished study with complete trials has a winner", "null", f"{at}winner")


def _names(study: Study, at: str) -> Iterator[Problem]:
    merges = (*RESERVED, *coloured(study))
    tasks = (*study["tasks"], OBJECTIVE)
    for key, table in (("test", study["test"]), ("baselines", study.get("baselines", {}))):
        yield from _known(table, merges, f"{at}{key}")
        for merge, scores in table.items():
            yield from _known(cast("Mapping[str, Any]", scores), tasks, f"{at}{key}.{merge}")
    for index, pair in enumerate(study["paired"]):
        yield from _known([pair["a"], pair["b"]], merges, f"{at}paired[{index}]")
        yield from _known([pair["task"]], tasks, f"{at}paired[{index}].task")
    yield from _known(study["spread"], tasks, f"{at}spread")
    yield from _known(study["optimism"], tasks, f"{at}optimism")
    labels = {part for label in study["law"]["sources"] for part in _parts(label)}
    for index, model in enumerate(study.get("models", [])):
        if model["role"] == "source" and model["label"] not in labels:
            rule, cure = "a source's label is one of law.sources, or part of one", nearest(model["label"], labels)
            yield Problem(rule, model["label"], f"{at}models[{index}].label", cure)


def _parts(label: str) -> tuple[str, ...]:
    """The label of a place of a ratio, and of the models there: `a or b`, and `a or b (2)` where places are alike."""
    return (label, *label.split(" or "), *label.rpartition(" (")[0].split(" or "))


def _intervals(study: Study, at: str) -> Iterator[Problem]:
    for merge, scores in study["test"].items():
        for task, score in scores.items():
            yield from _ordered(score["low"], score["mean"], score["high"], f"{at}test.{merge}.{task}")
    for index, pair in enumerate(study["paired"]):
        yield from _ordered(pair["low"], pair["difference"], pair["high"], f"{at}paired[{index}]")


def _ordered(low: float, middle: float, high: float, at: str) -> Iterator[Problem]:
    slack = 1e-9 * max(1.0, abs(middle))
    if not low - slack <= middle <= high + slack:
        yield Problem("an interval holds its mean: low <= mean <= high", f"{low:g}, {middle:g}, {high:g}", at)


def _strength(study: Study, at: str) -> Iterator[Problem]:
    """A verdict is not stronger than the numbers."""
    strength = study["verdict"]["strength"]
    if strength not in ("better", "worse"):
        return
    pair = compared(study, WINNER, EQUAL)
    place = f"{at}verdict.strength"
    if pair is None:
        yield Problem(f"'{strength}' needs the paired difference of winner and equal", "none", place)
    elif not (pair[1] > 0 if strength == "better" else pair[2] < 0):
        found = f"[{pair[1]:g}, {pair[2]:g}]"
        cure = "say unclear"
        yield Problem(f"'{strength}' needs a 95 % interval on that side of 0", found, place, cure)


def compared(study: Study, a: str, b: str) -> tuple[float, float, float] | None:
    """(difference, low, high) of a minus b on the objective, larger better for a; None where not recorded.

    With a single task, that task's entry will do.
    """
    tasks = study["tasks"]
    only = next(iter(tasks)) if len(tasks) == 1 else None
    for name in (OBJECTIVE, only):
        for pair in study["paired"]:
            if name is not None and (pair["a"], pair["b"], pair["task"]) == (a, b, name):
                if name != OBJECTIVE and tasks[name].get("goal") == "minimize":
                    return (-pair["difference"], -pair["high"], -pair["low"])
                return (pair["difference"], pair["low"], pair["high"])
    return None


def _grids(grids: Sequence[Grid], at: str) -> Iterator[Problem]:
    for index, grid in enumerate(grids):
        widths = [len(row) for row in grid["cells"]]
        if widths != [len(grid["columns"])] * len(grid["rows"]):
            rule = "cells are a list a row, with a cell a column"
            yield Problem(rule, f"rows of {widths}", f"{at}grids[{index}].cells")


def _outside(study: Study, ood: OutOfDistribution, at: str) -> Iterator[Problem]:
    merges = (*RESERVED, *coloured(study))
    yield from _known(ood["test"], merges, f"{at}.test")
    for merge, scores in ood["test"].items():
        yield from _known(scores, tuple(ood["tasks"]), f"{at}.test.{merge}")
        for task, score in scores.items():
            yield from _ordered(score["low"], score["mean"], score["high"], f"{at}.test.{merge}.{task}")
    for index, pair in enumerate(ood["paired"]):
        yield from _known([pair["a"], pair["b"]], tuple(ood["test"]), f"{at}.paired[{index}]")
        yield from _known([pair["task"]], tuple(ood["tasks"]), f"{at}.paired[{index}].task")
        yield from _ordered(pair["low"], pair["difference"], pair["high"], f"{at}.paired[{index}]")
    for name, measured in ood["tasks"].items():
        if (measured["weight"] > 0) != (name in study["tasks"]):
            rule = "a task out of distribution is among the study's tasks where its weight is above 0"
            yield Problem(rule, f"{measured['weight']:g}", f"{at}.tasks.{name}.weight")


def _attack(study: Study, attack: Attack, at: str) -> Iterator[Problem]:
    yield from _known(attack["merges"], (*RESERVED, *coloured(study)), f"{at}.merges")
    for merge, found in attack["merges"].items():
        yield from _attacked(found, max(1, len(attack["seeds"])), f"{at}.merges.{merge}")
    for index, pair in enumerate(attack["paired"]):
        place = f"{at}.paired[{index}]"
        yield from _known([pair["a"], pair["b"]], tuple(attack["merges"]), place)
        yield from _ordered(pair["low"], pair["difference"], pair["high"], place)
        a, b = (attack["merges"].get(pair[side]) for side in ("a", "b"))
        rates = [found["pdr"] for found in (a, b) if found is not None]
        if None in rates:
            yield Problem("a difference is of two PDR", "null", place)
        known = [rate["mean"] for rate in rates if rate is not None]
        if len(known) == 2 and abs(known[0] - known[1] - pair["difference"]) > DROP_TOLERANCE:
            rule = "a difference is PDR of a minus PDR of b"
            yield Problem(rule, f"{pair['difference']:g}, not {known[0] - known[1]:g}", place)


def _attacked(found: Attacked, searches: int, at: str) -> Iterator[Problem]:
    for key in ("clean", "attacked", "pdr"):
        score = found[key]
        if score is not None:
            yield from _ordered(score["low"], score["mean"], score["high"], f"{at}.{key}")
    clean, pdr = found["clean"]["mean"], found["pdr"]
    if (pdr is None) != (clean == 0):
        yield Problem("PDR is null where clean accuracy is 0, and only there", f"{clean:g}", f"{at}.pdr")
    elif pdr is not None and abs(1 - found["attacked"]["mean"] / clean - pdr["mean"]) > DROP_TOLERANCE:
        yield Problem("PDR is 1 - attacked / clean accuracy", f"{pdr['mean']:g}", f"{at}.pdr.mean")
    if len(found["searches"]) != searches:
        rule = "there is a search for each seed, or one where nothing is drawn"
        yield Problem(rule, f"{len(found['searches'])}, not {searches}", f"{at}.searches")


def _known(names: Iterable[str], known: Sequence[str], at: str) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield Problem("unknown name", _shown(name), at, nearest(name, known))


def _distinct(values: Sequence[Any], at: str, what: str) -> Iterator[Problem]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        yield Problem(f"{what} are distinct", ", ".join(twice), at)
