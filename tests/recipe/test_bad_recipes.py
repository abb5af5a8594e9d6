"""Everything that can be wrong with a recipe, and what is said of it: rule, place, cure."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mixmerge.errors import RecipeError
from mixmerge.recipe import parse_recipe


@dataclass(frozen=True)
class Bad:
    """A recipe with one problem. cure, rule: fragments of what is said; at: line and key path."""

    name: str
    text: str
    rule: str
    at: str
    cure: str = ""


TIES = """\
merge_method: ties
base_model: b
models:
  - model: x
    parameters: {weight: 0.5}
  - model: y
    parameters: {weight: 0.5}
"""
PAPER = """\
merge_method: ties
base_model: b
models: [{model: x}, {model: y}]
mixup: {}
"""
LINEAR = """\
merge_method: linear
models: [{model: x}, {model: y}]
parameters: {weight: 1}
"""
TOKENIZER = LINEAR + "tokenizer: {%s}\n"
SLICES = """\
merge_method: linear
parameters: {weight: 1}
slices:
  - sources:
      - {model: x, layer_range: [0, 4]}
      - {model: y, layer_range: [4, 8]}
"""
TRIM_IN_A_SLICE = """\
merge_method: ties
base_model: b
dialect: paper
slices:
  - sources: [{model: x, layer_range: [0, 4]}]
    parameters: {trim: tensor}
"""
LATER = "{model: %s, layer_range: [2, 4]}"
TRIMMED_UNLIKE = """\
merge_method: ties
base_model: b
dialect: paper
slices:
  - sources: [{model: x, layer_range: [0, 2]}, {model: y, layer_range: [0, 2]}]
  - sources: [NEXT]
"""
WEIGHT_IN_ONE_SLICE = """\
merge_method: linear
slices:
  - sources:
      - {model: x, layer_range: [0, 4]}
      - {model: y, layer_range: [4, 8], parameters: {weight: 1}}
"""
TWO_DENSITIES = """\
merge_method: ties
base_model: b
dialect: paper
slices:
  - {sources: [{model: x, layer_range: [0, 1], parameters: {density: 0.1}}]}
  - {sources: [{model: x, layer_range: [1, 2], parameters: {density: 0.2}}]}
"""
UNLIKE_SLICES = """\
merge_method: linear
mixup: {}
slices:
  - {sources: [{model: x, layer_range: [0, 1]}, {model: y, layer_range: [0, 1]}]}
  - sources:
      - {model: x, layer_range: [1, 2]}
      - {model: y, layer_range: [1, 2]}
      - {model: z, layer_range: [1, 2]}
"""
UNLISTED_BASE = """\
merge_method: linear
models: [{model: x, parameters: {weight: 1}}, {model: y, parameters: {weight: 1}}]
base_model: b
"""

# fmt: off
BAD = [
    # keys and names
    Bad("unknown key", LINEAR + "dtyp: float16\n", "unknown key 'dtyp'", ":4 (dtyp)", "'dtype'"),
    Bad("unknown key in source", LINEAR.replace("{model: x}", "{model: x, modle: z}"), "unknown key 'modle'",
        ":2 (models[0].modle)", "'model'"),
    Bad("unknown key in mixup", PAPER.replace("{}", "{alfa: 1}"), "unknown key 'alfa'", ":4 (mixup.alfa)",
        "'alpha'"),
    Bad("unknown key in dare", LINEAR + "dialect: mergekit\nbase_model: x\ndare: {droprate: 1}\n",
        "unknown key 'droprate'", ":6 (dare.droprate)", "'drop_rate'"),
    Bad("unknown method", LINEAR.replace("linear", "liner"), "unknown merge method 'liner'",
        ":1 (merge_method)", "'linear'"),
    Bad("mergekit's method", LINEAR.replace("linear", "della"),
        "known to mergekit but not in this version", ":1 (merge_method)", "task_arithmetic"),
    Bad("mergekit's way to stack", LINEAR.replace("linear", "passthrough"),
        "known to mergekit but not in this version", ":1 (merge_method)", "say linear, with one source a slice"),
    Bad("no method", "models: [{model: x}]\n", "merge_method is missing", ":1", "linear"),
    Bad("no models", "merge_method: linear\n", "needs `models`", ":1", "- model:"),
    Bad("null models", "merge_method: linear\nmodels:\n", "needs `models`", ":1", "- model:"),
    Bad("empty models", "merge_method: linear\nmodels: []\n", "at least one item", ":2 (models)"),
    Bad("models and slices", LINEAR + "slices: [{sources: [{model: x, layer_range: [0, 1]}]}]\n",
        "exclude each other", ":4 (slices)", "keep one"),
    Bad("modules", "merge_method: linear\nmodules: {text: {}}\n", "not supported yet", ":2 (modules)",
        "`models`"),
    Bad("models is text", "merge_method: linear\nmodels: x\n", "models must be a list", ":2 (models)"),
    Bad("source is text", "merge_method: linear\nmodels: [x]\nparameters: {weight: 1}\n", "must be a mapping",
        ":2 (models[0])", "model, parameters"),
    Bad("source without model", "merge_method: linear\nmodels: [{parameters: {weight: 1}}]\n",
        "model is missing", ":2 (models[0])", "model: path"),
    Bad("number as key", LINEAR + "7: x\n", "unknown key '7'", ":4 (7)"),
    Bad("list as key", LINEAR + "[a]: x\n", "a key must be text", ":4"),
    Bad("duplicate key", LINEAR + "merge_method: ties\n", "'merge_method' must be given once",
        ":4 (merge_method)", ":1"),
    Bad("python tag", LINEAR + "name: !!python/object/apply:os.system ['x']\n", "plain values only",
        ":4 (name)", "tag"),
    # parameters
    Bad("typo of a parameter", TIES + "parameters: {densty: 0.5}\n",
        "unknown parameter 'densty' of method ties", ":8 (parameters.densty)", "'density'"),
    Bad("typo of a required one", TIES.replace("{weight: 0.5}", "{wieght: 0.5}", 1),
        "unknown parameter 'wieght'", ":5 (models[0].parameters.wieght)", "'weight'"),
    Bad("weight missing", TIES.replace("    parameters: {weight: 0.5}\n", "", 1), "method ties needs weight",
        ":4 (models[0])", "add `parameters: {weight: 1.0}`"),
    Bad("weight beside mixup", PAPER + "parameters: {weight: 1}\n", "supplied by the ratio",
        ":5 (parameters.weight)", "remove"),
    Bad("weight in dialect paper", LINEAR + "dialect: paper\n", "no weights in dialect paper",
        ":3 (parameters.weight)", "dialect: mergekit"),
    Bad("global at a source", TIES.replace("{weight: 0.5}", "{weight: 0.5, normalize: true}", 1),
        "not read at a source", ":5 (models[0].parameters.normalize)", "`normalize: true`"),
    Bad("alpha among the parameters", PAPER + "parameters: {alpha: 1}\n", "no parameter of a method",
        ":5 (parameters.alpha)", "under `mixup:`"),
    Bad("drop rate among the parameters", TIES + "parameters: {drop_rate: 1}\n", "no parameter of a method",
        ":8 (parameters.drop_rate)", "under `dare:`"),
    Bad("trim in a slice",
        TRIM_IN_A_SLICE,
        "trim is not read at a slice", ":6 (slices[0].parameters.trim)", "top level: `trim: tensor`"),
    Bad("alias twice", TIES + "parameters: {lambda: 1, scale: 1}\n", "lambda and scale are the same",
        ":8 (parameters.scale)", "one of the two"),
    Bad("density above 1", TIES + "parameters: {density: 1.5}\n", "density must be between 0 and 1",
        ":8 (parameters.density)", "1.5 %"),
    Bad("density below 0", TIES + "parameters: {density: -0.1}\n", "density must be between 0 and 1",
        ":8 (parameters.density)", "0"),
    Bad("anchor out of range", TIES + "parameters: {density: [0.1, 2]}\n", "must be between 0 and 1",
        ":8 (parameters.density[1])"),
    Bad("filtered anchor out of range", TIES + "parameters: {density: [{filter: mlp, value: [0, 3]}]}\n",
        "must be between 0 and 1", ":8 (parameters.density[0].value[1])"),
    Bad("filter without value", TIES + "parameters: {density: [{filter: mlp}]}\n", "a filter needs a value",
        ":8 (parameters.density[0])", "value"),
    Bad("filter with unknown key", TIES + "parameters: {density: [{fliter: mlp, value: 1}]}\n",
        "unknown key 'fliter'", ":8 (parameters.density[0].fliter)", "'filter'"),
    Bad("mixed list", TIES + "parameters: {density: [0.5, {value: 1}]}\n", "must be a finite number",
        ":8 (parameters.density[1])"),
    Bad("gradient of flags", TIES + "parameters: {normalize: [true, false]}\n", "cannot be a gradient",
        ":8 (parameters.normalize)", "filter"),
    Bad("empty gradient", TIES + "parameters: {density: []}\n", "no such form", ":8 (parameters.density)",
        "list"),
    Bad("mapping for a value", TIES + "parameters: {density: {value: 1}}\n", "no such form",
        ":8 (parameters.density)"),
    Bad("quoted flag", TIES + "parameters: {normalize: 'true'}\n", "must be true or false",
        ":8 (parameters.normalize)", "without quotes"),
    Bad("flag as number", TIES + "parameters: {density: yes}\n", "must be a finite number",
        ":8 (parameters.density)"),
    Bad("infinite", TIES + "parameters: {lambda: .inf}\n", "must be a finite number",
        ":8 (parameters.lambda)"),
    Bad("overflowing", TIES + "parameters: {lambda: 1e999}\n", "must be a finite number",
        ":8 (parameters.lambda)"),
    Bad("octal", TIES + "parameters: {lambda: 010}\n", "must be a finite number", ":8 (parameters.lambda)"),
    Bad("null value", TIES + "parameters: {lambda: }\n", "must be a finite number", ":8 (parameters.lambda)"),
    Bad("parameters is a list", TIES + "parameters: [lambda]\n", "must be a mapping", ":8 (parameters)"),
    # base, dialect, sources
    Bad("base missing", TIES.replace("base_model: b\n", ""), "method ties needs a base_model",
        ":1 (merge_method)", "base_model: ..."),
    Bad("base for dare missing", "merge_method: linear\nmodels: [{model: x}]\ndare: 0.1\n",
        "dare on task vectors needs a base_model", ":3 (dare)", "base_model"),
    Bad("unlisted base of linear",
        UNLISTED_BASE,
        "an unlisted base_model is one more source", ":3 (base_model)", "list it under models"),
    Bad("only the base", "merge_method: task_arithmetic\nbase_model: b\nmodels: [{model: b}]\n",
        "needs at least 1", ":3 (models)", "add a model"),
    Bad("paper form missing", TIES.replace("ties", "dare_ties") + "dialect: paper\n",
        "no form in dialect paper", ":8 (dialect)", "linear, task_arithmetic, ties"),
    Bad("unknown dialect", TIES + "dialect: papers\n", "dialect must be one of: paper, mergekit",
        ":8 (dialect)", "'paper'"),
    Bad("same model twice", LINEAR.replace("y", "x"), "a source may be listed once", ":2 (models[1])",
        "weight"),
    Bad("two revisions", LINEAR.replace("x", "x@a@b"), "at most one @revision", ":2 (models[0].model)"),
    Bad("no adapter behind the sign", LINEAR.replace("x}", "x+}"), "one + between them", ":2 (models[0].model)",
        "{model: {path: ...}, lora: {path: ...}}"),
    Bad("two adapters", LINEAR.replace("x}", "x+lora+z}"), "one + between them", ":2 (models[0].model)", "{path: ...}"),
    Bad("adapter without a path", LINEAR.replace("x}", "{model: x, lora: {revision: z}}}"), "needs `path`",
        ":2 (models[0].model.lora)", "revision"),
    Bad("adapter of two revisions", LINEAR.replace("x}", "x+a@b@c}"), "at most one @revision", ":2 (models[0].model)"),
    Bad("adapter of an adapter", LINEAR.replace("x}", "{model: x, lora: {path: a, lora: b}}}"), "unknown key 'lora'",
        ":2 (models[0].model.lora.lora)"),
    Bad("no model", LINEAR.replace("x}", "''}"), "model must be text", ":2 (models[0].model)"),
    # mixup and dare
    Bad("negative alpha", PAPER.replace("{}", "{alpha: -1}"), "alpha must be between 0 and", ":4 (mixup.alpha)",
        "0"),
    Bad("zero among alphas", PAPER.replace("{}", "{alpha: [0, 1]}"), "above 0", ":4 (mixup.alpha)",
        "alpha: 0"),
    Bad("alpha too small to compute with", PAPER.replace("{}", "{alpha: [1, 3e-308]}"), "at least 1e-300",
        ":4 (mixup.alpha)", "write 1e-300, or 0"),
    Bad("too many alphas", PAPER.replace("{}", "{alpha: [1, 1, 1]}"), "alpha must have one number per source",
        ":4 (mixup.alpha)", "2 numbers"),
    Bad("alpha and ratio", PAPER.replace("{}", "{alpha: 1, ratio: 0.5}"), "alpha and ratio exclude",
        ":4 (mixup.alpha)"),
    Bad("ratio above 1", PAPER.replace("{}", "{ratio: 37}"), "between 0 and 1", ":4 (mixup.ratio)",
        "0.37 for 37 %"),
    Bad("ratio sum", PAPER.replace("{}", "{ratio: [0.5, 0.75]}"), "sum to 1, not 1.25", ":4 (mixup.ratio)",
        "[0.4, 0.6]"),
    Bad("ratio sum 0", PAPER.replace("{}", "{ratio: [0, 0]}"), "sum to 1", ":4 (mixup.ratio)", "[0.5, 0.5]"),
    Bad("ratio length", PAPER.replace("{}", "{ratio: [0.5, 0.25, 0.25]}"),
        "ratio must have one number per source", ":4 (mixup.ratio)", "2 numbers"),
    Bad("one number for three",
        PAPER.replace("{model: x}", "{model: x}, {model: z}").replace("{}", "{ratio: 0.5}"),
        "ratio must have one number per source", ":4 (mixup.ratio)", "3 numbers"),
    Bad("mixup of one", PAPER.replace("{model: y}", "{model: b}"), "mixup needs at least 2", ":3 (models)"),
    Bad("unlisted base mixed",
        LINEAR.replace("parameters: {weight: 1}", "base_model: b") + "mixup: {}\ndialect: mergekit\n",
        "mixup has no ratio for it", ":3 (base_model)", "list it under models"),
    Bad("unknown scope", PAPER.replace("{}", "{scope: layers}"), "scope must be one of", ":4 (mixup.scope)",
        "'layer'"),
    Bad("negative seed", PAPER.replace("{}", "{seed: -1}"), "seed must be", ":4 (mixup.seed)", "0"),
    Bad("huge seed", LINEAR + "seed: 9223372036854775808\n", "seed must be", ":4 (seed)"),
    Bad("broken seed", LINEAR + "seed: 1.5\n", "seed must be a whole number", ":4 (seed)"),
    Bad("empty mixup", PAPER.replace(" {}", ""), "mixup is empty", ":4 (mixup)", "mixup: {}"),
    Bad("mixup is a number", PAPER.replace("{}", "0.5"), "mixup must be a mapping", ":4 (mixup)", "alpha"),
    Bad("drop rate", PAPER + "dare: {drop_rate: 20}\n", "drop_rate must be between 0 and 1",
        ":5 (dare.drop_rate)", "0.2"),
    Bad("bare drop rate", PAPER + "dare: 2\n", "dare must be between 0 and 1", ":5 (dare)"),
    Bad("strategy", PAPER + "dare: {strategy: ranom}\n", "strategy must be one of", ":5 (dare.strategy)",
        "'random'"),
    Bad("dare before dare_linear", TIES.replace("ties", "dare_linear") + "dare: 0.3\n",
        "method dare_linear drops elements itself", ":8 (dare)", "density: 0.7"),
    Bad("dare before dare_ties", TIES.replace("ties", "dare_ties") + "dare: {drop_rate: 0.1}\n",
        "method dare_ties drops elements itself", ":8 (dare)", "density: 0.9"),
    Bad("density gradient of a whole-model trim", PAPER + "parameters: {density: [0.1, 0.2]}\n",
        "one number per model", ":5 (parameters.density)", "trim: tensor"),
    Bad("trim varies", PAPER + "parameters: {trim: [{value: model}]}\n", "one value for the whole model",
        ":5 (parameters.trim)"),
    # the rest
    Bad("dtype", LINEAR + "dtype: bfloat17\n", "unknown dtype 'bfloat17'", ":4 (dtype)", "'bfloat16'"),
    Bad("out_dtype", LINEAR + "out_dtype: int64\n", "unknown dtype 'int64'", ":4 (out_dtype)"),
    Bad("on_mismatch", LINEAR + "on_mismatch: bas\n", "on_mismatch must be one of", ":4 (on_mismatch)",
        "'base'"),
    Bad("nothing to copy from", LINEAR + "on_mismatch: base\n", "needs a base_model", ":4 (on_mismatch)"),
    Bad("base for base_model", LINEAR + "base: x\n", "unknown key 'base'", ":4 (base)", "'base_model'"),
    # tokenizer
    Bad("tokenizer twice", LINEAR + "tokenizer: {}\ntokenizer_source: x\n", "exclude each other",
        ":5 (tokenizer_source)", "`source` inside `tokenizer`"),
    Bad("no tokenizer", LINEAR + "tokenizer:\n", "tokenizer is empty", ":4 (tokenizer)", "`tokenizer: {}`"),
    Bad("tokenizer key", TOKENIZER % "pad: x", "unknown key 'pad'", ":4 (tokenizer.pad)", "'pad_token'"),
    Bad("tokenizer list", LINEAR + "tokenizer: [x]\n", "tokenizer must be a mapping", ":4 (tokenizer)", "pad_token"),
    Bad("tokens of a stranger", TOKENIZER % "source: z", "a model of the recipe", ":4 (tokenizer.source)", "x, y"),
    Bad("list of tokens", TOKENIZER % "tokens: [a]", "tokens must be a mapping", ":4 (tokenizer.tokens)"),
    Bad("token of a stranger", TOKENIZER % "tokens: {a: {source: z}}", "that of a model of the recipe",
        ":4 (tokenizer.tokens.a.source)", "x, y"),
    Bad("token without more", TOKENIZER % "tokens: {a: }", "a must be a mapping", ":4 (tokenizer.tokens.a)",
        "source, force"),
    Bad("token key", TOKENIZER % "tokens: {a: {sources: x}}", "unknown key 'sources'",
        ":4 (tokenizer.tokens.a.sources)", "'source'"),
    Bad("empty token", TOKENIZER % 'tokens: {"": {}}', "a token is text", ":4 (tokenizer.tokens.)"),
    Bad("forced without a row", TOKENIZER % "tokens: {a: {force: true}}", "can be forced only where `source`",
        ":4 (tokenizer.tokens.a.force)", "{kind: zero}"),
    Bad("kind", TOKENIZER % "tokens: {a: {source: {kind: zeros}}}", "kind must be one of",
        ":4 (tokenizer.tokens.a.source.kind)", "'zero'"),
    Bad("zero of a model", TOKENIZER % "tokens: {a: {source: {kind: zero, model: x}}}", "unknown key 'model'",
        ":4 (tokenizer.tokens.a.source.model)", "kind"),
    Bad("model_token without model", TOKENIZER % "tokens: {a: {source: {kind: model_token, token: b}}}",
        "needs `model`", ":4 (tokenizer.tokens.a.source)"),
    Bad("model_token without token", TOKENIZER % "tokens: {a: {source: {kind: model_token, model: x}}}",
        "`token` or `token_id`", ":4 (tokenizer.tokens.a.source)", "add"),
    Bad("model_token with both",
        TOKENIZER % "tokens: {a: {source: {kind: model_token, model: x, token: b, token_id: 1}}}",
        "`token` or `token_id`", ":4 (tokenizer.tokens.a.source)", "remove one"),
    Bad("negative row", TOKENIZER % "tokens: {a: {source: {kind: model_token, model: x, token_id: -1}}}",
        "between 0 and", ":4 (tokenizer.tokens.a.source.token_id)", "0"),
    Bad("multiple", TOKENIZER % "pad_to_multiple_of: 0", "between 1 and", ":4 (tokenizer.pad_to_multiple_of)", "1"),
    Bad("pad token", TOKENIZER % "pad_token: [a]", "pad_token must be text", ":4 (tokenizer.pad_token)"),
    Bad("foreign tokenizer", LINEAR + "tokenizer_source: z\n", "a model of the recipe",
        ":4 (tokenizer_source)", "x, y"),
    # slices
    Bad("lengths", SLICES.replace("[4, 8]", "[4, 9]"), "same number of layers", ":4 (slices[0])",
        "end - first"),
    Bad("empty range", SLICES.replace("[4, 8]", "[4, 4]"), "0 <= first < end",
        ":6 (slices[0].sources[1].layer_range)"),
    Bad("range of three", SLICES.replace("[4, 8]", "[4, 8, 9]"), "[first, end]",
        ":6 (slices[0].sources[1].layer_range)"),
    Bad("no range", SLICES.replace(", layer_range: [4, 8]", ""), "layer_range is missing",
        ":6 (slices[0].sources[1])", "`models`"),
    Bad("no sources", "merge_method: linear\nslices: [{parameters: {weight: 1}}]\n", "sources is missing",
        ":2 (slices[0])"),
    Bad("weight in one slice",
        WEIGHT_IN_ONE_SLICE,
        "needs weight", ":4 (slices[0].sources[0])", "weight: 1.0"),
    Bad("base of a slice unclear", SLICES.replace("linear", "task_arithmetic\nbase_model: b"),
        "the base must say its own", ":5 (slices[0])", "layer_range"),
    Bad("two densities for one threshold",
        TWO_DENSITIES,
        "one number per model", ":6 (slices[1].sources[0].parameters.density)", "trim: tensor"),
    Bad("slices mixed unlike",
        UNLIKE_SLICES,
        "same number of sources", ":3 (slices)"),
    Bad("slices trimmed unlike", TRIMMED_UNLIKE.replace("NEXT", f"{LATER % 'x'}, {LATER % 'y'}, {LATER % 'z'}"),
        "same source models in the same order", ":4 (slices)", "trim: tensor"),
    Bad("slices trimmed in another order", TRIMMED_UNLIKE.replace("NEXT", f"{LATER % 'y'}, {LATER % 'x'}"),
        "same source models in the same order", ":4 (slices)", "trim: tensor"),
    # YAML itself
    Bad("empty", "", "must be a mapping", ":1", "merge_method"),
    Bad("text", "hello", "must be a mapping", ":1", "merge_method"),
    Bad("bracket", "models: [\n", "must be valid YAML", ":2"),
    Bad("tab", "models:\n\t- model: x\n", "must be valid YAML", ":2"),
    Bad("capitals", "merge_method: Linear" + LINEAR[20:], "unknown merge method 'Linear'", ":1 (merge_method)",
        "did you mean 'linear'?"),
    Bad("a parameter too high", LINEAR + "normalize: true\n", "unknown key 'normalize'", ":4 (normalize)",
        "write it inside `parameters:`"),
    Bad("a parameter of a model", LINEAR.replace("{model: x}", "{model: x, weight: 1}"), "unknown key 'weight'",
        ":2 (models[0].weight)", "write it inside `parameters:`"),
    Bad("alpha too high", LINEAR.replace("parameters: {weight: 1}", "mixup: {}") + "alpha: 0.5\n",
        "unknown key 'alpha'", ":4 (alpha)", "write it inside `mixup:`"),
    Bad("a drop rate too high", LINEAR + "drop_rate: 0.5\n", "unknown key 'drop_rate'", ":4 (drop_rate)",
        "write it inside `dare:`"),
    Bad("a model without its key", "merge_method: linear\nmodels: [x, {model: y, parameters: {weight: 1}}]\n",
        "models[0] must be a mapping", ":2 (models[0])", "write `model: x`"),
    Bad("a base of another name", TIES.replace("base_model: b", "base_model: bse") + "  - model: base\n",
        "needs weight for every source", ":8 (models[2])", "base_model is bse, which is another"),
    Bad("two documents", LINEAR + "---\na: 1\n", "must be valid YAML", ":4"),
    Bad("control character", "a: b\nc: \x00", "must be YAML text", "r.yaml:2", "remove that character"),
    Bad("overflowing escape", 'a: "\\UFFFFFFFF"', "must be YAML text", "r.yaml", "without such escapes"),
    Bad("endless alias", "a: &a [*a]\n", "at most", ":1", "flatter"),
    Bad("deep", "[" * 500, "at most", ":1"),
    Bad("merge key of a list", "<<: [a]\n" + LINEAR, "<< takes a mapping", ":1"),
    Bad("long key", "k" * 251 + ": 1\n" + LINEAR, "a key must be text of at most 250", ":1"),
]
# fmt: on


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_one_problem_with_rule_place_and_cure(bad: Bad) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(bad.text, "r.yaml")
    (problem,) = caught.value.problems
    assert bad.rule in problem.rule
    assert problem.place.startswith("r.yaml")
    assert problem.place.endswith(bad.at)
    assert problem.cure, "every problem has a way out"
    assert bad.cure in problem.cure
