"""Questions about the models of a recipe that its rules, the plan and the messages ask alike."""

from __future__ import annotations

from mixmerge.methods import METHODS, Method
from mixmerge.recipe.types import ModelRef, Recipe, Slice, Source


def method_of(recipe: Recipe) -> Method:
    """The declaration of the recipe's method in its dialect."""
    return METHODS[recipe.dialect, recipe.method]


def base_of(recipe: Recipe, part: Slice) -> ModelRef | None:
    """The base model of a slice: its own, else the recipe's."""
    return part.base or recipe.base


def merged_sources(recipe: Recipe, part: Slice) -> tuple[Source, ...]:
    """The sources that are merged, in order: without the base where the method works on task vectors.

    A ratio, an alpha per source and a weight per source refer to these.
    """
    return tuple(source for source in part.sources if is_merged(recipe, part, source))


def is_merged(recipe: Recipe, part: Slice, source: Source) -> bool:
    """Whether a listed source is merged: all are but the base of a method on task vectors."""
    return method_of(recipe).space != "delta" or source.model != base_of(recipe, part)


def model_refs(recipe: Recipe) -> tuple[ModelRef, ...]:
    """Every model of the recipe once: sources in the order listed, then bases of slices, then the recipe's."""
    sources = [source.model for part in recipe.slices for source in part.sources]
    bases = [base for base in (*(part.base for part in recipe.slices), recipe.base) if base is not None]
    return tuple(dict.fromkeys([*sources, *bases]))


def is_whole(recipe: Recipe) -> bool:
    """Whether the recipe lists whole `models` and no `slices`."""
    first = recipe.slices[0].sources[:1] if recipe.slices else ()
    return len(recipe.slices) == 1 and all(source.layers is None for source in first)


def slice_key(recipe: Recipe, part: int) -> str:
    """Key path of a slice; the empty path in a recipe of whole models."""
    return "" if is_whole(recipe) and "slices" not in recipe.places else f"slices[{part}]"


def source_key(recipe: Recipe, part: int, source: int) -> str:
    """Key path of a source as written, for `Recipe.place`; that of base_model where it is not listed."""
    inside = slice_key(recipe, part)
    key = f"{inside}.sources[{source}]" if inside else f"models[{source}]"
    unlisted = key not in recipe.places and recipe.slices[part].sources[source].model == recipe.base
    return "base_model" if unlisted else key
