"""The model card: strangers' words in it are shown, not obeyed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mixmerge import api
from mixmerge.recipe import parse_recipe
from support import models
from support.merging import recipe_of

EVIL = "a|b<script>alert(1)</script>`x``\n# Chapter [link](http://example.org) \x1b[2J"


def test_names_of_tensors_and_models_are_code(tmp_path: Path) -> None:
    paths = [models.write_model(tmp_path / f"m|{k}_*x*", {EVIL: np.full(4, k, np.float32)}) for k in range(2)]
    api.merge(recipe_of("linear", paths, dialect="paper", mixup={"alpha": 1, "scope": "tensor"}), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.isprintable() is False
    assert "\x1b" not in card
    assert not re.search(r"^# Chapter", card, re.MULTILINE)
    table = [line for line in card.splitlines() if line.startswith("|")]
    [row] = [line for line in table if "script" in line]
    cells = re.split(r"(?<!\\)\|", row)
    assert len(cells) == 5
    assert cells[1].startswith(" ```a\\|b<script>alert(1)</script>`x`` # Chapter")
    assert cells[1].rstrip().endswith("```")
    assert all(len(re.split(r"(?<!\\)\|", line)) == len(re.split(r"(?<!\\)\|", table[0])) for line in table[:3])


def test_a_recipe_with_fences_stays_in_its_fence(tmp_path: Path) -> None:
    paths = [models.write_model(tmp_path / str(k), {"w": np.full(4, k, np.float32)}) for k in range(2)]
    chat = "{{ messages }}\n````\n# out\n`````\n"
    api.merge(recipe_of("linear", paths, dialect="paper", chat_template=chat), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "``````yaml\n" in card


def test_a_plain_name_is_the_title(tmp_path: Path) -> None:
    paths = [models.write_model(tmp_path / str(k), {"w": np.full(4, k, np.float32)}) for k in range(2)]
    for name, title in (("my-model_2.5", "# my-model_2.5\n"), ("<b>", "# `<b>`\n")):
        api.merge(recipe_of("linear", paths, dialect="paper"), tmp_path / name)
        assert title in (tmp_path / name / "README.md").read_text()


def test_parts_of_a_ratio_name_the_models_of_all_slices(tmp_path: Path) -> None:
    """A ratio holds by position: where slices take other models at one place, all of them have that part."""
    model = {f"model.layers.{layer}.w": np.full(4, layer, np.float32) for layer in range(2)}
    a, b, c = (str(models.write_model(tmp_path / name, model)) for name in "abc")
    slices = [
        {"sources": [{"model": one, "layer_range": [layer, layer + 1]} for one in pair]}
        for layer, pair in enumerate([(a, b), (b, c)])
    ]
    recipe = parse_recipe(str({"merge_method": "linear", "slices": slices, "mixup": {"ratio": 0.3}}))
    record = api.merge(recipe, tmp_path / "out")
    assert record["sources"] == [f"{a} or {b}", f"{b} or {c}"]
    assert f"| group | `{a} or {b}` | `{b} or {c}` |" in (tmp_path / "out" / "README.md").read_text()
