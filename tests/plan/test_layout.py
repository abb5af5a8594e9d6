"""Which tensors make which: heads that are tied, mismatches copied from the base, slices of layers, renumbering."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixmerge import api
from mixmerge.planning import Plan, names
from mixmerge.recipe import Recipe, parse_recipe
from plan.conftest import BASE, Write
from support import models
from support.merging import merge_live, plan_of, recipe_of

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def headless(seed: int) -> models.Arrays:
    return {name: values for name, values in models.moved(BASE, seed).items() if name != HEAD}


def config_of(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan.files["config.json"])
    return found


KINDS = {
    # stored: whether lm_head is in the file; tied: tie_word_embeddings of config.json.
    "stored": (True, False),
    "stored-unsaid": (True, None),
    "tied": (False, True),
    "tied-unsaid": (False, None),
    "tied-stored": (True, True),
}


@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, repeat=3)), ids="/".join)
def test_heads_in_every_combination(kinds: tuple[str, str, str], write: Write) -> None:
    """Base and two sources: a head is written where any model has its own, and config.json says so."""
    written, heads = [], []
    for number, kind in enumerate(kinds):
        stored, tied = KINDS[kind]
        model = models.moved(BASE, number + 1) if stored else headless(number + 1)
        config = {key: value for key, value in models.CONFIG.items() if key != "tie_word_embeddings"}
        written.append(
            write(f"m{number}", model, config=config | ({} if tied is None else {"tie_word_embeddings": tied}))
        )
        own = stored and not tied
        heads.append((own, model[HEAD] if own else model[EMBEDDING]))
    plan = plan_of(recipe_of("task_arithmetic", written[1:], written[0], dialect="paper", mixup={"ratio": 0.5}))
    outputs = {step.spec.name for step in plan.steps}
    any_own = any(own for own, _ in heads)
    assert (HEAD in outputs) == any_own
    said = config_of(plan).get("tie_word_embeddings")
    assert said is (False if any_own else KINDS[kinds[0]][1])
    mentioned = [note for note in plan.notes if HEAD in note]
    for (stored, tied), path in zip((KINDS[kind] for kind in kinds), written, strict=True):
        told = [note for note in mentioned if str(path) in note]
        expected = (not (stored and not tied)) if any_own else stored
        assert len(told) == expected, plan.notes
    if any_own:
        found = merge_live(plan.recipe)[HEAD]
        half = np.float32(0.5)
        b, x, y = (values for _, values in heads)
        assert np.array_equal(found, b + (half * (x - b) + half * (y - b)))
    plan.close()


def test_a_base_that_only_donates_files_has_no_head_to_give(write: Write, tmp_path: Path) -> None:
    """paper linear: output and config.json agree, whatever the donor has."""
    config = {**models.CONFIG, "tie_word_embeddings": True}
    for name, donor in {"own": write("own"), "tied": write("tied", headless(9), config=config)}.items():
        sources = [write(f"{name}-{k}", headless(k), config=config) for k in range(2)]
        out = tmp_path / f"out-{name}"
        api.merge(recipe_of("linear", sources, donor, dialect="paper"), out)
        said = json.loads((out / "config.json").read_text())["tie_word_embeddings"]
        assert said is (HEAD not in models.read_model(out))


def test_no_names_of_heads_or_embeddings(write: Write) -> None:
    """Models that are no language models merge as they are."""
    parts = [{"encoder.conv.weight": values} for values in (BASE["lm_head.weight"], BASE["model.embed_tokens.weight"])]
    plan = plan_of(
        recipe_of("linear", [write("a", parts[0], config=None), write("b", parts[1], config=None)], dialect="paper")
    )
    assert [step.spec.name for step in plan.steps] == ["encoder.conv.weight"]
    assert "config.json" not in plan.files


# on_mismatch: base


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_ties"])
def test_mismatches_are_copied_from_the_base(method: str, n: int, write: Write) -> None:
    other = models.moved(BASE, 5)
    other["model.norm.weight"] = np.ones(9, np.float32)
    other["model.layers.0.mlp.up_proj.weight"] = np.ones(3, np.float32)
    del other["model.layers.1.mlp.up_proj.weight"]
    sources, base = [write("b", other), write("a")][:n], write("base", BASE)
    parameters = {"weight": 1.0} if method == "dare_ties" else None
    dialect = "mergekit" if parameters else "paper"
    recipe = recipe_of(method, sources, base, dialect=dialect, on_mismatch="base", parameters=parameters)
    plan = plan_of(recipe)
    copied = {"model.norm.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"}
    assert {step.spec.name for step in plan.steps if step.method is None} == copied
    assert {note.split()[0] for note in plan.notes} == copied
    found = merge_live(recipe)
    good = [models.write_model(base.parent / f"good-{k}", {**models.moved(BASE, 5 if k == 0 else sum(b"a")), **{
        name: BASE[name] for name in copied}}) for k in range(n)]  # fmt: skip
    whole = merge_live(recipe_of(method, good, base, dialect=dialect, parameters=parameters))
    for name, values in found.items():
        if name in copied:
            assert values.tobytes() == BASE[name].tobytes()
        elif (method, dialect) != ("ties", "paper"):  # there a threshold over other elements
            assert values.tobytes() == whole[name].tobytes()


@pytest.mark.parametrize("kind", ["float64", "float8_e4m3fn", "float16", "float32"])
def test_copies_are_the_bytes_of_the_base(kind: str, write: Write) -> None:
    """Also of types that pass through float32 where they are merged; rounded where the recipe says a dtype."""
    dtype = next(one for one in models.NUMPY.values() if str(one) == kind)
    values = np.random.default_rng(1).standard_normal(70_001).astype(dtype)
    base, source = (
        write("base", {**BASE, "odd": values}),
        write("a", {**models.moved(BASE, 2), "odd": np.ones(3, dtype)}),
    )
    recipe = recipe_of("task_arithmetic", [source], base, dialect="paper", on_mismatch="base")
    assert merge_live(recipe)["odd"].tobytes() == values.tobytes()
    narrow = recipe_of("task_arithmetic", [source], base, dialect="paper", on_mismatch="base", dtype="bfloat16")
    assert np.array_equal(merge_live(narrow)["odd"], values.astype(np.float32).astype(models.BF16))


def test_a_tensor_only_the_base_lacks_cannot_be_copied(write: Write) -> None:
    sources = [write(name, {**models.moved(BASE, 3), "more": np.ones(3, np.float32)}) for name in "ab"]
    with pytest.raises(api.PlanError, match="tensor more"):
        plan_of(recipe_of("ties", sources, write("base"), dialect="paper", on_mismatch="base"))


# Slices


def sliced(pieces: list[list[tuple[Path, list[int]]]], method: str = "linear", **keys: Any) -> Recipe:
    slices = [
        {"sources": [{"model": str(model), "layer_range": layers} for model, layers in piece]} for piece in pieces
    ]
    parameters = {"weight": 1.0} if method == "linear" else {}
    parameters |= keys.pop("parameters", {})
    return parse_recipe(yaml.safe_dump({"merge_method": method, "slices": slices, "parameters": parameters, **keys}))


def depth(layers: int, seed: int) -> models.Arrays:
    return models.smooth(models.llama_shapes(layers=layers), seed)


def test_slices_renumber_layers(write: Write) -> None:
    """Layers 0-1 of a with 1-2 of b, then layer 2 of b alone, then layer 0 of a again."""
    a, b = depth(2, 1), depth(3, 2)
    paths = write("a", a, config={**models.CONFIG, "num_hidden_layers": 2}), write("b", b)
    recipe = sliced([[(paths[0], [0, 2]), (paths[1], [1, 3])], [(paths[1], [2, 3])], [(paths[0], [0, 1])]])
    plan = plan_of(recipe)
    assert config_of(plan)["num_hidden_layers"] == 4
    found = merge_live(recipe)
    at = "model.layers.{}.mlp.up_proj.weight"
    two = np.float32(2)
    assert np.array_equal(found[at.format(0)], (a[at.format(0)] + b[at.format(1)]) / two)
    assert np.array_equal(found[at.format(1)], (a[at.format(1)] + b[at.format(2)]) / two)
    assert np.array_equal(found[at.format(2)], b[at.format(2)])
    assert np.array_equal(found[at.format(3)], a[at.format(0)])
    assert np.array_equal(found[EMBEDDING], (a[EMBEDDING] + b[EMBEDDING]) / two), "from the first slice"
    assert np.array_equal(found[HEAD], a[HEAD]), "from the last slice"
    assert len(found) == 3 + 4 * 7


def test_order_of_the_output_follows_the_layers(write: Write) -> None:
    a = write("a", depth(12, 1))
    plan = plan_of(sliced([[(a, [0, 11])], [(a, [3, 5])]]))
    layers = [step.layer for step in plan.steps if step.layer is not None]
    assert layers == sorted(layers)
    assert plan.steps[0].spec.name == EMBEDDING
    assert plan.steps[-1].spec.name == HEAD
    assert config_of(plan)["num_hidden_layers"] == 13


def test_config_says_what_each_layer_is(write: Write) -> None:
    """As Qwen and Gemma do; transformers refuses a list of another length."""
    stated = {**models.CONFIG, "layer_types": ["full", "sliding", "full"], "other": [1, 2, 3]}
    a, b = write("a", depth(3, 1), config=stated), write("b", depth(4, 2))
    found = config_of(plan_of(sliced([[(a, [0, 2]), (b, [2, 4])], [(a, [1, 3]), (b, [0, 2])], [(b, [0, 1])]])))
    assert found["layer_types"] == ["full", "sliding", "sliding", "full", "full"]
    assert found["num_hidden_layers"] == 5
    assert found["other"] == [1, 2, 3]


def test_a_range_beyond_the_model(write: Write) -> None:
    a, b = write("a", depth(2, 1)), write("b", depth(3, 2))
    with pytest.raises(api.PlanError) as caught:
        plan_of(sliced([[(a, [0, 2]), (b, [0, 2])], [(a, [1, 3]), (b, [1, 3])]]))
    [problem] = caught.value.problems
    assert problem.value == "layers [1, 3] of 2"
    assert problem.place == f"<recipe>:14 (slices[1]), model {a}"


def test_the_base_of_a_slice_takes_the_layers_it_lists(write: Write) -> None:
    base, a = depth(3, 1), depth(2, 2)
    paths = write("base", base), write("a", a)
    recipe = sliced(
        [[(paths[1], [0, 2]), (paths[0], [1, 3])]], "task_arithmetic", base_model=str(paths[0]), dialect="paper",
        parameters={"scale": 0.5},
    )  # fmt: skip
    found = merge_live(recipe)
    name = "model.layers.{}.mlp.up_proj.weight"
    b, x = base[name.format(2)], a[name.format(1)]
    assert np.array_equal(found[name.format(1)], b + np.float32(0.5) * (x - b))
    assert len(found) == 3 + 2 * 7


# Gradients and filters


def weights_of(plan: Plan, source: int = 0, key: str = "weight") -> dict[str, Any]:
    return {step.spec.name: step.sources[source][key] for step in plan.steps}


def test_gradients_run_over_layers(write: Write) -> None:
    """Layer i of n stands at i / (n - 1); what is outside the layers at 0."""
    paths = [write(name, depth(5, seed)) for seed, name in enumerate("ab")]
    sources = [{"weight": [0, 1]}, {"weight": [1, 0, 0.5]}]
    plan = plan_of(recipe_of("linear", paths, sources=sources))
    for source, anchors in enumerate(([0, 1], [1, 0, 0.5])):
        found = weights_of(plan, source)
        for layer in range(5):
            wanted = np.interp(layer / 4, np.linspace(0, 1, len(anchors)), anchors)
            assert found[f"model.layers.{layer}.mlp.up_proj.weight"] == pytest.approx(wanted)
        for name in (EMBEDDING, HEAD, "model.norm.weight"):
            assert found[name] == anchors[0]


def test_one_layer_stands_at_one(write: Write) -> None:
    plan = plan_of(recipe_of("linear", [write("a", depth(1, 1))], sources=[{"weight": [0.25, 0.75]}]))
    assert weights_of(plan)["model.layers.0.mlp.up_proj.weight"] == 0.75
    assert weights_of(plan)[EMBEDDING] == 0.25


def test_gradients_run_over_each_slice(write: Write) -> None:
    a = write("a", depth(4, 1))
    plan = plan_of(sliced([[(a, [0, 3])], [(a, [3, 4])]], parameters={"weight": [1, 2]}))
    found = [weights_of(plan)[f"model.layers.{layer}.mlp.up_proj.weight"] for layer in range(4)]
    assert found == [1, 1.5, 2, 2]


def test_filters_are_substrings_and_the_first_wins(write: Write) -> None:
    paths = [write("a"), write("b")]
    filters = [
        {"filter": "mlp", "value": 0.1},
        {"filter": "up_proj", "value": 0.2},
        {"filter": "layers.1.", "value": [0.3, 0.4]},
        {"value": 0.5},
    ]
    plan = plan_of(recipe_of("linear", paths, sources=[{"weight": filters}, {"weight": 1}]))
    found = weights_of(plan)
    assert found["model.layers.0.mlp.up_proj.weight"] == 0.1
    assert found["model.layers.1.self_attn.q_proj.weight"] == pytest.approx(0.4)
    assert found["model.layers.0.self_attn.q_proj.weight"] == found[HEAD] == 0.5
    assert set(weights_of(plan, 1).values()) == {1}


def test_no_match_falls_through_to_the_next_level(write: Write) -> None:
    paths = [write("a"), write("b")]
    sources = [{"weight": [{"filter": "mlp", "value": 0.1}]}, {}]
    plan = plan_of(recipe_of("linear", paths, sources=sources, parameters={"weight": 0.7}))
    found = weights_of(plan)
    assert found["model.layers.0.mlp.up_proj.weight"] == 0.1
    assert found[HEAD] == 0.7


def test_a_tensor_without_a_required_value_is_told_once(write: Write) -> None:
    paths = [write("a"), write("b")]
    sources = [{"weight": [{"filter": "mlp", "value": 0.1}]}, {"weight": 1}]
    with pytest.raises(api.PlanError) as caught:
        plan_of(recipe_of("linear", paths, sources=sources))
    [problem] = caught.value.problems
    assert problem.rule == "every tensor has a weight"
    assert str(paths[0]) in problem.place


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        (([{"filter": "mlp", "value": 0.1}], 1), "every tensor has a weight"),
        ((1, -1), "the weights of a normalised average do not sum to zero"),
    ],
)
def test_what_is_wrong_with_a_slice_is_told_with_its_line(weights: tuple[Any, Any], rule: str, write: Write) -> None:
    paths = [write("a"), write("b")]
    slices = [
        {
            "sources": [
                {"model": str(path), "layer_range": layers, "parameters": {"weight": weight}}
                for path, weight in zip(paths, given, strict=True)
            ]
        }
        for layers, given in (([0, 1], (1, 1)), ([1, 2], weights))
    ]
    recipe = parse_recipe(yaml.safe_dump({"merge_method": "linear", "slices": slices}, sort_keys=False), "r.yaml")
    with pytest.raises(api.PlanError) as caught:
        plan_of(recipe)
    [problem] = caught.value.problems
    assert problem.rule == rule
    assert re.match(r"r\.yaml:\d+ \(slices\[1\]\)", problem.place)


def test_levels_of_per_source_and_shared_parameters(write: Write) -> None:
    """Source over slice over top; densities, and flags by filter."""
    paths = [write("a"), write("b")]
    shared = {"density": 0.9, "weight": 1, "normalize": [{"filter": "mlp", "value": False}, {"value": True}]}
    plan = plan_of(recipe_of("ties", paths, write("base"), sources=[{"density": 0.3}, {}], parameters=shared))
    assert set(weights_of(plan, 0, "density").values()) == {0.3}
    assert set(weights_of(plan, 1, "density").values()) == {0.9}
    flags = {step.spec.name: step.shared["normalize"] for step in plan.steps}
    assert all(flags[name] is ("mlp" not in name) for name in flags)
    assert {step.shared["lambda"] for step in plan.steps} == {1.0}


# Names


@pytest.mark.parametrize(
    ("name", "layer", "stack"),
    [
        ("model.layers.11.mlp.up_proj.weight", 11, "model.layers."),
        ("transformer.h.0.attn.c_attn.weight", 0, "transformer.h."),
        ("model.layers.2.block_sparse_moe.experts.7.w1.weight", 2, "model.layers."),
        ("layers.4.weight", 4, "layers."),
        ("0.weight", 0, ""),
        ("lm_head.weight", None, None),
        ("model.conv2d.weight", None, None),
    ],
)
def test_layers_in_names(name: str, layer: int | None, stack: str | None) -> None:
    assert names.layer_of(name) == layer
    assert names.stack_of(name) == stack
    if layer is not None:
        assert names.layer_of(names.with_layer(name, 123)) == 123
        assert names.with_layer(names.with_layer(name, 123), layer) == name
