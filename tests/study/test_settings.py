"""What a study is asked to be: keywords over the recipe's section over defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import PlanError, RecipeError
from mixmerge.recipe import StudySection, parse_recipe
from mixmerge.study import explore
from mixmerge.study.attacking import AttackSettings
from mixmerge.study.settings import Settings, check, settle

SECTION = StudySection(tasks=("a.jsonl",), draws=8, race=True, weights={"a": 2.0})
SERVE = "serve {model} --port {port}"
FIXED = {"backend": "openai", "serve": "serve {model}", "url": "http://x/v1"}


def test_keywords_win_over_the_section_and_that_over_defaults() -> None:
    asked = settle(SECTION, None, {"draws": 3, "race": False, "sampler": None})
    assert (asked.tasks, asked.draws, asked.race, asked.weights) == (("a.jsonl",), 3, False, {"a": 2.0})
    assert (asked.sampler, asked.seed, asked.workers) == ("sobol", 0, None)
    assert settle(SECTION, ["b.jsonl"], {}).tasks == ("b.jsonl",)
    assert settle(None, None, {}) == Settings()
    with pytest.raises(TypeError, match="drawz"):
        settle(None, None, {"drawz": 3})  # type: ignore[typeddict-unknown-key]


def test_a_name_by_itself_is_one_name() -> None:
    lists = ("test_tasks", "ood", "attacks", "attack_tasks")
    asked = settle(None, Path("a.jsonl"), dict.fromkeys(lists, "b.jsonl"))  # type: ignore[misc, typeddict-item]
    assert asked.tasks == ("a.jsonl",)
    assert {getattr(asked, name) for name in lists} == {("b.jsonl",)}
    assert settle(None, "a.jsonl", {}).tasks == ("a.jsonl",)


def test_what_is_no_list_is_told_at_once() -> None:
    wrong: Any = {"ood": {"a": 1}, "attacks": 3, "attack_seeds": 7}
    with pytest.raises(PlanError) as refused:
        settle(None, 5, wrong)  # type: ignore[arg-type]
    assert [problem.place for problem in refused.value.problems] == ["tasks", "ood", "attacks", "attack_seeds"]


@pytest.mark.parametrize(
    ("options", "custom", "told"),
    [
        ({"draws": 0}, False, "draws is at least 1"),
        ({"workers": 0}, False, "workers is at least 1"),
        ({"threads": 0}, False, "threads is at least 1"),
        ({"seed": -1}, False, "seed is 0 or more"),
        ({"ray_gpus": -1.0}, False, "ray_gpus is 0 or more"),
        ({"serve_timeout": float("nan")}, False, "serve_timeout is 0 or more"),
        ({"validation_fraction": 1.0}, False, "both get items"),
        ({"sampler": "soboll"}, False, "did you mean 'sobol'"),
        ({"objective": "best"}, False, "objective is one of: mean, pareto"),
        ({"compute": "int8"}, False, "compute is one of"),
        ({"race": True, "sampler": "tpe"}, False, "needs all draws at the start"),
        ({"race": True, "objective": "pareto"}, False, "needs all draws at the start"),
        ({}, True, "give one of the two"),
        ({"serve": SERVE}, False, "add --backend openai"),
        ({"url": "http://x/v1"}, False, "add --backend openai"),
        ({"backend": "openai"}, False, "vllm serve {model} --port {port}"),
        ({"backend": "openai", "serve": "serve --port {port}"}, False, "names the model by {model}"),
        ({"backend": "openai", "serve": "serve {model}"}, False, "where a server listens"),
        ({**FIXED, "url": "me@x/v1"}, False, "is http:// or https:// and a host"),
        ({**FIXED, "url": "http://me:secret@x:{port}/v1"}, False, "holds no user, password or query"),
        ({**FIXED, "workers": 2}, False, "ports of their own"),
        ({**FIXED, "ray": "auto"}, False, "ports of their own"),
        ({"backend": "openai", "serve": SERVE}, True, "is given a model in memory"),
        ({"backend": "openai", "serve": f"{SERVE} --api-key secret"}, False, "command of a server holds no key"),
        ({"backend": "openai", "serve": "HF_TOKEN=secret serve"}, False, "command of a server holds no key"),
        ({"serve": f"{SERVE} --api-key secret"}, False, "command of a server holds no key"),
        ({"backend": "openai", "serve": f"{SERVE} 'half"}, False, "No closing quotation"),
        ({"storage": "postgresql://bob:secret@host/studies"}, False, "storage holds no password"),
        ({"storage": "postgresql://bob@host/studies?password=secret"}, False, "storage holds no password"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(options: Any, custom: bool, told: str) -> None:
    with pytest.raises(PlanError, match="^(.|\n)*" + told.replace("{", "\\{")) as caught:
        check(settle(None, ["a.jsonl"], options), custom=custom)
    assert "secret" not in str(caught.value)


ROBUST = """\
merge_method: linear
models: [{model: a}, {model: b}]
mixup: {alpha: 0.5}
study:
  tasks: [a.jsonl]
  ood: [c.jsonl, d.jsonl]
  attacks: [stresstest, deepwordbug, stresstest]
  attack_tasks: sums.jsonl
  attack_prompt: add {content}=
  attack_data: data
  attack_limit: 40
  attack_queries: 50
  attack_seeds: [3, 4]
  masked_lm: bert
  weights: {pdr: 0.5}
"""


def test_robustness_said_in_the_recipe() -> None:
    asked = settle(parse_recipe(ROBUST).study, None, {"attack_limit": 20})
    assert asked.ood == ("c.jsonl", "d.jsonl")
    assert asked.attack == AttackSettings(
        ("stresstest", "deepwordbug"), ("sums.jsonl",), "add {content}=", "data", 20, 50, (3, 4), "bert", choosing=True
    )
    assert settle(None, ["a.jsonl"], {}).attack is None
    for line, told in (
        ("attack_limit: 0", "attack_limit must be at least 1"),
        ("attack_seeds: [one]", "whole number"),
        ("ood: []", "at least one item"),
    ):
        with pytest.raises(RecipeError, match=told):
            parse_recipe(ROBUST.split("  attacks")[0].replace("  ood: [c.jsonl, d.jsonl]", f"  {line}"))


def test_a_storage_may_name_its_user() -> None:
    for url in (
        "postgresql://bob@host:5432/studies",
        "mysql://bob@host/x?read_default_file=~/.my.cnf",
        "sqlite:///a@b:c@d",
    ):
        check(settle(None, ["a"], {"storage": url}), custom=False)


def test_a_server_is_known_only_where_it_is_asked_for() -> None:
    check(settle(None, ["a"], {"backend": "openai", "serve": SERVE, "workers": 2}), custom=False)
    check(settle(None, ["a"], {}), custom=False)
    assert settle(None, ["a"], {}).server is None


def test_a_study_from_the_recipe_alone(tiny, tmp_path) -> None:
    letters, numbers = tiny.tasks
    section = ["study:", f"  tasks: [{letters}, {numbers}]", "  draws: 3", "  seed: 4", "  weights: {letters: 3}"]
    said = explore(tiny.with_lines(*section), folder=tmp_path / "yaml", threads=1)
    words = explore(
        tiny.recipe, tiny.tasks, folder=tmp_path / "words", draws=3, seed=4, weights={"letters": 3.0}, threads=1
    )

    def rows(study: Any) -> list[Any]:
        return [(row["ratio a"], row["value"]) for row in study.trials]

    assert rows(said) == rows(words)
    assert said.identity["recipe"] == words.identity["recipe"]
    names = [study.identity["study"] for study in (said, words)]
    assert names[0].rpartition("-")[0] == names[1].rpartition("-")[0]  # the rest tells studies of one database apart
    assert names[0] != names[1]


def test_a_weight_of_no_task_is_told_at_its_line(tiny, tmp_path) -> None:
    recipe = tiny.with_lines("study:", "  weights: {lettres: 3}")
    with pytest.raises(PlanError, match=r"<recipe>:8 \(study\.weights\.lettres\)") as caught:
        explore(recipe, tiny.tasks, folder=tmp_path / "s")
    assert "did you mean 'letters'?" in str(caught.value)
