"""Adapters on the command line, in every form a model is named, and told when they cannot be applied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Cli
from support import models
from support.adapters import PREFIX, UP, Q, adapted32, factors, write_adapter

BASE = models.smooth(models.llama_shapes(), 0)


@pytest.fixture
def adapters(place: Path) -> models.Arrays:
    """Beside the models: two adapters on `base`. The factors of the first."""
    own = factors(BASE, Q, UP)
    write_adapter(place / "one", own)
    write_adapter(place / "two", factors(BASE, Q, seed=9))
    return own


def test_options_and_both_forms_in_a_recipe_give_the_same_bytes(cli: Cli, place: Path, adapters: models.Arrays) -> None:
    assert (
        cli("merge", "--method", "ties", "--base", "base", "base+one", "base+two", "--ratio", "0.3", "-o", "a").code
        == 0
    )
    for name, models_ in {
        "b": "[{model: base+one}, {model: base+two}]",
        "c": "[{model: {model: {path: base}, lora: {path: one}}}, {model: {model: base, lora: two}}]",
    }.items():
        (place / "r.yaml").write_text(
            f"merge_method: ties\nbase_model: base\nmodels: {models_}\nmixup: {{ratio: 0.3}}\n"
        )
        assert cli("merge", "r.yaml", name).code == 0
        assert models.weight_bytes(place / name) == models.weight_bytes(place / "a")
    told = cli("verify", "a")
    assert told.code == 0


def test_the_output_of_one_model_is_what_its_adapter_makes(cli: Cli, place: Path, adapters: models.Arrays) -> None:
    done = cli("merge", "--method", "linear", "--weight", "1", "--dialect", "mergekit", "base+one", "-o", "out")
    assert done.code == 0, done.err
    wanted = adapted32(models.cast(BASE, models.BF16), adapters)
    for name, values in models.read_model(place / "out").items():
        assert values.tobytes() == wanted[name].astype(models.BF16).tobytes()


def test_a_local_path_with_the_sign_wins(cli: Cli, place: Path, adapters: models.Arrays) -> None:
    (place / "expert-a").rename(place / "base+one")
    done = cli("plan", "--method", "linear", "base+one", "expert-b", "--ratio", "0.5", "--json")
    assert [model["adapter"] for model in json.loads(done.out)["plan"]["models"]] == [None, None]


def test_refused_with_everything_wrong_and_nothing_written(cli: Cli, place: Path, adapters: models.Arrays) -> None:
    write_adapter(place / "dora", adapters, use_dora=True)
    write_adapter(place / "wrong", {**adapters, f"{PREFIX}{Q}.lora_C.weight": adapters[f"{PREFIX}{Q}.lora_A.weight"]})
    before = models.digest_tree(place)
    done = cli(
        "merge", "--method", "linear", "base+dora", "base+wrong", "base+no", "one", "--dialect", "paper", "-o", "x"
    )
    assert done.code == 2
    for told in ("DoRA", "another name", "'no'", "beside its base"):
        assert told in done.err
    assert "refused: 4 problems" in done.err
    assert models.digest_tree(place) == before
