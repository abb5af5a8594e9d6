"""How what is wrong with a recipe is told: readable, all of it at once, and never without end."""

from __future__ import annotations

import pytest

from mixmerge.errors import RecipeError
from mixmerge.recipe import parse_recipe
from recipe.test_bad_recipes import LINEAR, TIES


def test_message_reads_as_promised() -> None:
    text = TIES.replace("{weight: 0.5}", "\n      weight: 0.5\n      densty: 0.5", 1)
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "recipe.yaml")
    assert str(caught.value) == (
        "unknown parameter 'densty' of method ties\n"
        "  found: densty: 0.5\n"
        "  at:    recipe.yaml:7 (models[0].parameters.densty)\n"
        "  fix:   did you mean 'density'?"
    )


def test_everything_wrong_is_told_at_once() -> None:
    text = """\
merge_method: ties
modles: []
models:
  - model: x
  - model: y@
    parameters: {weight: abc, density: 5}
dtype: float8
seed: -1
dare: {drop_rate: 2, of: weights}
dialect: mergekit
"""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text)
    lines = sorted(int(problem.place.split(":")[1].split()[0]) for problem in caught.value.problems)
    assert lines == [1, 2, 4, 5, 6, 6, 7, 8, 9, 9]


def test_an_unknown_method_does_not_hide_the_rest() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TIES.replace("ties", "tyes") + "parameters: {densty: 1}\ndtype: f\n")
    assert [problem.rule for problem in caught.value.problems] == [
        "unknown merge method 'tyes'",
        "unknown parameter 'densty'",
        "unknown dtype 'f'",
    ]


def test_the_number_of_problems_is_bounded() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe("".join(f"key{i}: 1\n" for i in range(300)))
    assert len(caught.value.problems) == 101
    assert "stopped after 100" in caught.value.problems[-1].rule


def test_aliases_cannot_blow_up() -> None:
    levels = "".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    with pytest.raises(RecipeError, match="aliases written out"):
        parse_recipe("k0: &a0 [1, 2]\n" + levels)


def test_long_values_are_cut() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(LINEAR + "dtype: " + "x" * 10_000 + "\n")
    assert len(caught.value.problems[0].value) < 100
