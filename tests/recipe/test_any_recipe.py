"""What holds for every recipe: its canonical text means it, and no text does worse than a RecipeError."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mixmerge.errors import Problem, RecipeError
from mixmerge.methods import METHODS, Method, Parameter
from mixmerge.recipe import Recipe, canonical, parse_recipe, recipe_hash, with_overrides

Data = dict[str, Any]

FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.sampled_from(
    ["mlp", "self_attn", "norm", "1", "no", "a b", "ünï", "😀", "#x", "x: y", "- z", "'", "\\", "~"]
)
TEMPLATES = st.sampled_from(["auto", "chatml"]) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30
).map("{{{{ messages }}}} {}".format)
MODELS = ["x", "org/y", "z@v1", "no", "1e3", "ü/ö", "a b", "{{x}}", "x+org/l@v1"]


def numbers(parameter: Parameter) -> st.SearchStrategy[float]:
    low, high = max(parameter.low, -1e9), min(parameter.high, 1e9)
    return st.floats(low, high, allow_subnormal=False) | st.integers(int(low), int(high))


def settings_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    """A value, a gradient or filters, as far as the parameter takes them."""
    if parameter.kind == "choice":
        return st.sampled_from(parameter.choices)
    scalar: st.SearchStrategy[Any] = st.booleans() if parameter.kind == "flag" else numbers(parameter)
    if parameter.name == "density":
        return scalar
    setting = scalar | st.lists(scalar, min_size=1, max_size=4) if parameter.kind == "number" else scalar
    case = st.fixed_dictionaries({"value": setting}, optional={"filter": WORDS | st.none()})
    return setting | st.lists(case, min_size=1, max_size=3)


def parameters_of(method: Method, level: str, mixup: bool) -> st.SearchStrategy[Data]:
    fitting = {
        p.name: settings_of(p)
        for p in method.parameters
        if (level != "source" or p.per_source) and not p.ignored and not (mixup and p.name == "weight")
    }
    required = {"weight"} & fitting.keys() if level == "recipe" else set()
    return st.fixed_dictionaries(
        {name: fitting[name] for name in required},
        optional={name: s for name, s in fitting.items() if name not in required},
    )


@st.composite
def mixups(draw: st.DrawFn, count: int) -> Data:
    alphas = st.floats(0.01, 10)
    law: Data = draw(
        st.fixed_dictionaries({"alpha": st.floats(0, 10) | st.lists(alphas, min_size=count, max_size=count)})
        | st.just({"ratio": [1.0] + [0.0] * (count - 1)})
        | (st.fixed_dictionaries({"ratio": st.floats(0, 1)}) if count == 2 else st.just({}))
    )
    rest = {
        "scope": st.sampled_from(["model", "layer", "block", "tensor"]),
        "seed": st.integers(0, 2**63 - 1),
        "filter": st.lists(WORDS, min_size=1, max_size=2),
    }
    return law | draw(st.fixed_dictionaries({}, optional=rest))


@st.composite
def sources(draw: st.DrawFn, method: Method, models: list[str], layers: int | None, mixup: bool) -> list[Data]:
    found = []
    first = draw(st.integers(0, 5))
    for model in models:
        source: Data = {"model": model, "parameters": draw(parameters_of(method, "source", mixup))}
        if method.name == "ties" and method.dialect == "paper":
            source["parameters"].pop("density", None)
        if layers is not None:
            source["layer_range"] = [first, first + layers]
        found.append(source)
    return found


def tokenizers(models: list[str], kept: st.SearchStrategy[str]) -> st.SearchStrategy[Data]:
    model = st.sampled_from(models)
    named = {"kind": st.just("model_token"), "model": model}
    rows = (
        model
        | st.just({"kind": "zero"})
        | st.fixed_dictionaries({**named, "token": WORDS})
        | st.fixed_dictionaries({**named, "token_id": st.integers(0, 99)})
    )
    token = st.just({}) | st.fixed_dictionaries({"source": rows}, optional={"force": st.booleans()})
    keys = {f"{role}_token": WORDS for role in ("pad", "bos", "eos")}
    keys |= {"source": kept, "tokens": st.dictionaries(WORDS, token, max_size=3)}
    return st.fixed_dictionaries({}, optional={**keys, "pad_to_multiple_of": st.integers(1, 256)})


@st.composite
def recipes(draw: st.DrawFn) -> Data:
    """A right recipe as plain data."""
    dialect, name = draw(st.sampled_from(list(METHODS)))
    method = METHODS[dialect, name]
    models = draw(st.lists(st.sampled_from(MODELS), min_size=2, max_size=4, unique=True))
    mixup = draw(st.none() | mixups(len(models)))
    dares = st.fixed_dictionaries({}, optional={"drop_rate": st.floats(0, 1), "rescale": st.booleans()})
    dare = draw(st.none() if method.sparsify == "bernoulli" else st.none() | dares)
    data: Data = {"merge_method": name, "dialect": dialect}
    data["parameters"] = draw(parameters_of(method, "recipe", mixup is not None))
    if method.base == "required" or dare is not None or draw(st.booleans()):
        unlisted_source = method.space == "weight" and method.base == "optional"
        data["base_model"] = models[0] if unlisted_source else "base@main"
    if draw(st.booleans()):
        data["models"] = draw(sources(method, models, None, mixup is not None))
    else:
        parts = draw(st.integers(1, 2))
        data["slices"] = [{"sources": draw(sources(method, models, 4, mixup is not None))} for _ in range(parts)]
    data |= {key: value for key, value in (("mixup", mixup), ("dare", dare)) if value is not None}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "seed": st.integers(0, 2**63 - 1),
        "dtype": st.sampled_from(["bfloat16", "float16", "torch.float32"]),
        "chat_template": TEMPLATES,
    }
    kept = st.sampled_from(["base", "union", *models])
    optional |= {"tokenizer": tokenizers(models, kept)} if draw(st.booleans()) else {"tokenizer_source": kept}
    return data | draw(st.fixed_dictionaries({}, optional=optional))


@FEW
@given(recipes())
def test_canonical_text_means_the_recipe(data: Data) -> None:
    recipe = parse_recipe(yaml.safe_dump(data, allow_unicode=True))
    text = canonical(recipe)
    again = parse_recipe(text)
    assert again == recipe
    assert canonical(again) == text
    assert recipe_hash(again) == recipe_hash(recipe)
    assert with_overrides(recipe) == recipe


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@MANY
@given(recipes(), st.data())
def test_a_right_recipe_with_one_thing_replaced_is_right_or_refused(data: Data, choice: st.DataObject) -> None:
    spot: Any = data
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = choice.draw(st.sampled_from(keys))
        inner = spot[key]
        if not isinstance(inner, dict | list) or not inner or choice.draw(st.booleans()):
            spot[key] = choice.draw(VALUES)
            break
        spot = inner
    refused_or_equal(yaml.safe_dump(data, allow_unicode=True))


PIECES = [
    *(
        "merge_method: ",
        "ties",
        "linear",
        "models:",
        "- model: ",
        "parameters: ",
        "slices:",
        "mixup: ",
        "dare: ",
    ),
    *(
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "&a ",
        "*a",
        "<<: ",
        "!!python/name:x ",
        "!!set ",
    ),
    *(
        "'",
        '"',
        "|\n",
        ">-\n",
        "? ",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "#",
        "\t",
        "\\",
        "0.5",
        "1e999",
        "-",
        "~",
        "\0",
    ),
    *(
        '"\\UFFFFFFFF"',
        "!!int x",
        "!!bool x",
        "%YAML " + "9" * 5000 + ".1\n---\n",
        "\ud800",
        "=",
        "0x1",
        "1:30",
    ),
]


@MANY
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=30).map("".join))
@example("a: !<")
@example("!!map {? !!python/object:x y : z}")
@example("&a [*a]")
@example("{a: 1}: b")
@example("? [a, b]\n: c")
@example("models: !!set {a, b}")
@example("a: !!timestamp x\nb: !!float y\nc: =\n")
@example("\ufeffmerge_method: linear")
@example("%YAML " + "9" * 5000 + ".1\n---\na: b")
def test_no_text_does_worse_than_a_recipe_error(text: str) -> None:
    refused_or_equal(text)


def refused_or_equal(text: str) -> None:
    recipe, problems = parsed(text)
    assert (recipe is None) == bool(problems)
    assert all(problem.rule and problem.place for problem in problems)
    if recipe is not None:
        assert parse_recipe(canonical(recipe)) == recipe


def parsed(text: str) -> tuple[Recipe | None, tuple[Problem, ...]]:
    try:
        return parse_recipe(text), ()
    except RecipeError as error:
        return None, error.problems
