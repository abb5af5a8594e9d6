"""What strangers wrote (names, values, records) reaches the screen as text: no terminal obeys it, no line is forged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Cli
from mixmerge.errors import Problem, legible
from support.models import write_model

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202e"


def named(folder: Path, name: str) -> str:
    """A model with a tensor of that name."""
    write_model(folder, {"model.embed_tokens.weight": np.ones((32, 8), np.float32), name: np.ones(8, np.float32)})
    return folder.name


def harmless(text: str) -> bool:
    return text.isascii() and not any(ord(letter) < 32 and letter != "\n" for letter in text)


def test_names_of_tensors_in_refusals(place: Path, cli: Cli) -> None:
    models = [named(place / f"m{k}", f"{EVIL}{k}") for k in range(2)]
    code, out, err = cli("plan", "--method", "linear", "--dialect", "paper", *models)
    assert code == 2
    assert harmless(out + err)
    assert r"\x1b[2J" in err


def test_names_of_tensors_in_plans_and_merges(place: Path, cli: Cli) -> None:
    models = [named(place / f"m{k}", EVIL) for k in range(2)]
    words = ["--method", "linear", "--dialect", "paper", *models, "--alpha", "1", "--scope", "tensor"]
    for command in (["plan", *words], ["merge", *words, "-o", "out"], ["verify", "out"]):
        code, out, err = cli(*command)
        assert code == 0, err
        assert harmless(out + err)
    path = place / "out" / "mixmerge.json"
    record = json.loads(path.read_text())
    record["output"] = {EVIL: "0" * 32}
    path.write_text(json.dumps(record))
    code, out, err = cli("verify", "out")
    assert code == 1
    assert harmless(out + err)


@pytest.mark.parametrize("key", ["models:\n  - model: {}\n  - model: base\n", "{}: 1\n", "seed: {}\n"])
def test_values_of_recipes(key: str, place: Path, cli: Cli) -> None:
    quoted = json.dumps(EVIL + "\nrefused: nothing\n")
    (place / "bad.yaml").write_text("merge_method: linear\n" + key.format(quoted))
    code, out, err = cli("plan", "bad.yaml")
    assert code == 2
    assert harmless(out + err)
    assert "\nrefused: nothing" not in err


def test_words_of_the_command_line(place: Path, cli: Cli) -> None:
    code, out, err = cli("merge", "recipe.yaml", f"out{EVIL}")
    assert code == 0, err
    assert harmless(out + err)


@pytest.mark.parametrize("text", ["plain\ntwo\tlines", "größer 模型 \U0001f600", ""])
def test_text_stays_as_it_is(text: str) -> None:
    assert legible(text) == text


def test_a_problem_of_several_lines_keeps_its_shape() -> None:
    shown = str(Problem("rule", "one\ntwo", "at\nrefused: 0 problems", "cure"))
    assert [line for line in shown.splitlines() if not line.startswith("  ")] == ["rule"]


def test_verify_tells_bytes_that_are_gone_as_changed(place: Path, cli: Cli) -> None:
    """Exit code 1: it was a merged model, and is not what was written any more."""
    assert cli("merge", "recipe.yaml", "out").code == 0
    shutil.copytree(place / "out", place / "gone")
    (place / "gone" / "model.safetensors").unlink()
    file = place / "out" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    for folder in ("out", "gone"):
        code, _, err = cli("verify", folder)
        assert code == 1
        assert "failed: 1 problem" in err


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", "3", '{"format": 1}', '{"format": 1, "output": {"a": 1}}', "{", "\xff"]
)
def test_a_record_that_is_none(text: str, place: Path, cli: Cli) -> None:
    (place / "base" / "mixmerge.json").write_bytes(text.encode("latin-1"))
    code, _, err = cli("verify", "base")
    assert code == 2
    assert "mixmerge.json is a record" in err
