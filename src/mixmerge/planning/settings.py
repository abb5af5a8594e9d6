"""Parameters of one tensor: which of the recipe's settings holds here, and its value (mergekit's look-up rules).

A value at the source wins over one at the output slice, over one at the top level, over the default. Each is a
number, a gradient over the layers of the slice, or a list of filters on the tensor's name of which the first that
matches wins; where none matches the search goes on to the next level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mixmerge.methods import Method, Number, Parameter
from mixmerge.planning.layout import Assembly
from mixmerge.recipe.types import Filtered, Given, Gradient, Parameters, Recipe, Setting

_MISSING: Final = object()


class UnsetError(LookupError):
    """A required parameter has no value at a tensor. parameter and source (position or None) say which."""

    def __init__(self, parameter: str, source: int | None) -> None:
        super().__init__(parameter)
        self.parameter = parameter
        self.source = source


def _lookup(levels: Sequence[Parameters], parameter: Parameter, name: str, position: float) -> Number | None:
    for level in levels:
        for key in (parameter.name, *parameter.aliases):
            value = _evaluate(level[key], name, position) if key in level else _MISSING
            if value is not _MISSING:
                return value  # type: ignore[return-value]
    return parameter.default


def _evaluate(given: Given, name: str, position: float) -> object:
    if not isinstance(given, Filtered):
        return _at(given, position)
    for fragment, setting in given.cases:
        if fragment is None or fragment in name:
            return _at(setting, position)
    return _MISSING


def _at(setting: Setting, position: float) -> Number:
    """A number, or a gradient's value at a position in [0, 1]: linear between evenly spaced anchors."""
    if not isinstance(setting, Gradient):
        return setting
    anchors = setting.anchors
    scaled = position * (len(anchors) - 1)
    left = min(int(scaled), len(anchors) - 1)
    right = min(left + 1, len(anchors) - 1)
    share = scaled - left
    return (1.0 - share) * anchors[left] + share * anchors[right]


def per_source(recipe: Recipe, method: Method, item: Assembly, mixed: bool) -> tuple[Mapping[str, Number], ...]:
    """For each source of the tensor, its per-source parameters. mixed: the ratio stands in for `weight`.

    Raises UnsetError where a required one has no value.
    """
    wanted = [p for p in method.parameters if p.per_source and not (mixed and p.name == "weight")]
    found = []
    for number, (member, part) in enumerate(zip(item.slice.members, item.inputs, strict=True)):
        levels = (member.source.parameters, item.slice.declared.parameters, recipe.parameters)
        values: dict[str, Number] = {}
        for parameter in wanted:
            value = _lookup(levels, parameter, part.span.name, item.position)
            if value is None:
                raise UnsetError(parameter.name, number)
            values[parameter.name] = value
        found.append(values)
    return tuple(found)


def shared(recipe: Recipe, method: Method, item: Assembly) -> Mapping[str, Number]:
    """The tensor's other parameters. Raises UnsetError where a required one has no value."""
    levels = (item.slice.declared.parameters, recipe.parameters)
    values: dict[str, Number] = {}
    for parameter in method.parameters:
        if not parameter.per_source:
            value = _lookup(levels, parameter, item.name, item.position)
            if value is None:
                raise UnsetError(parameter.name, None)
            values[parameter.name] = value
    return values
