"""Studies of adapters: what is scored is what is written, and a parent is the model with its adapter."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mixmerge import api
from mixmerge.errors import PlanError
from mixmerge.recipe import canonical, parse_recipe
from mixmerge.study import explore, export
from mixmerge.study.space import Point
from mixmerge.study.workbench import Parent, Setup, Workbench
from study.test_same_bits import RATIO, file_bits, live_bits
from support import models
from support.adapters import adapted32, factors, write_adapter

MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj")


@pytest.fixture
def recipe(tiny, tmp_path: Path) -> str:
    base = models.read_model(tiny.base)
    adapters = [write_adapter(tmp_path / f"tuned-{k}", factors(base, *MODULES, seed=k, size=0.5)) for k in (1, 2)]
    lines = "".join(f"  - model: {tiny.base}+{path}\n" for path in adapters)
    return f"merge_method: task_arithmetic\nbase_model: {tiny.base}\nmodels:\n{lines}mixup: {{alpha: 0.5}}\n"


@pytest.mark.parametrize("compute", ["bfloat16", "float32"])
def test_live_is_what_merge_writes(recipe: str, tmp_path: Path, compute: str) -> None:
    import torch

    setup = Setup(canonical(parse_recipe(recipe)), (), tmp_path / "scratch", threads=1, compute=compute)
    with closing(Workbench(setup)) as bench:
        assert bench.faithful
        live_bits(bench, Point({"model": (0.9, 0.1)}, {}))
        live = live_bits(bench, Point({"model": RATIO}, {}))
    api.merge(recipe.replace("{alpha: 0.5}", f"{{ratio: [{RATIO[0]}, {RATIO[1]}]}}"), tmp_path / "out", threads=1)
    for name, bits in file_bits(tmp_path / "out", getattr(torch, compute)).items():
        assert np.array_equal(live[name].view(bits.dtype), bits), name


def test_a_parent_is_scored_with_its_adapter(tiny, recipe: str, tmp_path: Path) -> None:
    base = models.read_model(tiny.base)
    with closing(Workbench(Setup(canonical(parse_recipe(recipe)), (), tmp_path / "scratch", threads=1))) as bench:
        found = {index: live_bits(bench, Parent(index)) for index in (0, 1, 2)}
    for index, tensors in ((0, factors(base, *MODULES, seed=1, size=0.5)), (2, {})):
        for name, values in adapted32(base, tensors).items():
            wanted = values.astype(models.BF16).astype(np.float32).reshape(-1)
            assert np.array_equal(found[index][name], wanted), name
    assert any(not np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_a_study_of_adapters_and_its_export(tiny, recipe: str, tmp_path: Path) -> None:
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)
    (out,) = export(study.folder, tmp_path / "winner")
    card = (out / "README.md").read_text()
    assert "adapter_model.safetensors" in card
    assert "is read through the LoRA adapter" in card
    file = tmp_path / "tuned-1/adapter_model.safetensors"
    file.write_bytes(file.read_bytes())  # at another time: who knows by whom
    with pytest.raises(PlanError, match="the sources are those the study scored"):
        export(study.folder, tmp_path / "other")
