"""What a recipe's `tokenizer` section says of single tokens, with models as their positions in the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from mixmerge.recipe.types import ModelRef, Recipe, TokenRow, TokenSetting
from mixmerge.tokens import NOTHING, Ask, Wanted


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
    match one.source:
        case None:
            return Ask(one.token, place=place)
        case "zero":
            return Ask(one.token, zero=True, force=one.force, place=place)
        case TokenRow(model, token, number):
            return Ask(one.token, position[model], other=token, number=number, force=one.force, place=place)
    assert_never(one.source)
