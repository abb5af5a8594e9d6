"""Recipes: YAML or options in, frozen and checked values out; one canonical text and hash per recipe."""

from __future__ import annotations

from mixmerge.recipe.canonical import canonical, recipe_hash
from mixmerge.recipe.parse import Options, load_recipe, parse_recipe, recipe_from_options, with_overrides
from mixmerge.recipe.sources import (
    base_layers,
    base_of,
    merged_sources,
    method_of,
    slice_key,
    source_key,
    source_refs,
)
from mixmerge.recipe.types import (
    Dare,
    Filtered,
    Given,
    Gradient,
    Mixup,
    ModelRef,
    Parameters,
    Recipe,
    Scope,
    Setting,
    Slice,
    Source,
)

__all__ = [
    "Dare",
    "Filtered",
    "Given",
    "Gradient",
    "Mixup",
    "ModelRef",
    "Options",
    "Parameters",
    "Recipe",
    "Scope",
    "Setting",
    "Slice",
    "Source",
    "base_layers",
    "base_of",
    "canonical",
    "load_recipe",
    "merged_sources",
    "method_of",
    "parse_recipe",
    "recipe_from_options",
    "recipe_hash",
    "slice_key",
    "source_key",
    "source_refs",
    "with_overrides",
]
