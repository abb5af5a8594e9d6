"""Recipes as people write them, and what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixmerge.errors import RecipeError
from mixmerge.recipe import (
    Dare,
    Filtered,
    Gradient,
    Mixup,
    ModelRef,
    Recipe,
    Source,
    TokenRow,
    TokenSetting,
    canonical,
    load_recipe,
    merged_sources,
    model_refs,
    parse_recipe,
    recipe_hash,
    slice_key,
    source_key,
)

GRADIENTS = """\
# a density gradient, a weight gradient and filters, as mergekit has them
models:
  - model: org/chat-13b
    parameters:
      density: [1, 0.7, 0.1]
      weight: 1.0
  - model: org/code-13b
    parameters:
      density: 0.5
      weight: [0, 0.3, 0.7, 1]
  - model: org/math-13b
    parameters:
      density: 0.33
      weight:
        - filter: mlp
          value: [0.5, 0.25]
        - value: 0
merge_method: ties
base_model: org/base-13b
parameters:
  normalize: true
  int8_mask: true
dtype: float16
"""

SLICES = """\
slices:
  - sources:
      - model: &small org/small
        layer_range: [0, 8]
      - model: org/other
        layer_range: [0, 8]
        parameters:
          weight: 0.25
    parameters:
      weight: 0.75
  - sources:
      - model: *small
        layer_range: [4, 12]
      - model: org/other
        layer_range: [8, 16]
merge_method: linear
parameters: {weight: 1, normalize: off}
dtype: bfloat16
out_dtype: float32
tokenizer_source: org/small
chat_template: chatml
name: a frankenmerge
"""

MIXED = """\
merge_method: ties
base_model: org/base
models:
  - model: org/wizard-lm
  - model: org/base       # the base may be listed; it is no source of a task vector
  - model: org/wizard-math
parameters: {density: 0.5, normalize: true}
dare: 0.2
mixup: {alpha: 0.5, scope: layer, seed: 42, filter: mlp}
"""


def plain(extra: str = "", method: str = "linear") -> Recipe:
    return parse_recipe(f"merge_method: {method}\nmodels: [{{model: x}}, {{model: y}}]\n{extra}")


def test_gradients_and_filters_of_mergekit() -> None:
    recipe = parse_recipe(GRADIENTS, "g.yaml")
    chat, code, math = recipe.slices[0].sources
    assert (recipe.method, recipe.dialect, recipe.dtype) == ("ties", "mergekit", "F16")
    assert recipe.base == ModelRef("org/base-13b")
    assert chat.parameters == {"density": Gradient((1.0, 0.7, 0.1)), "weight": 1.0}
    assert code.parameters["weight"] == Gradient((0.0, 0.3, 0.7, 1.0))
    assert math.parameters["weight"] == Filtered((("mlp", Gradient((0.5, 0.25))), (None, 0.0)))
    assert recipe.parameters == {"normalize": True, "rescale": False, "lambda": 1.0, "density": 1.0}
    assert recipe.notes == ("g.yaml:22 (parameters.int8_mask): mergekit's storage of masks; no effect here",)


def test_slices_of_mergekit() -> None:
    recipe = parse_recipe(SLICES, "s.yaml")
    first, second = recipe.slices
    assert first.parameters == {"weight": 0.75}
    assert first.sources[1] == Source(ModelRef("org/other"), (0, 8), {"weight": 0.25})
    assert second.sources[0] == Source(ModelRef("org/small"), (4, 12))
    assert recipe.parameters == {"weight": 1.0, "normalize": False}
    assert (recipe.dtype, recipe.tokenizer_source, recipe.chat_template) == ("F32", "org/small", "chatml")
    assert any("a name for people" in note for note in recipe.notes)
    assert any("beside out_dtype" in note for note in recipe.notes)


TOKENIZER = """\
tokenizer:
  source: base
  tokens:
    <|im_start|>: {source: x}
    "<pad>":
      source: {kind: zero}
      force: yes
    <|b|>:
      source: {kind: model_token, model: {model: {path: y, revision: r}}, token: "no"}
    a.b: {source: {kind: model_token, model: x, token_id: 0x}, force: false}
    c: {}
  pad_to_multiple_of: 64
  pad_token: <pad>
  bos_token: null
"""


def test_tokens_of_mergekit_and_special_tokens() -> None:
    models = "models: [{model: x}, {model: {model: {path: y, revision: r}}}]\n"
    recipe = parse_recipe("merge_method: linear\nparameters: {weight: 1}\n" + models + TOKENIZER.replace("0x", "3"))
    assert recipe.tokenizer_source == "base"
    assert recipe.tokenizer is not None
    x, y = ModelRef("x"), ModelRef("y", "r")
    assert recipe.tokenizer.tokens == (
        TokenSetting("<|im_start|>", TokenRow(x)),
        TokenSetting("<pad>", "zero", force=True),
        TokenSetting("<|b|>", TokenRow(y, token="no")),
        TokenSetting("a.b", TokenRow(x, number=3)),
        TokenSetting("c"),
    )
    assert (recipe.tokenizer.pad_to_multiple_of, recipe.tokenizer.special) == (64, {"pad": "<pad>"})
    assert parse_recipe(canonical(recipe)) == recipe


@pytest.mark.parametrize(("given", "kept"), [("{}", "union"), ("{source: base}", "base"), ("{source: y}", "y")])
def test_a_tokenizer_that_says_its_source_alone_is_tokenizer_source(given: str, kept: str) -> None:
    recipe = plain(f"parameters: {{weight: 1}}\ntokenizer: {given}\n")
    short = plain(f"parameters: {{weight: 1}}\ntokenizer_source: {kept}\n")
    assert recipe == short
    assert recipe_hash(recipe) == recipe_hash(short)


def test_the_option_says_whose_tokens_are_kept_beside_settings_of_single_ones() -> None:
    text = "merge_method: linear\nmodels: [{model: x}, {model: y}]\nparameters: {weight: 1}\n"
    recipe = parse_recipe(text + "tokenizer: {source: x, pad_token: a}\n", tokenizer_source="y")
    assert recipe.tokenizer_source == "y"
    assert recipe.tokenizer is not None
    assert recipe.tokenizer.special == {"pad": "a"}


def test_mixup_and_dare_mean_the_papers_dialect() -> None:
    recipe = parse_recipe(MIXED)
    assert recipe.dialect == "paper"
    assert recipe.dare == Dare(0.2, True, "random", "delta")
    assert recipe.mixup == Mixup((0.5,), None, "layer", 42, ("mlp",))
    assert recipe.parameters == {"density": 0.5, "scale": 1.0, "trim": "model"}
    assert [str(source.model) for source in merged_sources(recipe, recipe.slices[0])] == [
        "org/wizard-lm",
        "org/wizard-math",
    ]
    assert any("does not use normalize" in note for note in recipe.notes)


@pytest.mark.parametrize(
    ("extra", "method", "dialect"),
    [
        ("mixup: {}", "linear", "paper"),
        ("dare: {}\nbase_model: b", "task_arithmetic", "paper"),
        ("mixup: {}\nbase_model: b", "dare_ties", "mergekit"),
        ("mixup: {}\ndialect: mergekit", "linear", "mergekit"),
        ("parameters: {weight: 1}", "linear", "mergekit"),
        ("dialect: paper", "linear", "paper"),
    ],
)
def test_default_dialect(extra: str, method: str, dialect: str) -> None:
    assert plain(extra, method).dialect == dialect


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-3", 0.001),
        ("'0.5'", 0.5),
        ("1_000", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", 0.0),
        ("+1E2", 100.0),
    ],
)
def test_numbers_that_yaml_takes_for_text(written: str, meant: float) -> None:
    """PyYAML follows YAML 1.1, where 1e-3 is text; people mean the number."""
    weight = plain(f"parameters: {{weight: {written}}}").parameters["weight"]
    assert weight == meant
    assert str(weight) == str(meant)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("yes", True), ("off", False), ("True", True), ("1", True), ("0.0", False)],
)
def test_flags(written: str, meant: bool) -> None:
    assert plain(f"parameters: {{weight: 1, normalize: {written}}}").parameters["normalize"] is meant


def test_merge_keys_and_anchors() -> None:
    recipe = parse_recipe(
        """\
merge_method: linear
models:
  - &first {model: x, parameters: &p {weight: 0.5}}
  - <<: *first
    model: y
  - {model: z, parameters: {<<: [*p], weight: 0.25}}
"""
    )
    assert [source.parameters["weight"] for source in recipe.slices[0].sources] == [0.5, 0.5, 0.25]


def test_filters_that_match_all() -> None:
    recipe = plain("parameters: {weight: [{filter: mlp, value: 1}, {filter: '*', value: 2}]}")
    assert recipe.parameters["weight"] == Filtered((("mlp", 1.0), (None, 2.0)))


def test_filters_without_a_last_word_end_in_the_default() -> None:
    recipe = plain("parameters: {density: [{filter: mlp, value: 0.5}], weight: 1}\nbase_model: b", "ties")
    assert recipe.parameters["density"] == Filtered((("mlp", 0.5), (None, 1.0)))


def test_an_unlisted_base_is_a_source_of_linear() -> None:
    recipe = plain("parameters: {weight: 1}\nbase_model: b")
    assert [source.model.path for source in recipe.slices[0].sources] == ["x", "y", "b"]
    assert source_key(recipe, 0, 2) == "base_model"
    assert parse_recipe(canonical(recipe)) == recipe
    assert len(plain("mixup: {}\nbase_model: b").slices[0].sources) == 2


def test_the_base_needs_no_parameters_and_gets_none() -> None:
    text = """\
merge_method: ties
base_model: b
models: [{model: b, parameters: {weight: 1}}, {model: x, parameters: {weight: 1}}]
"""
    recipe = parse_recipe(text)
    assert recipe.slices[0].sources[0].parameters == {}
    assert "this is the base" in recipe.notes[0]


@pytest.mark.parametrize(
    ("written", "ratio"),
    [("0.7", (0.7, 0.3)), ("[0.7, 0.3]", (0.7, 0.3)), ("1", (1.0, 0.0)), ("[1e-7, 1]", (1e-7, 1.0))],
)
def test_ratio(written: str, ratio: tuple[float, ...]) -> None:
    recipe = plain(f"mixup: {{ratio: {written}}}")
    assert recipe.mixup is not None
    assert recipe.mixup.ratio == ratio


@pytest.mark.parametrize(
    ("written", "alpha"), [("0", (0.0,)), ("[0.5, 2]", (0.5, 2.0)), ("[0.5]", (0.5,)), ("1", (1.0,))]
)
def test_alpha(written: str, alpha: tuple[float, ...]) -> None:
    recipe = plain(f"mixup: {{alpha: {written}}}")
    assert recipe.mixup is not None
    assert recipe.mixup.alpha == alpha


def test_whole_model_trim_may_differ_between_models_and_vary_by_tensor() -> None:
    text = """\
merge_method: ties
dialect: paper
base_model: b
models: [{model: x, parameters: {density: 0.1}}, {model: y, parameters: {density: [0.1, 1]}}]
parameters: {trim: tensor}
"""
    assert parse_recipe(text).parameters["trim"] == "tensor"
    with pytest.raises(RecipeError, match="one number per model"):
        parse_recipe(text.replace("trim: tensor", "trim: model"))
    assert parse_recipe(text.replace("[0.1, 1]", "0.3").replace("trim: tensor", "trim: model"))


def test_places_and_keys() -> None:
    recipe = parse_recipe(GRADIENTS, "g.yaml")
    assert slice_key(recipe, 0) == ""
    assert recipe.place(source_key(recipe, 0, 1)) == "g.yaml:7 (models[1])"
    assert recipe.place("models[1].parameters.weight") == "g.yaml:10 (models[1].parameters.weight)"
    assert recipe.place("models[1].parameters.epsilon") == "g.yaml:8 (models[1].parameters.epsilon)"
    sliced = parse_recipe(SLICES, "s.yaml")
    assert slice_key(sliced, 1) == "slices[1]"
    assert sliced.place(source_key(sliced, 1, 1)) == "s.yaml:14 (slices[1].sources[1])"


def test_every_model_once_and_in_order() -> None:
    assert [str(ref) for ref in model_refs(parse_recipe(GRADIENTS))] == [
        "org/chat-13b",
        "org/code-13b",
        "org/math-13b",
        "org/base-13b",
    ]


def test_a_slice_may_have_its_own_base() -> None:
    recipe = parse_recipe(
        """\
merge_method: task_arithmetic
parameters: {weight: 1}
slices:
  - {base_model: b, sources: [{model: x, layer_range: [0, 4]}, {model: b, layer_range: [0, 4]}]}
  - {base_model: c, sources: [{model: x, layer_range: [4, 8]}, {model: c, layer_range: [4, 8]}]}
"""
    )
    assert [len(merged_sources(recipe, part)) for part in recipe.slices] == [1, 1]
    assert [str(ref) for ref in model_refs(recipe)] == ["x", "b", "c"]
    assert parse_recipe(canonical(recipe)) == recipe


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MIXED.encode())
    recipe = load_recipe(path)
    assert recipe == parse_recipe(MIXED)
    assert recipe.place("mixup.alpha") == f"{path}:9 (mixup.alpha)"


@pytest.mark.parametrize(
    ("data", "rule"),
    [(b"models: \n - \xff", "UTF-8"), (b"#" * 1_000_001, "at most 1000000 bytes"), (None, "readable file")],
)
def test_files_that_are_no_recipes(tmp_path: Path, data: bytes | None, rule: str) -> None:
    path = tmp_path / "recipe.yaml"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    with pytest.raises(RecipeError, match=rule):
        load_recipe(path)


def test_canonical_text() -> None:
    assert canonical(parse_recipe(MIXED)) == (
        "merge_method: ties\n"
        "dialect: paper\n"
        "base_model: org/base\n"
        "models:\n"
        "- {model: org/wizard-lm}\n"
        "- {model: org/base}\n"
        "- {model: org/wizard-math}\n"
        "parameters: {density: 0.5, scale: 1.0, trim: model}\n"
        "dare: {drop_rate: 0.2, rescale: true, strategy: random, of: delta}\n"
        "mixup:\n"
        "  alpha: 0.5\n"
        "  scope: layer\n"
        "  seed: 42\n"
        "  filter: [mlp]\n"
        "seed: 0\n"
        "on_mismatch: error\n"
    )


def test_hash_is_of_the_meaning() -> None:
    reordered = "mixup: {seed: 42, filter: [mlp], scope: layer}\n" + MIXED.replace("mixup:", "#").replace(
        "density", "scale: 1, density"
    )
    assert recipe_hash(parse_recipe(reordered)) == recipe_hash(parse_recipe(MIXED))
    assert recipe_hash(parse_recipe(MIXED.replace("42", "43"))) != recipe_hash(parse_recipe(MIXED))
