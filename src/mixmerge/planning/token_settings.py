"""What a recipe's `tokenizer` section says of single tokens, with models as their positions in the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mixmerge.recipe.types import ModelRef, Recipe
from mixmerge.tokens import NOTHING, Ask, Wanted

if TYPE_CHECKING:
    from mixmerge.recipe import TokenSetting


def wanted_tokens(recipe: Recipe, position: Mapping[ModelRef, int]) -> Wanted:
    """Everything said of single tokens, with the places it is said at."""
    section = recipe.tokenizer
    if section is None:
        return NOTHING
    asks = tuple(_ask(recipe, one, position) for one in section.tokens)
    special = tuple((role, token, recipe.place(f"tokenizer.{role}_token")) for role, token in section.special.items())
    return Wanted(asks, special, section.pad_to_multiple_of)


def _ask(recipe: Recipe, one: TokenSetting, position: Mapping[ModelRef, int]) -> Ask:
    place = recipe.place(f"tokenizer.tokens.{one.token}")
    if one.source is None:
        return Ask(one.token, place=place)
    if one.source == "zero":
        return Ask(one.token, zero=True, force=one.force, place=place)
    row = one.source
    return Ask(one.token, position[row.model], other=row.token, number=row.number, force=one.force, place=place)
