"""What is wrong with words, recipe, tasks and models is told in one answer, at the place the person typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.conftest import Cli

WRONG = """\
merge_method: tise
models:
  - model: expert-a
  - model: expert-b
mixup:
  alpha: -0.5
study:
  race: true
  sampler: tpe
"""
OF_WORDS = "--threads is a whole number"
OF_RECIPE = ("unknown merge method 'tise'", "alpha must be between 0 and 1e+12")
MERGE = "merge --method tise expert-a expert-b --alpha -0.5 -o out"


def places(err: str) -> list[str]:
    return [place.partition(", path ")[0] for place in re.findall(r"^  at:    (.*)$", err, re.MULTILINE)]


@pytest.mark.parametrize(
    "words",
    ["plan wrong.yaml", "merge wrong.yaml out", "merge wrong.yaml", "explore wrong.yaml study", MERGE,
     "plan wrong.yaml --weight 1", MERGE + " -p trim"],
)  # fmt: skip
def test_a_wrong_option_does_not_hide_what_is_wrong_with_the_recipe(words: str, cli: Cli, place: Path) -> None:
    (place / "wrong.yaml").write_text(WRONG)
    before = sorted(place.iterdir())
    code, out, err = cli(*words.split(), "--threads", "0")
    assert (code, out) == (2, "")
    assert err.startswith(OF_WORDS), "words come first"
    for rule in OF_RECIPE:
        assert err.count(rule) == 1
    assert sorted(place.iterdir()) == before


def test_a_word_of_the_recipe_that_is_wrong_leaves_the_recipe_unread(cli: Cli, place: Path) -> None:
    """It may be the word that would have made it right."""
    (place / "wrong.yaml").write_text(WRONG)
    code, _, err = cli("merge", "wrong.yaml", "out", "--alpha", "")
    assert (code, err.count("fix:")) == (2, 1)


def test_a_recipe_that_is_fine_adds_nothing(cli: Cli, place: Path) -> None:
    for words in (
        ("plan", "recipe.yaml"),
        ("merge", "recipe.yaml", "out"),
        ("explore", "recipe.yaml", "s", "--tasks", "a"),
    ):
        code, _, err = cli(*words, "--threads", "0", "--memory", "1X")
        assert (code, places(err)) == (2, ["--memory", "--threads"])


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("plan recipe.yaml --json --threads 0", 1),
        ("plan --json recipe.yaml --thread 2", 1),
        ("plan recipe.yaml --json --memory", 1),
        ("plan --json", 1),
        ("plan wrong.yaml --json --threads x --memory 1X", 4),
    ],
)
def test_a_refused_plan_is_json_whatever_is_wrong(words: str, count: int, cli: Cli, place: Path) -> None:
    (place / "wrong.yaml").write_text(WRONG)
    code, out, err = cli(*words.split())
    found = json.loads(out)
    assert (code, found["format"], found["plan"], len(found["problems"])) == (2, 1, None, count)
    assert all(problem["rule"] in err and problem["cure"] for problem in found["problems"])


def test_an_option_that_lacks_its_value_names_the_command(cli: Cli) -> None:
    assert "fix:   mixmerge plan --help explains it" in cli("plan", "recipe.yaml", "--memory").err


def test_settings_of_a_study_are_told_where_they_were_typed(cli: Cli, place: Path) -> None:
    (place / "study.yaml").write_text(WRONG.replace("tise", "linear").replace("-0.5", "0.5"))
    assert places(cli("explore", "recipe.yaml", "s").err) == ["--tasks"]
    err = cli("explore", "study.yaml", "s", "--device", "foo", "--validation-fraction", "2", "--url", "http://a/v1").err
    assert places(err) == ["--validation-fraction", "--device", "--tasks", "study.yaml:8 (study.race)", "--url"]
    err = cli(
        "explore", "study.yaml", "s", "--tasks", "a", "--race", "--attack", "deepwordbug", "--weight", "pdr=1"
    ).err
    assert places(err) == ["--race", "--attack-task", "--weight pdr", "--race"]
    err = cli("explore", "wrong.yaml", "s", "--sampler", "soboll").err
    assert places(err) == ["wrong.yaml", "--sampler"]
    assert not (place / "s").exists()


EVAL_WORDS = "--prompt alpacca --device foo --compute int8 --out no/such/file.json"
EVAL_PLACES = ["no/such", "--prompt", "--compute", "--device"]


def test_eval_tells_everything_at_once(cli: Cli, place: Path) -> None:
    words = ("--tasks", "gone.jsonl", *EVAL_WORDS.split())
    assert places(cli("eval", "base/model.safetensors", *words).err) == [
        *EVAL_PLACES,
        "model 'base/model.safetensors'",
        "gone.jsonl",
    ]
    found = places(
        cli("eval", "base", "--suite", "m9", "--judge-url", "http://a/v1", "--limit", "0", *EVAL_WORDS.split()).err
    )
    assert found == ["--limit", "--suite", "command line", "command line", *EVAL_PLACES]
    found = places(cli("eval", "base", *EVAL_WORDS.split()).err)
    assert found == ["command line", *EVAL_PLACES]


def test_attack_tells_everything_at_once(cli: Cli, place: Path) -> None:
    words = "--task sst3 --attack deepword --device foo --compute int8 --limit 0 --out no/such/file.json"
    found = places(cli("attack", "base/model.safetensors", *words.split()).err)
    assert found == [
        "--limit",
        "--attack",
        "--compute",
        "--device",
        "no/such",
        "model 'base/model.safetensors'",
        "--task",
    ]


def test_eval_of_several_models_is_no_task_of_the_second(cli: Cli, place: Path) -> None:
    for words in (("base", "expert-a", "--tasks", "a"), ("base", "--tasks", "a", "--", "expert-a")):
        code, _, err = cli("eval", *words)
        assert code == 2
        assert "eval scores one model\n  found: expert-a\n" in err
