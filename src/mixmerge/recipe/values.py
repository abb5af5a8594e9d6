"""Readers of single values: each takes a node and returns a checked Python value, or raises `RefusedError`.

The traps of YAML 1.1 end here: 1e-3 is a number, yes/no/on/off are flags only where a flag is wanted, and a
model called `no` or `1e5` keeps its name.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, TypeVar

from mixmerge.errors import nearest
from mixmerge.methods import Number, Parameter
from mixmerge.mixup import equal_ratio, rounded
from mixmerge.recipe.nodes import Listing, Node, Scalar, Table
from mixmerge.recipe.report import RefusedError, Report
from mixmerge.recipe.types import UNION, Filtered, Given, Gradient, ModelRef, Setting

NOWHERE: Final[Mapping[str, str]] = {}

MAX_SEED = 2**63
S = TypeVar("S", bound=str)

# A leading zero is not taken for a decimal number: YAML 1.1 would read 010 as 8.
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9](?:_?[0-9]){0,30})", re.ASCII)


def text(node: Node) -> str:
    """The text of a scalar, exactly as written."""
    if not isinstance(node, Scalar) or node.null or not node.text:
        raise RefusedError(node, f"{node.name()} must be text", "write it in quotes")
    try:
        node.text.encode()
    except UnicodeEncodeError:
        rule, cure = f"{node.name()} must be text in whole characters", "write it without halves of surrogate pairs"
        raise RefusedError(node, rule, cure, ascii(node.excerpt())) from None
    return node.text


def flag(node: Node) -> bool:
    """true or false (yes, no, on, off in YAML); the numbers 1 and 0 too, as mergekit takes them."""
    if isinstance(node, Scalar):
        if node.flag is not None:
            return node.flag
        if _NUMBER.fullmatch(node.text) and float(node.text) in (0.0, 1.0):
            return bool(float(node.text))
    raise RefusedError(node, f"{node.name()} must be true or false", f"write {node.name()}: true, without quotes")


def number(node: Node, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from low to high, both included."""
    plain = isinstance(node, Scalar) and node.flag is None and _NUMBER.fullmatch(node.text)
    value = float(node.text) if plain and isinstance(node, Scalar) else math.nan
    if not math.isfinite(value):
        raise RefusedError(node, f"{node.name()} must be a finite number", "write it as 0.5 or 1e-3")
    if not low <= value <= high:
        raise RefusedError(node, f"{node.name()} must be {span(low, high)}", nearest_bound(value, low, high))
    return value + 0.0  # -0.0 becomes 0.0: one number, one canonical text


def integer(node: Node, low: float = -math.inf, high: float = math.inf) -> int:
    """A whole number from low to high, both included."""
    if not isinstance(node, Scalar) or not _INTEGER.fullmatch(node.text):
        raise RefusedError(node, f"{node.name()} must be a whole number", "write it in decimal digits, as 42")
    value = int(node.text)
    if not low <= value <= high:
        raise RefusedError(node, f"{node.name()} must be {span(low, high)}", nearest_bound(value, low, high))
    return value


def seed(node: Node) -> int:
    """A whole number in [0, 2**63)."""
    return integer(node, 0, MAX_SEED - 1)


def choice(node: Node, choices: Collection[S]) -> S:
    """One of the given words."""
    word = text(node)
    for known in choices:
        if word == known:
            return known
    raise RefusedError(node, f"{node.name()} must be one of: {', '.join(choices)}", nearest(word, choices))


def span(low: float, high: float) -> str:
    """A range in words."""
    if math.isinf(high):
        return f"at least {_written(low)}"
    return f"at most {_written(high)}" if math.isinf(low) else f"between {_written(low)} and {_written(high)}"


def _written(bound: float) -> str:
    """A whole number in all its digits, so that what is said can be written."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def nearest_bound(value: float, low: float, high: float) -> str:
    """A cure for a number out of range; percentages are recognised."""
    if (low, high) == (0, 1) and 1 < value <= 100:
        return f"a fraction is meant: {value / 100:g} for {value:g} %"
    return f"the nearest allowed value is {_written(low if value < low else high)}"


def items(node: Node) -> Sequence[Node]:
    """The nodes of a list with at least one item."""
    if not isinstance(node, Listing) or not node.items:
        raise RefusedError(node, f"{node.name()} must be a list with at least one item", "write `- item`, one a line")
    return node.items


def numbers(node: Node, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
    """One number, or a list of numbers."""
    if isinstance(node, Listing):
        return tuple(number(item, low, high) for item in items(node))
    return (number(node, low, high),)


def ratio(node: Node) -> tuple[float, ...]:
    """A ratio: one number r for two sources, meaning (r, 1 - r), or one per source; each in [0, 1], sum 1."""
    values = numbers(node, 0, 1)
    if not isinstance(node, Listing):
        return (values[0], float(1 - Decimal(repr(values[0]))))
    if abs(math.fsum(values) - 1) > 1e-6:
        total = math.fsum(values)
        shares = list(rounded([value / total for value in values] if total else equal_ratio(len(values))))
        raise RefusedError(node, f"the numbers of a ratio must sum to 1, not {total:g}", f"scaled: {shares}")
    return values


def names(node: Node) -> tuple[str, ...]:
    """One text, or a list of texts."""
    return tuple(text(item) for item in items(node)) if isinstance(node, Listing) else (text(node),)


def layer_range(node: Node) -> tuple[int, int]:
    """[first, end) of the layers taken from a model."""
    ends = tuple(integer(item, 0) for item in items(node))
    if len(ends) != 2 or ends[0] >= ends[1]:
        rule = "layer_range must be [first, end] with 0 <= first < end"
        raise RefusedError(node, rule, "[0, 8] takes the layers 0 to 7")
    return ends


def value_of(node: Node, parameter: Parameter) -> Number:
    """One value of a method's parameter."""
    if parameter.kind == "flag":
        return flag(node)
    if parameter.kind == "choice":
        return choice(node, parameter.choices)
    return number(node, parameter.low, parameter.high)


def given(node: Node, parameter: Parameter, report: Report) -> Given:
    """What a recipe says of a parameter: a value, a gradient, or a list of filters."""
    if isinstance(node, Table) or (isinstance(node, Listing) and not node.items):
        cure = "write a value, a list of numbers by layer, or a list of {filter, value}"
        raise RefusedError(node, f"{node.name()} has no such form", cure)
    if not isinstance(node, Listing):
        return value_of(node, parameter)
    if not parameter.varies:
        raise RefusedError(node, f"{node.name()} must be one value for the whole model", "write a single value")
    if isinstance(node.items[0], Table):
        return Filtered(tuple(_case(item, parameter, report) for item in node.items))
    return _gradient(node, parameter)


def _gradient(node: Node, parameter: Parameter) -> Gradient:
    if parameter.kind != "number":
        cure = "use a list of {filter, value} to set it by tensor name"
        raise RefusedError(node, f"{node.name()} is no number, so it cannot be a gradient over layers", cure)
    return Gradient(numbers(node, parameter.low, parameter.high))


def _case(node: Node, parameter: Parameter, report: Report) -> tuple[str | None, Setting]:
    """One {filter, value}; a filter that is left out, empty or * matches every name."""
    entries = table(node, ("filter", "value"), report)
    if "value" not in entries:
        raise RefusedError(node, "a filter needs a value", "add `value: ...` beside the filter")
    word = entries.get("filter")
    name = None if word is None or is_null(word) or word.text_of() in ("", "*") else text(word)
    setting = given(entries["value"], parameter, report)
    if isinstance(setting, Filtered):
        raise RefusedError(entries["value"], "filters cannot be nested", "write one flat list of {filter, value}")
    return name, setting


def is_null(node: Node) -> bool:
    """Whether YAML holds nothing here."""
    return isinstance(node, Scalar) and node.null


def table(
    node: Node, known: Collection[str], report: Report, elsewhere: Mapping[str, str] = NOWHERE
) -> Mapping[str, Node]:
    """The known entries of a mapping; every other key is reported with the nearest known one, or with the section in
    which it can stand. elsewhere: key -> that section."""
    if not isinstance(node, Table):
        cure = f"its keys: {', '.join(known)}"
        if isinstance(node, Scalar) and not node.null and "model" in known:
            cure = f"write `model: {node.text}`; {cure}"
        raise RefusedError(node, f"{node.name()} must be a mapping", cure)
    for key, entry in node.entries.items():
        if key not in known:
            cure = f"write it inside `{elsewhere[key]}:`" if key in elsewhere else nearest(key, known)
            report.wrong(entry, f"unknown key {key!r}", cure)
    return {key: entry for key, entry in node.entries.items() if key in known}


def table_entries(node: Node) -> Mapping[str, Node]:
    """The entries of a mapping whose keys are not decided here; none of nothing."""
    if is_null(node):
        return {}
    if not isinstance(node, Table):
        raise RefusedError(
            node, f"{node.name()} must be a mapping of names to values", "write `name: value`, one a line"
        )
    return node.entries


def model_ref(node: Node, report: Report) -> ModelRef:
    """A model: a path or hub id, `id@revision`, `model+adapter`, or mergekit's mapping {model: ..., lora: ...}.

    A text that names an existing local path is that path, whatever signs it holds.
    """
    if isinstance(node, Table):
        return _model_table(node, report)
    word = text(node)
    if _exists(word) or "+" not in word:
        return _plain_ref(node, word)
    base, adapter = _divided(node, word)
    return replace(_plain_ref(node, base), adapter=_plain_ref(node, adapter))


def tokens_source(node: Node, report: Report) -> str:
    """`union`, `base` or a model."""
    if not isinstance(node, Table) and text(node) == UNION:
        return UNION
    return str(model_ref(node, report))


def _exists(path: str) -> bool:
    """Whether something on this disk has that name; ~ is the person's home."""
    return os.path.exists(os.path.expanduser(path))


def _divided(node: Node, word: str) -> tuple[str, str]:
    """The two parts of `model+adapter`. Where there are several signs, the one between two local paths."""
    places = [place for place, sign in enumerate(word) if sign == "+"]
    parts = [(word[:place], word[place + 1 :]) for place in places]
    found = parts if len(parts) == 1 else [two for two in parts if all(map(_exists, two))]
    if len(found) != 1 or not all(found[0]):
        rule = "a model with an adapter is model+adapter, with one + between them"
        raise RefusedError(node, rule, "write {model: {path: ...}, lora: {path: ...}}")
    return found[0]


def _plain_ref(node: Node, word: str) -> ModelRef:
    """A path, or a hub id with or without a revision. In an address @ is no sign of one."""
    if _exists(word) or "://" in word:
        return ModelRef(word)
    path, at, revision = word.partition("@")
    if not path or (at and not revision) or "@" in revision:
        raise RefusedError(node, "a model is a path or a hub id, with at most one @revision", "write name@revision")
    return _revised(node, path, revision or None)


def _revised(node: Node, path: str, revision: str | None) -> ModelRef:
    """Only what the hub holds has revisions: a folder's would be passed over."""
    if revision is not None and _exists(path):
        rule = f"a folder on this disk has no revisions, and {path} is one"
        raise RefusedError(node, rule, "leave the revision out; or work where no folder has the hub id's name")
    return ModelRef(path, revision)


def _model_table(node: Table, report: Report) -> ModelRef:
    entries = table(node, ("model", "lora", "override_architecture"), report)
    if "override_architecture" in entries:
        report.note(entries["override_architecture"], "no effect: merging needs no architecture")
    if "model" not in entries:
        raise RefusedError(
            node, "the mapping form of a model needs `model`", "write {model: {path: ..., revision: ...}}"
        )
    model = _inner_ref(entries["model"], report)
    if "lora" not in entries or is_null(entries["lora"]):
        return model
    return replace(model, adapter=_inner_ref(entries["lora"], report))


def _inner_ref(node: Node, report: Report) -> ModelRef:
    """A model or an adapter inside the mapping form."""
    if not isinstance(node, Table):
        return _plain_ref(node, text(node))
    parts = table(node, ("path", "revision"), report)
    if "path" not in parts:
        raise RefusedError(node, "the mapping form of a model needs `path`", "write {path: ..., revision: ...}")
    revision = parts.get("revision")
    return _revised(node, text(parts["path"]), None if revision is None or is_null(revision) else text(revision))
