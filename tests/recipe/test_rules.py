"""Rules that no method of today can break, shown on declarations made up for it."""

from __future__ import annotations

from dataclasses import replace

from mixmerge.methods import METHODS, Parameter
from mixmerge.recipe import parse_recipe
from mixmerge.recipe.rules import check

LINEAR = METHODS["mergekit", "linear"]
TEXT = "merge_method: linear\ndialect: mergekit\nmodels: [{model: x}, {model: y}]\nmixup: {}\n"


def test_a_method_without_weights_takes_no_ratio() -> None:
    (problem,) = check(parse_recipe(TEXT, "r.yaml"), replace(LINEAR, parameters=()))
    assert problem.rule == "method linear has no weights that a ratio could supply"
    assert problem.place == "r.yaml:4 (mixup)"


def test_a_required_parameter_of_all_sources() -> None:
    needs_t = replace(LINEAR, parameters=(*LINEAR.parameters, Parameter("t", "number", "position")))
    (problem,) = check(parse_recipe(TEXT, "r.yaml"), needs_t)
    assert problem.rule == "method linear needs t"
    assert problem.place == "r.yaml:1 (merge_method)"
    assert "add `t: ...` to the top-level parameters" in problem.cure


def test_too_many_sources() -> None:
    (problem,) = check(
        parse_recipe(TEXT.replace("mixup: {}", "parameters: {weight: 1}")), replace(LINEAR, sources=(1, 1))
    )
    assert problem.rule == "method linear needs at most 1 source models"
