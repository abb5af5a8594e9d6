"""Recipes: YAML or options in, frozen and checked values out; one canonical text and hash per recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixmerge.mixup import Scope
from mixmerge.recipe.canonical import canonical, recipe_hash
from mixmerge.recipe.parse import Options, load_recipe, parse_recipe, recipe_from_options, with_overrides
from mixmerge.recipe.sources import base_of, merged_sources, method_of, model_refs, slice_key, source_key
from mixmerge.recipe.types import (
    Compute,
    Dare,
    Filtered,
    Given,
    Gradient,
    Mixup,
    ModelRef,
    Objective,
    Parameters,
    Recipe,
    Role,
    Sampler,
    Setting,
    Slice,
    Source,
    Span,
)
from mixmerge.startup import on_first_use

if TYPE_CHECKING:
    from mixmerge.recipe.study import VARIED, StudySection
    from mixmerge.recipe.tokenizer import TokenizerSection, TokenRow, TokenSetting
else:
    __getattr__ = on_first_use(__name__, {  # of sections that few recipes have
        "VARIED": "mixmerge.recipe.study",
        "StudySection": "mixmerge.recipe.study",
        "TokenRow": "mixmerge.recipe.tokenizer",
        "TokenSetting": "mixmerge.recipe.tokenizer",
        "TokenizerSection": "mixmerge.recipe.tokenizer",
    })  # fmt: skip

__all__ = [
    "VARIED",
    "Compute",
    "Dare",
    "Filtered",
    "Given",
    "Gradient",
    "Mixup",
    "ModelRef",
    "Objective",
    "Options",
    "Parameters",
    "Recipe",
    "Role",
    "Sampler",
    "Scope",
    "Setting",
    "Slice",
    "Source",
    "Span",
    "StudySection",
    "TokenRow",
    "TokenSetting",
    "TokenizerSection",
    "base_of",
    "canonical",
    "load_recipe",
    "merged_sources",
    "method_of",
    "model_refs",
    "parse_recipe",
    "recipe_from_options",
    "recipe_hash",
    "slice_key",
    "source_key",
    "with_overrides",
]
