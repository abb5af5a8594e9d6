"""What is said stays readable, whatever the files hold: many problems are counted, long words are cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cli.conftest import Cli
from mixmerge.cli.plan_text import NOTES_SHOWN
from mixmerge.errors import LISTED, LONGEST, MixmergeError, Problem
from support.models import write_model


def test_two_unlike_models_fill_no_screen(cli: Cli, place: Path) -> None:
    """Thousands of tensors each that the other lacks: some of each kind, and how many more."""
    for name in "ab":
        model = {f"layers.{k}.{name}": np.ones(1, np.float32) for k in range(1000)}
        write_model(place / name, {**model, "w": np.ones(1 + ord(name), np.float32)})
    told = cli("plan", "--method", "linear", "--dialect", "paper", "a", "b")
    assert told.code == 2
    assert told.err.count("\n") < 6 * LISTED
    assert f"and {2001 - LISTED:,} more" in told.err
    assert "refused: 2001 problems" in told.err
    refused = json.loads(cli("plan", "--method", "linear", "--dialect", "paper", "a", "b", "--json").out)
    assert len(refused["problems"]) == 2001, "a program gets them all"


def test_many_notes_fill_no_screen(cli: Cli, place: Path) -> None:
    """A tensor in a thousand is a matter for the base; those are counted on a screen, and listed in JSON."""
    for name in "abc":
        own = {f"layers.{k}.{'x' * (5000 if k == 0 else 1)}": np.ones(1 + ord(name), np.float32) for k in range(1000)}
        write_model(place / name, {**own, "w": np.ones(1, np.float32)})
    words = [
        "--method",
        "linear",
        "--dialect",
        "paper",
        "a",
        "b",
        "--base",
        "c",
        "--on-mismatch",
        "base",
        "--dare",
        "0",
    ]
    told = cli("plan", *words)
    assert told.code == 0
    assert told.out.count("is copied from the base") < NOTES_SHOWN + 1
    assert f"and {1000 - NOTES_SHOWN} more (mixmerge plan --json has all)" in told.out
    assert max(map(len, told.out.splitlines())) < LONGEST + 100
    merged = cli("merge", *words, "-o", "out")
    assert merged.code == 0
    assert merged.err.count("note: ") == NOTES_SHOWN + 1
    notes = json.loads(cli("plan", *words, "--json").out)["plan"]["notes"]
    assert sum("is copied from the base" in note for note in notes) == 1000


def test_a_merged_model_that_was_replaced_fills_no_screen(cli: Cli, place: Path) -> None:
    for name in "ab":
        write_model(place / name, {f"layers.{k}.w": np.full(1, k, np.float32) for k in range(500)})
    assert cli("merge", "--method", "linear", "--dialect", "paper", "a", "b", "-o", "out").code == 0
    record = json.loads((place / "out/mixmerge.json").read_text())
    record["output"] = dict.fromkeys(record["output"], "0" * 32)
    (place / "out/mixmerge.json").write_text(json.dumps(record))
    told = cli("verify", "out")
    assert told.code == 1
    assert told.err.count("\n") < 6 * LISTED
    assert f"and {500 - LISTED} more" in told.err


def test_no_rule_hides_behind_another() -> None:
    problems = [Problem("many", str(k)) for k in range(3 * LISTED)] + [Problem("one")]
    error = MixmergeError(problems)
    assert len(error.problems) == len(problems)
    assert "\n\none\n" in str(error)
    assert str(error).endswith(f"many\n  found: and {2 * LISTED} more")


def test_long_words_are_cut(cli: Cli, place: Path) -> None:
    """A tensor name of 100,000 characters, a method of 900,000."""
    for name in "ab":
        write_model(place / name, {name * 100_000: np.ones(1, np.float32)})
    told = cli("plan", "--method", "linear", "--dialect", "paper", "a", "b")
    assert told.code == 2
    assert max(map(len, told.err.splitlines())) < LONGEST + 100
    assert "(100,007 characters)" in told.err
    (place / "recipe.yaml").write_text("merge_method: " + "x" * 900_000 + "\nmodels: [{model: a}]\n")
    told = cli("plan", "recipe.yaml")
    assert told.code == 2
    assert max(map(len, told.err.splitlines())) < LONGEST + 100
