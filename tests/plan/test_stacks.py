"""Which tensors are layers, of which stack, and which lie outside: names that mislead, models of several stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixmerge import api
from mixmerge.errors import Problem
from mixmerge.planning import names
from mixmerge.recipe import Recipe, parse_recipe
from plan.conftest import Write
from support import models
from support.merging import plan_of, recipe_of

EMBEDDING = "model.embed_tokens.weight"


def model_of(*tensors: str) -> models.Arrays:
    return {name: np.ones((4, 2), np.float32) for name in tensors}


def sliced(piece: list[tuple[Path, list[int]]], method: str = "linear", **keys: Any) -> Recipe:
    sources = [{"model": str(model), "layer_range": layers} for model, layers in piece]
    parameters = {"parameters": {"weight": 1}} if method == "linear" else {"dialect": "paper"}
    return parse_recipe(
        yaml.safe_dump({"merge_method": method, "slices": [{"sources": sources}], **parameters, **keys})
    )


def refused(recipe: Recipe) -> Problem:
    with pytest.raises(api.PlanError) as caught:
        plan_of(recipe)
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize("inner", ["attention.output", "lm_head", "embed_out"])
def test_a_part_of_a_layer_is_no_head(inner: str, write: Write) -> None:
    """BERT calls a part of its attention `output`; a tied model keeps it in every layer."""
    model = model_of(EMBEDDING, *(f"model.layers.{layer}.{inner}.weight" for layer in range(3)))
    paths = [write(name, model, config={"tie_word_embeddings": True}) for name in "ab"]
    plan = plan_of(recipe_of("linear", paths, dialect="paper"))
    assert [step.spec.name for step in plan.steps] == list(model)
    assert plan.notes == ()


def test_a_part_of_a_layer_is_no_embedding() -> None:
    assert names.is_embedding("encoder.embeddings.weight")
    assert not names.is_embedding("encoder.layers.0.embeddings.weight")
    assert not names.over_vocabulary("encoder.layers.0.output.bias")


# Stacks


TOWERS = [EMBEDDING, *(f"visual.blocks.{k}.w" for k in range(6)), *(f"model.layers.{k}.w" for k in range(4))]


@pytest.mark.parametrize(
    "config", [{"num_hidden_layers": 4}, {"text_config": {"num_hidden_layers": 4}}, {"n_layer": 4}]
)
def test_layer_ranges_count_in_the_stack_config_json_describes(config: dict[str, Any], write: Write) -> None:
    """A vision tower may be deeper than the text model."""
    paths = [write(name, model_of(*TOWERS), config=config) for name in "ab"]
    plan = plan_of(sliced([(path, [1, 3]) for path in paths]))
    assert [step.spec.name for step in plan.steps if "visual" not in step.spec.name] == [
        EMBEDDING, "model.layers.0.w", "model.layers.1.w",
    ]  # fmt: skip
    assert sum("visual" in step.spec.name for step in plan.steps) == 6


@pytest.mark.parametrize("config", [{}, {"num_hidden_layers": 5}, {"num_hidden_layers": 6, "same": True}])
def test_an_unclear_stack_is_refused(config: dict[str, Any], write: Write) -> None:
    tensors = [*TOWERS, *(f"model.layers.{k}.w" for k in range(4, 6))] if config.pop("same", False) else TOWERS
    paths = [write(name, model_of(*tensors), config=config) for name in "ab"]
    problem = refused(sliced([(path, [0, 2]) for path in paths]))
    assert "one stack of layers" in problem.rule
    assert "6 visual.blocks.N" in problem.value
    assert "`models`" in problem.cure


def test_the_only_stack_needs_no_config(write: Write) -> None:
    paths = [write(name, model_of(EMBEDDING, "h.0.w", "h.1.w"), config=None) for name in "ab"]
    assert len(plan_of(sliced([(path, [1, 2]) for path in paths])).steps) == 2


# Numbers


def test_two_names_of_one_number_do_not_become_one(write: Write) -> None:
    odd = model_of(EMBEDDING, "model.layers.0.w", "model.layers.00.w", "model.layers.1.w")
    paths = [write(name, odd) for name in "ab"]
    problem = refused(sliced([(paths[0], [0, 2])]))
    assert "leading zeros" in problem.rule
    assert problem.value == "model.layers.00.w"
    assert len(plan_of(recipe_of("linear", paths, dialect="paper")).steps) == 4, "whole models keep their names"


@pytest.mark.parametrize("number", ["9" * 5000, "٣", "1234567890"])
def test_what_is_no_number_of_a_layer(number: str, write: Write) -> None:
    name = f"model.layers.{number}.w"
    assert names.layer_of(name) is None
    paths = [write(one, model_of(EMBEDDING, name)) for one in "ab"]
    assert [step.spec.name for step in plan_of(recipe_of("linear", paths, dialect="paper")).steps] == [EMBEDDING, name]


def test_a_base_too_short_is_told_once(write: Write) -> None:
    """Not once a tensor, and not as tensors that are missing."""
    base = write("base", models.smooth(models.llama_shapes(layers=2), 1))
    deep = [write(name, models.smooth(models.llama_shapes(layers=4), 2)) for name in "ab"]
    problem = refused(sliced([(path, [0, 4]) for path in deep], "task_arithmetic", base_model=str(base)))
    assert problem.rule == "a layer range lies inside its model"
    assert problem.value == "layers [0, 4] of 2"
    assert str(base) in problem.place
    assert "its own layer_range" in problem.cure
