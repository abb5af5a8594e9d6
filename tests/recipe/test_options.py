"""Recipes from options of a command line, alone and beside a recipe."""

from __future__ import annotations

import pytest

from mixmerge.errors import RecipeError
from mixmerge.recipe import (
    Dare,
    Mixup,
    ModelRef,
    canonical,
    parse_recipe,
    recipe_from_options,
    with_overrides,
)

TIES = "merge_method: ties\nbase_model: b\nmodels: [{model: x}, {model: y}]\n"
WEIGHTED = TIES + "parameters: {weight: 1}\n"


def test_options_equal_the_file_they_stand_for() -> None:
    recipe = recipe_from_options(
        "ties",
        ["x", "y"],
        base="b",
        density=0.3,
        alpha=0.25,
        scope="layer",
        dare=0.1,
        seed=7,
        dtype="bfloat16",
    )
    text = TIES + (
        "parameters: {density: 0.3}\nmixup: {alpha: 0.25, scope: layer}\ndare: 0.1\nseed: 7\ndtype: bfloat16"
    )
    assert recipe == parse_recipe(text)
    assert parse_recipe(canonical(recipe)) == recipe


def test_weights() -> None:
    each = recipe_from_options("linear", ["x", "y@v1"], weight=[0.25, 0.75], parameters={"normalize": False})
    assert [source.parameters for source in each.slices[0].sources] == [{"weight": 0.25}, {"weight": 0.75}]
    assert each.slices[0].sources[1].model == ModelRef("y", "v1")
    assert each.parameters == {"normalize": False}
    shared = recipe_from_options("linear", ["x", "y"], weight=[1])
    assert shared.parameters == {"normalize": True, "weight": 1.0}


def test_places_name_the_option() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_options(
            "ties",
            ["x", "y@"],
            density=2,
            parameters={"densty": 1},
            alpha=-1,
            dtype="f",
            seed=-1,
            weight=[1, 2],
        )
    told = {problem.place: problem.rule for problem in caught.value.problems}
    assert told.keys() == {
        "MODELS (models[1].model)",
        "--density (parameters.density)",
        "-p densty=1 (parameters.densty)",
        "--alpha (mixup.alpha)",
        "--dtype (dtype)",
        "--seed (seed)",
        "--weight (models[0].parameters.weight)",
        "--weight (models[1].parameters.weight)",
        "--method (merge_method)",
    }
    assert "needs a base_model" in told["--method (merge_method)"]


def test_a_parameter_is_named_as_typed() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_options(
            "ties", ["x"], base="b", density=0.5, parameters={"density": "0.4", "normalize": 3, "scale": ["1", "x"]}
        )
    told = {problem.place: problem.rule for problem in caught.value.problems}
    assert told["--density"] == "density is given once"
    assert told.keys() >= {"-p normalize=3 (parameters.normalize)", "-p scale=1,x (parameters.scale[1])"}, told


def test_number_of_weights() -> None:
    with pytest.raises(RecipeError, match="as many weights as models"):
        recipe_from_options("linear", ["x", "y"], weight=[1, 2, 3])


def test_no_models() -> None:
    with pytest.raises(RecipeError, match="at least one item"):
        recipe_from_options("linear", [])


def test_options_beside_a_text_win() -> None:
    text = TIES + "mixup: {alpha: 1, seed: 3}\ndare: 0.3\nout_dtype: float32\n"
    recipe = parse_recipe(text, ratio=0.25, seed=5, dare_rescale=False, dtype="float16", filter=["mlp"])
    assert recipe.mixup == Mixup(ratio=(0.25, 0.75), filters=("mlp",))
    assert recipe.dare == Dare(0.3, rescale=False)
    assert (recipe.seed, recipe.dtype) == (5, "F16")
    assert recipe.place("mixup.ratio") == "--ratio (mixup.ratio)"


def test_options_beside_a_text_decide_the_dialect_as_the_text_would() -> None:
    assert parse_recipe(TIES, alpha=0.5).dialect == "paper"
    assert parse_recipe(TIES + "dialect: mergekit\n", alpha=0.5).dialect == "mergekit"
    assert parse_recipe(TIES + "mixup:\n", alpha=0.5).mixup == Mixup()


def test_options_do_not_hide_what_is_wrong() -> None:
    with pytest.raises(RecipeError, match="mixup must be a mapping"):
        parse_recipe(TIES + "mixup: 0.5\n", alpha=0.5)


def test_overrides() -> None:
    drawn = parse_recipe(TIES + "mixup: {alpha: 0.5, seed: 1}\n", "r.yaml")
    fixed = with_overrides(drawn, ratio=(0.3, 0.7))
    assert fixed.mixup == Mixup(ratio=(0.3, 0.7), seed=1)
    assert fixed.place("mixup.ratio") == "--ratio (mixup.ratio)"
    assert fixed.place("models[1].model") == "r.yaml:3 (models[1].model)"
    assert with_overrides(fixed, alpha=0.5) == drawn
    assert with_overrides(drawn, seed=9).mixup == Mixup()
    assert with_overrides(drawn, seed=None, ratio=None) == drawn


def test_overrides_keep_notes_and_the_unlisted_base() -> None:
    recipe = parse_recipe("merge_method: linear\nbase_model: b\nmodels: [{model: x}]\nparameters: {weight: 1, t: 1}\n")
    assert with_overrides(recipe, seed=1).slices == recipe.slices
    assert with_overrides(recipe, seed=1).notes == recipe.notes != ()


def test_overrides_are_checked() -> None:
    with pytest.raises(RecipeError) as caught:
        with_overrides(parse_recipe(TIES + "mixup: {}\n", "r.yaml"), ratio=(0.5, 0.25, 0.25), dtype="f")
    assert [problem.place for problem in caught.value.problems] == [
        "--dtype (dtype)",
        "--ratio (mixup.ratio)",
    ]


def test_mixup_added_beside_weights_is_refused_where_the_weights_stand() -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml:4 \(parameters\.weight\)"):
        with_overrides(parse_recipe(WEIGHTED, "r.yaml"), alpha=0.5)
