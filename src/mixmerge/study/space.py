"""What a study may vary, as coordinates: every draw is a point u of the open unit cube.

A ratio is the law's inverse distribution function at its coordinates, so every sampler that moves in u keeps the
law as its prior. Other values are uniform over the range given. Knows no sampler and no storage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mixmerge.errors import Problem, RecipeError, nearest
from mixmerge.methods import METHODS, method_names
from mixmerge.mixup import Ratio, RatioLaw, equal_ratio
from mixmerge.planning.build import EQUAL
from mixmerge.recipe import VARIED, Parameters, Recipe, canonical, parse_recipe

MAX_DIMENSIONS: Final = 100
NUMBERS: Final = {name: span for name, span in VARIED.items() if span is not None}
"""Numbers that may vary, and the widest range each may have."""

MEASURED: Final = ("method", "density", "drop_rate")
"""Values the statistics depend on: another one means measuring again."""

DECIMALS: Final = 4
Value = float | str
Range = tuple[float, float] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One draw, decided. ratios: by group. values: what else varied (alpha, density, drop_rate, scale, method)."""

    ratios: Mapping[str, Ratio]
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Space:
    """groups: those a ratio is drawn for; centre: those merged at equal ratio. vary: beside the ratio, in order."""

    law: RatioLaw
    groups: tuple[str, ...]
    centre: tuple[str, ...]
    vary: Mapping[str, Range]

    @property
    def names(self) -> tuple[str, ...]:
        """One name a coordinate; the storage keeps them under these."""
        axes = range(self.law.dimensions)
        ratio = [_axis_name(group, axis, len(axes)) for group in self.groups for axis in axes]
        return (*ratio, *self.vary)

    def point(self, coordinates: Sequence[float]) -> Point:
        """The draw at coordinates in (0, 1), one a name."""
        assert len(coordinates) == len(self.names), "one coordinate a name"
        start = len(coordinates) - len(self.vary)
        values = {name: _value(span, u) for (name, span), u in zip(self.vary.items(), coordinates[start:], strict=True)}
        law = self._law(values)
        parts = {
            group: law.ratio(coordinates[index * law.dimensions : (index + 1) * law.dimensions])
            for index, group in enumerate(self.groups)
        }
        return Point(parts | self._centre(), values)

    def equal(self) -> Point:
        """Every group at equal ratio, nothing else varied."""
        return Point({group: equal_ratio(len(self.law.alpha)) for group in (*self.groups, *self.centre)}, {})

    def _centre(self) -> dict[str, Ratio]:
        return {group: equal_ratio(len(self.law.alpha)) for group in self.centre}

    def _law(self, values: Mapping[str, Value]) -> RatioLaw:
        if "alpha" not in values:
            return self.law
        return RatioLaw((float(values["alpha"]),) * len(self.law.alpha))


def _axis_name(group: str, axis: int, axes: int) -> str:
    name = "u" if group == "model" else f"u[{group}]"
    return name if axes == 1 else f"{name}.{axis + 1}"


def _value(span: Range, u: float) -> Value:
    if isinstance(span[0], str):
        return span[min(int(u * len(span)), len(span) - 1)]
    low, high = span
    return round(float(low) + u * (float(high) - float(low)), DECIMALS)


def make_space(law: RatioLaw, groups: Sequence[str], vary: Mapping[str, Range]) -> Space:
    """The space of a plan's law and groups. Raises RecipeError where it has too many dimensions to explore."""
    drawn = tuple(group for group in groups if group != EQUAL)
    centre = tuple(group for group in groups if group == EQUAL)
    space = Space(law, drawn, centre, vary)
    if len(space.names) > MAX_DIMENSIONS:
        rule = f"a study explores at most {MAX_DIMENSIONS} numbers"
        found = f"{len(space.names)}: {len(drawn)} groups of {law.dimensions}, and {len(vary)} more"
        cure = "choose `scope: block` or `model`, or restrict `mixup.filter`"
        raise RecipeError(Problem(rule, found, "mixup.scope", cure))
    return space


def parse_vary(vary: Mapping[str, Sequence[float] | Sequence[str] | str], recipe: Recipe) -> dict[str, Range]:
    """Checked ranges, in the order of alpha, density, drop_rate, scale, method. Raises RecipeError with all problems.

    vary: [low, high] of a number, or the name or names of methods. Only what the recipe uses can vary.
    """
    known = (*NUMBERS, "method")
    problems = [
        Problem("what may vary is known", repr(name), "vary", nearest(name, known))
        for name in vary
        if name not in known
    ]
    methods = [recipe.method, *map(str, _listed(vary.get("method", ())))]
    found: dict[str, Range] = {}
    for name in known:
        if name in vary:
            problem, span = _range(name, _listed(vary[name]), recipe, methods)
            problems += [problem] if problem is not None else []
            found[name] = span
    if problems:
        raise RecipeError(problems)
    return found


def _listed(given: Any) -> list[Any]:
    """A list as it is; anything else as a list of one, which is refused where it does not do."""
    return [given] if isinstance(given, str | Mapping) or not isinstance(given, Iterable) else list(given)


def _range(
    name: str, given: Sequence[float | str], recipe: Recipe, methods: Sequence[str]
) -> tuple[Problem | None, Range]:
    """methods: the recipe's and those that vary."""
    place = f"vary.{name}"
    if name == "method":
        names = tuple(str(item) for item in given)
        unknown = [item for item in names if (recipe.dialect, item) not in METHODS]
        if unknown or not names:
            cure = nearest(unknown[0], method_names()) if unknown else "name at least one method"
            return Problem(f"methods of dialect {recipe.dialect} may vary", ", ".join(unknown), place, cure), names
        return None, names
    low, high = NUMBERS[name]
    good = len(given) == 2 and all(isinstance(item, int | float) for item in given)
    span = (float(given[0]), float(given[1])) if good else (low, high)
    if not good or not low <= span[0] < span[1] <= high:
        rule, cure = f"{name} varies from a lower to a higher number", f"give two numbers from {low:g} to {high:g}"
        return Problem(rule, str(list(given)), place, cure), span
    return _unused(name, recipe, methods), span


def _unused(name: str, recipe: Recipe, methods: Sequence[str]) -> Problem | None:
    """A number that no method has a use for cannot vary: trials would differ in nothing."""
    if name == "alpha":
        return None
    if name == "drop_rate":
        used = recipe.dare is not None
        cure = "add `dare:` to the recipe"
    else:
        known = [METHODS[key] for method in methods if (key := (recipe.dialect, method)) in METHODS]
        used = any(method.parameter(name) is not None for method in known)
        cure = f"choose a method with {name}, or do not vary it"
    return None if used else Problem(f"the recipe uses {name}", f"method {recipe.method}", f"vary.{name}", cure)


def with_values(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """The recipe with a point's values, checked like any other; the ratio is not in it.

    Values given for one source or filter give way to the varied one. Raises RecipeError.
    """
    if not values:
        return recipe
    method = str(values.get("method", recipe.method))
    declared = {name: METHODS[recipe.dialect, method].parameter(name) for name in ("density", "scale")}
    numbers = {p.name: values[name] for name, p in declared.items() if p is not None and name in values}
    known = {p.name for p in METHODS[recipe.dialect, method].parameters}
    kept = {name: value for name, value in recipe.parameters.items() if name in known}
    changed = replace(_without(recipe, set(numbers)), method=method, parameters={**kept, **numbers})
    if "drop_rate" in values and recipe.dare is not None:
        changed = replace(changed, dare=replace(recipe.dare, drop_rate=float(values["drop_rate"])))
    if "alpha" in values and recipe.mixup is not None:
        changed = replace(changed, mixup=replace(recipe.mixup, alpha=(float(values["alpha"]),)))
    return parse_recipe(canonical(changed), "varied recipe")


def _without(recipe: Recipe, names: Collection[str]) -> Recipe:
    """Values at sources and slices taken out, so that the varied ones at the top hold."""
    slices = tuple(
        replace(
            part,
            parameters=_other(part.parameters, names),
            sources=tuple(replace(item, parameters=_other(item.parameters, names)) for item in part.sources),
        )
        for part in recipe.slices
    )
    return replace(recipe, slices=slices)


def _other(parameters: Parameters, names: Collection[str]) -> Parameters:
    return {name: value for name, value in parameters.items() if name not in names}
