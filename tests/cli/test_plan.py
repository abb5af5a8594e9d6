"""mixmerge plan: text for people, and JSON of a stable schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import RECIPE, Cli
from support.models import digest_tree

PLAN_KEYS = {
    "recipe", "recipe_sha256", "method", "dialect", "parameters", "models", "seed", "dare", "mixup", "read", "write",
    "vocabulary", "memory", "notes",
}  # fmt: skip
INNER_KEYS = {
    "mixup": {"law", "seed", "scope", "filter", "sources", "ratios"},
    "read": {"bytes", "passes"},
    "write": {"bytes", "disk", "tensors", "copied", "dtype", "files", "made", "carried", "donor"},
    "memory": {"projected", "baseline", "buffers", "tables", "threads", "block"},
    "dare": {"drop_rate", "rescale", "strategy", "of"},
}
MODEL_KEYS = {"model", "roles", "local", "commit", "tensors", "bytes", "dtypes", "parameters", "adapter"}


def planned(cli: Cli, *words: str) -> dict[str, Any]:
    code, out, err = cli("plan", *words, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content.keys() == {"format", "problems", "plan"}
    assert content["format"] == 1
    assert content["problems"] == []
    return content["plan"]  # type: ignore[no-any-return]


def test_text(place: Path, cli: Cli) -> None:
    before = digest_tree(place)
    code, out, err = cli("plan", "recipe.yaml", "--dare", "0.2", "--threads", "2", "--out", "out")
    assert (code, err) == (0, "")
    heads = [line[:10].strip() for line in out.splitlines() if line[0] != " "]
    assert heads == ["method", "read", "compute", "dare", "ratio", "write", "memory", "disk"]
    for text in ("ties, dialect paper", "density 0.5 for expert-a", "drop rate 0.2", "Beta(0.5, 0.5) with seed 42",
                 "base      base, ", "2 threads", "MiB", "free space"):  # fmt: skip
        assert text in out
    assert digest_tree(place) == before


def test_text_shows_notes_and_filters(place: Path, cli: Cli) -> None:
    (place / "recipe.yaml").write_text(RECIPE + "  filter: mlp\nname: mine\n")
    code, out, _ = cli("plan", "recipe.yaml")
    assert code == 0
    assert "equal: 0.5 expert-a, 0.5 expert-b (outside the filter)" in out
    assert "notes     recipe.yaml:12 (name): no effect" in out


def test_json(place: Path, cli: Cli) -> None:
    plan = planned(cli, "recipe.yaml", "--dare", "0.2", "--threads", "2")
    assert plan.keys() == PLAN_KEYS
    for name, keys in INNER_KEYS.items():
        assert plan[name].keys() == keys
    assert all(model.keys() == MODEL_KEYS for model in plan["models"])
    assert [(model["model"], model["roles"]) for model in plan["models"]] == [
        ("expert-a", ["source"]),
        ("expert-b", ["source"]),
        ("base", ["base"]),
    ]
    assert plan["models"][0]["parameters"] == {"density": 0.5}
    assert plan["parameters"] == {"scale": 1.0, "trim": "model"}
    assert plan["mixup"]["law"] == "Beta(0.5, 0.5)"
    assert plan["mixup"]["seed"] == 42
    assert sum(plan["mixup"]["ratios"]["model"]) == 1
    assert plan["memory"]["threads"] == 2
    memory = plan["memory"]
    assert memory["projected"] == memory["baseline"] + memory["buffers"] + memory["tables"]
    assert plan["write"]["files"] == [{"file": "model.safetensors", "bytes": plan["write"]["bytes"]}]


def test_json_without_mixup(place: Path, cli: Cli) -> None:
    plan = planned(cli, "--method", "linear", "expert-a", "expert-b", "--weight", "1,2")
    assert plan["mixup"] is None
    assert plan["dare"] is None
    assert [model["parameters"]["weight"] for model in plan["models"]] == [1, 2]
    fixed = planned(cli, "recipe.yaml", "--ratio", "0.25")
    assert fixed["mixup"]["law"] is None
    assert fixed["mixup"]["seed"] is None
    assert fixed["mixup"]["ratios"] == {"model": [0.25, 0.75]}


def test_json_of_values_by_tensor(place: Path, cli: Cli) -> None:
    plan = planned(cli, "--method", "linear", "expert-a", "expert-b", "-p", "weight=1,2")
    assert plan["models"][0]["parameters"]["weight"] == {"by_tensor": [1.0, 2.0]}


def test_json_of_problems(place: Path, cli: Cli) -> None:
    (place / "recipe.yaml").write_text(RECIPE.replace("0.5\nmixup", "1.5\nmixup"))
    code, out, err = cli("plan", "recipe.yaml", "--json")
    assert code == 2
    assert "refused: 1 problem" in err
    content = json.loads(out)
    assert content["plan"] is None
    assert [problem.keys() for problem in content["problems"]] == [{"rule", "value", "place", "cure"}]
    assert content["problems"][0]["place"] == "recipe.yaml:7 (parameters.density)"


def test_a_base_that_only_donates_files(place: Path, cli: Cli) -> None:
    _, out, _ = cli("plan", "--method", "linear", "--base", "base", "expert-a", "expert-b", "--ratio", "0.5")
    assert "base      files only, " in out


def test_what_stands_in_the_place_is_noted(place: Path, cli: Cli) -> None:
    assert planned(cli, "recipe.yaml", "--out", "out")["method"]
    (place / "out").mkdir()
    (place / "out.partial").mkdir()
    code, out, err = cli("plan", "recipe.yaml", "--out", "out")
    assert code == 0
    assert out.startswith("method ")
    assert "note: an output folder is a new one: something of that name, out; choose another" in err
    assert "--overwrite" in err
    assert "--resume" in err


def test_json_of_problems_holds_no_password(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of huggingface_hub name the address it asked, as HF_ENDPOINT has it."""
    from mixmerge import api
    from mixmerge.errors import PlanError, Problem

    def fail(*_: Any, **__: Any) -> None:
        raise PlanError(Problem("it answers", "cannot reach http://me:secret@host/x", "https://me:secret@host", "wait"))

    monkeypatch.setattr(api, "plan", fail)
    code, out, err = cli("plan", "recipe.yaml", "--json")
    assert code == 2
    assert "secret" not in out + err
    [problem] = json.loads(out)["problems"]
    assert problem == {
        "rule": "it answers", "value": "cannot reach http://...@host/x", "place": "https://...@host", "cure": "wait",
    }  # fmt: skip
