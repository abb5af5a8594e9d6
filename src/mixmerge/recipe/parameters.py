"""Reads `parameters` mappings against a method's declaration: known, meant for this level, of the right kind.

Whether a required parameter is there at all is a rule between keys (`mixmerge.recipe.rules`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mixmerge.errors import nearest
from mixmerge.methods import METHODS, Dialect, Method, Parameter
from mixmerge.recipe import values
from mixmerge.recipe.nodes import Node
from mixmerge.recipe.report import Report
from mixmerge.recipe.types import Filtered, Given, Parameters

Level = Literal["source", "slice", "recipe"]

# Names that some method of mergekit reads. It ignores those the method in hand does not use; so do we,
# with a note.
# fmt: off
MERGEKIT_PARAMETERS = frozenset({
    "weight", "density", "normalize", "lambda", "rescale", "int8_mask", "gamma", "epsilon", "t", "scale",
    "nuslerp_flatten", "nuslerp_row_wise", "normalize_weights", "eps", "max_iter", "tol", "filter_wise",
    "select_topk", "r", "alpha",
})

# Keys of sections of their own that look like parameters.
ELSEWHERE = {"alpha": "mixup", "ratio": "mixup", "scope": "mixup", "drop_rate": "dare"}

# Methods of mergekit; those missing from METHODS get a message of their own.
MERGEKIT_METHODS = frozenset({
    "linear", "task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties",
    "della", "della_linear", "slerp", "nuslerp", "multislerp", "karcher", "model_stock", "nearswap",
    "arcee_fusion", "sce", "ram", "ramplus_tl", "passthrough",
})
# fmt: on

STACKING = "say linear, with one source a slice and weight 1: it copies layers as passthrough does (docs/mergekit.md)"
"""What stands for passthrough."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides how parameters are read. method: its declaration, None where no usable one is named."""

    name: str
    dialect: Dialect
    method: Method | None
    mixup: bool

    def declared(self) -> tuple[Parameter, ...]:
        return self.method.parameters if self.method else ()


def known_somewhere() -> frozenset[str]:
    """Every parameter name that some method of ours or of mergekit reads."""
    return MERGEKIT_PARAMETERS | known_here()


def known_here() -> frozenset[str]:
    """Every parameter name that some method of ours reads."""
    return frozenset(name for method in METHODS.values() for p in method.parameters for name in (p.name, *p.aliases))


def read_parameters(node: Node, level: Level, asked: Asked, report: Report) -> dict[str, Given]:
    """The parameters of one level under the names the method declares."""
    found: dict[str, Given] = {}
    for name, entry in values.table_entries(node).items():
        parameter = _wanted(name, entry, level, asked, report)
        if parameter is None:
            continue
        if parameter.name in found:
            names = " and ".join((parameter.name, *parameter.aliases))
            report.wrong(entry, f"{names} are the same and must be given once", "keep one of the two")
        elif parameter.ignored:
            report.note(entry, parameter.meaning)
        else:
            found[parameter.name] = _read(entry, parameter, report)
    return found


def unread(node: Node, why: str, report: Report) -> None:
    """A note for each parameter that stands where none is read."""
    for name, entry in values.table_entries(node).items():
        report.note(entry, f"{name} has no effect: {why}")


def _read(entry: Node, parameter: Parameter, report: Report) -> Given:
    stand_in: Given = 0.0
    return report.read(entry, lambda node: values.given(node, parameter, report), stand_in)


def _wanted(name: str, entry: Node, level: Level, asked: Asked, report: Report) -> Parameter | None:
    """The declaration a name stands for; None, with a problem or a note, where it is not to be read."""
    if name == "weight" and asked.mixup:
        report.wrong(entry, "weight is supplied by the ratio of mixup", "remove this line, or remove mixup")
        return None
    parameter = asked.method.parameter(name) if asked.method else None
    if parameter is None:
        return _unused(name, entry, asked, report)
    if not parameter.ignored and not _read_at(level, parameter):
        cure = f"move it to the parameters at the top level: `{entry.excerpt()}`"
        report.wrong(entry, f"{name} is not read at a {level}", cure)
        return None
    return parameter


def _read_at(level: Level, parameter: Parameter) -> bool:
    if level == "source":
        return parameter.per_source
    return level == "recipe" or parameter.varies


def _unused(name: str, entry: Node, asked: Asked, report: Report) -> Parameter | None:
    known = known_somewhere()
    if name in ELSEWHERE and (asked.mixup or name not in known):
        report.wrong(entry, f"{name} is no parameter of a method", f"move it under `{ELSEWHERE[name]}:`")
    elif name not in known:
        return _unknown(name, entry, asked, report)
    elif name == "weight" and asked.dialect == "paper" and asked.method:
        cure = "use dialect: mergekit, or `mixup: {ratio: ...}` instead of weights"
        report.wrong(entry, f"method {asked.name} has no weights in dialect paper", cure)
    elif asked.method:
        report.note(entry, f"no effect: method {asked.name} (dialect {asked.dialect}) does not use {name}")
    return None


def _unknown(name: str, entry: Node, asked: Asked, report: Report) -> Parameter | None:
    """Reports a misspelt name; returns the parameter it surely stands for, so that it is not missing too."""
    if asked.method is None:
        report.wrong(entry, f"unknown parameter {name!r}", nearest(name, known_somewhere()))
        return None
    names = [known for p in asked.method.parameters for known in (p.name, *p.aliases)]
    cure = nearest(name, names) if names else "remove this line: the method has no parameters"
    report.wrong(entry, f"unknown parameter {name!r} of method {asked.name}", cure)
    close = difflib.get_close_matches(name, names, n=1)
    return asked.method.parameter(close[0]) if close else None


def completed(found: Parameters, declared: Iterable[Parameter]) -> dict[str, Given]:
    """Top-level parameters with the defaults written out: a recipe's text says all that decides the result.

    Filters that may match no name end in the default, which is what no match falls through to.
    """
    full = dict(found)
    for parameter in declared:
        if parameter.default is None or parameter.ignored:
            continue
        given = full.setdefault(parameter.name, parameter.default)
        if isinstance(given, Filtered) and all(name is not None for name, _ in given.cases):
            full[parameter.name] = Filtered((*given.cases, (None, parameter.default)))
    return full
