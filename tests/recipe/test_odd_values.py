"""Values of a recipe that are well formed and still cannot be meant, or that programs stumble over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixmerge.errors import Problem, RecipeError
from mixmerge.methods import METHODS
from mixmerge.recipe import parse_recipe

LINEAR = "merge_method: linear\nmodels: [{model: x}, {model: y}]\nparameters: {weight: 1}\n"


def refused(text: str) -> Problem:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "r.yaml")
    [problem] = caught.value.problems
    return problem


def test_two_ranges_of_one_model_have_one_length() -> None:
    """Also where a third source has the length of the last."""
    sources = ["{model: x, layer_range: [0, 4]}", "{model: x, layer_range: [0, 2]}", "{model: y, layer_range: [0, 2]}"]
    text = "merge_method: linear\nparameters: {weight: 1}\nslices:\n  - sources: [" + ", ".join(sources) + "]\n"
    problem = refused(text)
    assert "the same number of layers" in problem.rule
    assert problem.value == "x: 4, x: 2, y: 2"


@pytest.mark.parametrize("name", ["llama3", "mistral", "alpaca", "exaone", "chatlm", "none"])
def test_a_word_is_no_chat_template(name: str) -> None:
    """mergekit has templates of these names; written as it is, the word would be every prompt."""
    problem = refused(LINEAR + f"chat_template: {name}\n")
    assert problem.rule == "chat_template is the text of a Jinja template, `auto` or `chatml`"
    assert problem.value == f"chat_template: {name}"
    assert "tokenizer_source" in problem.cure


@pytest.mark.parametrize("said", ["auto", "chatml", "{{ messages[0].content }}"])
def test_chat_templates(said: str) -> None:
    assert parse_recipe(LINEAR + f"chat_template: '{said}'\n").chat_template == said


@pytest.mark.parametrize(
    "text",
    [
        'chat_template: "{\\ud800"',
        'tokenizer_source: "\\ud800"',
        'mixup: {filter: ["\\ud800"]}',
        'dtype: "\\udcff"',
        '"\\ud800": 1',
        'tokenizer: {tokens: {"\\ud800": {}}}',
    ],
)
def test_half_a_character_is_no_text(text: str) -> None:
    plain = LINEAR.replace("parameters: {weight: 1}\n", "") if "mixup" in text else LINEAR
    problem = refused(plain + text + "\n")
    assert "whole characters" in problem.rule
    str(problem).encode()


@pytest.mark.parametrize("alpha", ["1e13", "1e308", "[1e308, 1]"])
def test_alpha_has_an_upper_bound(alpha: str) -> None:
    problem = refused(LINEAR.replace("parameters: {weight: 1}", f"mixup: {{alpha: {alpha}}}"))
    assert problem.rule.endswith("must be between 0 and 1e+12")


def test_a_seed_too_large_is_told_the_largest_in_full() -> None:
    problem = refused(LINEAR + f"seed: {2**63}\n")
    assert problem.rule == f"seed must be between 0 and {2**63 - 1}"
    assert problem.cure == f"the nearest allowed value is {2**63 - 1}"
    assert parse_recipe(LINEAR + f"seed: {2**63 - 1}\n").seed == 2**63 - 1


@pytest.mark.parametrize("model", ["{}@v9", "{{model: {{path: {}, revision: v9}}}}", "org/base+{}@v9"])
def test_a_folder_has_no_revisions(model: str, tmp_path: Path) -> None:
    problem = refused(LINEAR.replace("{model: x}", "{model: " + model.format(tmp_path) + "}"))
    assert "has no revisions" in problem.rule
    assert str(tmp_path) in problem.rule
    assert "leave the revision out" in problem.cure


def test_a_method_of_the_paper_alone_needs_no_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a contributor adds one: one function, one line in the table."""
    monkeypatch.setitem(METHODS, ("paper", "halves"), replace(METHODS["paper", "linear"], name="halves"))  # type: ignore[misc]
    text = LINEAR.replace("linear", "halves").replace("parameters: {weight: 1}\n", "")
    assert parse_recipe(text).dialect == "paper"
    assert "has no form in dialect mergekit" in refused(text + "dialect: mergekit\n").rule


@pytest.mark.parametrize("given", [[1, 1, 1], [0.333333] * 3, [1] * 7, [0.1, 0.1, 0.1], [0, 0, 0]])
def test_a_scaled_ratio_is_a_ratio(given: list[float]) -> None:
    """What an error offers can be written: three thirds in six decimals do not sum to 1."""
    models = ", ".join(f"{{model: m{k}}}" for k in range(len(given)))
    text = f"merge_method: linear\nmodels: [{models}]\nmixup: {{ratio: RATIO}}\n"
    offered = refused(text.replace("RATIO", str([float(part) for part in given]))).cure.removeprefix("scaled: ")
    assert parse_recipe(text.replace("RATIO", offered)).mixup is not None


def test_an_address_has_no_revision() -> None:
    """What stands before its @ is a user and a password."""
    model = parse_recipe(LINEAR.replace("x}", "'https://me:pass@host/x'}")).slices[0].sources[0].model
    assert (model.path, model.revision) == ("https://me:pass@host/x", None)
