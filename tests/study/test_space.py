"""Coordinates: what they are called, where they lead, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mixmerge.errors import PlanError, RecipeError
from mixmerge.mixup import RatioLaw, draw
from mixmerge.recipe import parse_recipe
from mixmerge.rng import uniform
from mixmerge.study.samplers import FIRST, make_sampler
from mixmerge.study.space import Space, make_space, parse_vary, with_values
from mixmerge.study.storage import Storage

TIES = (
    "merge_method: ties\nbase_model: b\nmodels: [{model: x}, {model: y}]\n"
    "parameters: {density: 0.4, scale: 2}\ndare: {drop_rate: 0.3}\nmixup: {alpha: 0.5}\n"
)
PAIR = RatioLaw((0.5, 0.5))


def test_a_point_has_the_laws_ratio_at_its_coordinates() -> None:
    space = make_space(RatioLaw((1.0, 2.0, 3.0)), ["attention", "mlp"], {"scale": (0.5, 1.5)})
    assert space.names == ("u[attention].1", "u[attention].2", "u[mlp].1", "u[mlp].2", "scale")
    point = space.point((0.1, 0.2, 0.3, 0.4, 0.25))
    assert point.ratios["mlp"] == space.law.ratio((0.3, 0.4))
    assert point.values == {"scale": 0.75}


def test_every_name_is_short_where_one_ratio_holds_for_all() -> None:
    assert make_space(PAIR, ["model"], {}).names == ("u",)


def test_groups_outside_the_filter_stay_at_the_centre() -> None:
    space = make_space(PAIR, ["model", "equal"], {})
    assert space.names == ("u",)
    assert space.point((0.9,)).ratios["equal"] == (0.5, 0.5)


def test_a_varied_alpha_is_the_laws() -> None:
    space = make_space(PAIR, ["model"], {"alpha": (1.0, 3.0)})
    assert space.point((0.7, 0.5)).ratios["model"] == RatioLaw((2.0, 2.0)).ratio((0.7,))


def test_methods_share_the_unit_interval() -> None:
    space = make_space(PAIR, ["model"], {"method": ("linear", "ties")})
    assert [space.point((0.5, u)).values["method"] for u in (0.1, 0.49, 0.51, 0.99)] == [
        "linear", "linear", "ties", "ties",
    ]  # fmt: skip


def test_hundreds_of_dimensions_are_refused() -> None:
    with pytest.raises(RecipeError, match="at most 100 numbers") as caught:
        make_space(PAIR, [f"layer {n}" for n in range(200)], {})
    assert "scope: block" in str(caught.value)


def test_what_may_not_vary_is_told_at_once() -> None:
    recipe = parse_recipe(TIES.replace("ties", "linear").replace("{density: 0.4, scale: 2}", "{}"))
    with pytest.raises(RecipeError) as caught:
        parse_vary({"densty": [0, 1], "density": [0.2, 0.8], "drop_rate": [0.9, 0.1], "method": ["tise"]}, recipe)
    text = str(caught.value)
    assert "did you mean 'density'?" in text
    assert "the recipe uses density" in text
    assert "[0.9, 0.1]" in text
    assert "did you mean 'ties'?" in text


def test_a_method_by_itself_is_one_and_what_is_no_list_is_told() -> None:
    recipe = parse_recipe(TIES)
    assert parse_vary({"method": "linear"}, recipe) == {"method": ("linear",)}
    wrong: Any = {"alpha": 0.5, "density": {"low": 0.1}, "method": 3}
    with pytest.raises(RecipeError) as caught:
        parse_vary(wrong, recipe)
    found = [(problem.place, problem.value) for problem in caught.value.problems]
    assert found == [("vary.alpha", "[0.5]"), ("vary.density", "[{'low': 0.1}]"), ("vary.method", "3")]


def test_varied_values_reach_the_recipe() -> None:
    recipe = with_values(parse_recipe(TIES), {"density": 0.25, "scale": 0.5, "drop_rate": 0.1, "alpha": 2.0})
    assert recipe.parameters["density"] == 0.25
    assert recipe.parameters["scale"] == 0.5
    assert recipe.dare is not None
    assert recipe.dare.drop_rate == 0.1
    assert recipe.mixup is not None
    assert recipe.mixup.alpha == (2.0,)


def test_another_method_keeps_what_it_knows() -> None:
    recipe = with_values(parse_recipe(TIES), {"method": "task_arithmetic"})
    assert recipe.method == "task_arithmetic"
    assert recipe.parameters == {"scale": 2}


def _points(tmp_path, name: str, space: Space, count: int, seed: int = 3) -> list[tuple[float, ...]]:
    storage = Storage(tmp_path, None, "s", space, make_sampler(name, space.names, seed), 1)
    return [storage.ask().coordinates for _ in range(count)]


def test_random_draws_are_addressed(tmp_path) -> None:
    space = make_space(PAIR, ["model"], {})
    assert _points(tmp_path, "random", space, 3) == [(uniform(3, "trial", number, "u"),) for number in range(3)]


def test_sobol_covers_evenly_whatever_the_start(tmp_path) -> None:
    space = make_space(PAIR, ["model"], {})
    points = [u for (u,) in _points(tmp_path, "sobol", space, 16)]
    assert sorted(int(u * 16) for u in points) == list(range(16))
    assert all(0.0 < u < 1.0 for u in points)


def test_seeds_give_other_draws(tmp_path) -> None:
    space = make_space(PAIR, ["model"], {})
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (_points(folder, "sobol", space, 4, seed) for seed, folder in enumerate(folders))
    assert first != second


def test_one_number_is_not_for_cmaes() -> None:
    with pytest.raises(PlanError, match="two numbers or more"):
        make_sampler("cmaes", ("u",), 0)


def test_an_unknown_sampler_is_named() -> None:
    with pytest.raises(PlanError, match="did you mean 'sobol'"):
        make_sampler("soboll", ("u",), 0)  # type: ignore[arg-type]


def test_first_draws_of_tpe_are_sobols(tmp_path) -> None:
    space = make_space(PAIR, ["model"], {})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert _points(tmp_path / "a", "tpe", space, FIRST) == _points(tmp_path / "b", "sobol", space, FIRST)


def test_the_law_is_the_paper_s() -> None:
    assert draw(PAIR, 1, "model") == PAIR.ratio((uniform(1, "ratio", "model", 0),))
