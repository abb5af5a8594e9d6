"""The forms a model may be named in, and what each means."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixmerge.recipe import ModelRef, canonical, parse_recipe, recipe_from_options


@pytest.mark.parametrize("name", ["no", "on", "1e3", "2024-01-01", "007", "1:30", "true"])
def test_a_model_keeps_its_name_whatever_yaml_makes_of_it(name: str) -> None:
    recipe = parse_recipe(f"merge_method: linear\nmodels: [{{model: {name}}}]\nparameters: {{weight: 1}}\n")
    assert recipe.slices[0].sources[0].model == ModelRef(name)
    assert parse_recipe(canonical(recipe)) == recipe


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("org/m@v1", ModelRef("org/m", "v1")),
        ("{model: {path: org/m, revision: v1}}", ModelRef("org/m", "v1")),
        ("{model: org/m@v1, lora: null}", ModelRef("org/m", "v1")),
        ("org/m+org/l", ModelRef("org/m", None, ModelRef("org/l"))),
        ("org/m@v1+org/l@v2", ModelRef("org/m", "v1", ModelRef("org/l", "v2"))),
        ("{model: org/m@v1, lora: org/l}", ModelRef("org/m", "v1", ModelRef("org/l"))),
        ("{model: {path: m}, lora: {path: l+x@y}}", ModelRef("m", None, ModelRef("l+x@y"))),
        ("{model: {path: m}, lora: {path: l, revision: v}}", ModelRef("m", None, ModelRef("l", "v"))),
        ("{model: {path: a+b@c}}", ModelRef("a+b@c")),
    ],
)
def test_forms_of_a_model(written: str, meant: ModelRef) -> None:
    recipe = parse_recipe(f"merge_method: linear\nmodels: [{{model: {written}}}]\nparameters: {{weight: 1}}\n")
    assert recipe.slices[0].sources[0].model == meant
    assert parse_recipe(canonical(recipe)) == recipe


def test_signs_in_paths_beside_the_one_of_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a+b", "c+d"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe("merge_method: linear\nmodels: [{model: a+b+c+d}]\nparameters: {weight: 1}\n")
    assert recipe.slices[0].sources[0].model == ModelRef("a+b", None, ModelRef("c+d"))
    monkeypatch.chdir(tmp_path / "a+b")
    assert parse_recipe(canonical(recipe)) == recipe
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe = parse_recipe("merge_method: linear\nmodels: [{model: ~/a+b}]\nparameters: {weight: 1}\n")
    assert recipe.slices[0].sources[0].model == ModelRef("~/a+b")


def test_everywhere_a_model_is_named() -> None:
    text = """
merge_method: ties
base_model: b+l
slices:
  - base_model: {model: c, lora: m}
    sources: [{model: x+l, layer_range: [0, 1]}, {model: y, layer_range: [0, 1]}]
tokenizer_source: x+l
parameters: {weight: 1, density: 0.5}
"""
    recipe = parse_recipe(text)
    adapter = ModelRef("l")
    assert recipe.base == ModelRef("b", None, adapter)
    assert recipe.slices[0].base == ModelRef("c", None, ModelRef("m"))
    assert recipe.slices[0].sources[0].model == ModelRef("x", None, adapter)
    assert recipe.tokenizer_source == "x+l"
    assert parse_recipe(canonical(recipe)) == recipe
    asked = recipe_from_options("ties", ["x+l", "y"], base="b", weight=[1], density=0.5)
    assert asked.slices[0].sources[0].model == ModelRef("x", None, adapter)


def test_an_existing_path_is_that_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a+b@c").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe("merge_method: linear\nmodels: [{model: a+b@c}]\nparameters: {weight: 1}\n")
    assert recipe.slices[0].sources[0].model == ModelRef("a+b@c")
    text = canonical(recipe)
    (tmp_path / "a+b@c").rmdir()
    assert parse_recipe(text) == recipe
