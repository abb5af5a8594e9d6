"""Adapters in the plan: shown, counted, and refused before a weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixmerge import api
from mixmerge.cli.plan_json import plan_data
from mixmerge.cli.plan_text import plan_text
from mixmerge.errors import MemoryBudgetError, OutputError, PlanError
from mixmerge.planning.budget import MIB, factor_bytes
from mixmerge.recipe import parse_recipe
from plan.conftest import BASE, Write
from support import models
from support.adapters import EMBEDDING, PREFIX, UP, Q, factors, write_adapter
from support.merging import recipe_of
from support.vocabularies import sized, tokenizer_files

pytestmark = pytest.mark.usefixtures("blind")
RATIO = {"mixup": {"ratio": 0.5}}


def test_the_plan_shows_the_adapter(write: Write, tmp_path: Path) -> None:
    base, other = write("base", BASE), write("other")
    tensors = {
        **factors(BASE, Q), **factors(BASE, UP, rank=4), f"{PREFIX}model.norm.weight": BASE["model.norm.weight"],
    }  # fmt: skip
    adapter = write_adapter(tmp_path / "tuned", tensors, rank_pattern={"up_proj": 4}, base_model_name_or_path="org/b")
    plan = api.plan(recipe_of("linear", [f"{base}+{adapter}", other], **RATIO))
    size = sum(values.nbytes for values in tensors.values())
    text = plan_text(plan)
    told = " ".join(text.split())
    assert f"with adapter {adapter}: LoRA of rank 2 to 4, alpha 4, scale 1 to 2, added to 2 tensors, 1 tensor" in told
    assert f"says it was trained on org/b; it is applied to {base}" in told
    first, second = plan_data(plan)["models"]
    assert second["adapter"] is None
    assert first["adapter"] == {
        "adapter": str(adapter), "local": True, "commit": None, "ranks": [2, 4], "alphas": [4.0], "scales": [1.0, 2.0],
        "changed": 2, "replaced": 1, "bytes": size,
    }  # fmt: skip
    stored = sum(values.nbytes for values in BASE.values())
    added = size - BASE["model.norm.weight"].nbytes
    assert plan.cost.read == 2 * stored + 2 * added, "the factors once to merge, once for their fingerprints"


@pytest.mark.parametrize("dtype", [models.BF16, np.float16, np.float32])
def test_the_dtype_is_that_of_the_model_without_its_adapter(dtype: Any, write: Write, tmp_path: Path) -> None:
    base = write("base", models.cast(BASE, dtype))
    tensors = {**factors(BASE, Q), f"{PREFIX}model.norm.weight": BASE["model.norm.weight"]}
    adapter = write_adapter(tmp_path / "tuned", tensors)
    plan = api.plan(recipe_of("linear", [f"{base}+{adapter}", base], **RATIO))
    assert {step.spec.dtype.numpy for step in plan.steps} == {np.dtype(dtype)}
    wide = api.plan(recipe_of("linear", [f"{base}+{adapter}", base], dtype="float32", **RATIO))
    assert {step.spec.dtype.name for step in wide.steps} == {"F32"}


def test_the_same_base_with_and_without(write: Write, tmp_path: Path) -> None:
    """Three models in one folder; the small files are told to come from the plain one."""
    base = write("base", BASE, files={"tokenizer.json": "{}"})
    adapters = [write_adapter(tmp_path / name, factors(BASE, Q, seed=k)) for k, name in enumerate("ab")]
    plan = api.plan(recipe_of("ties", [f"{base}+{path}" for path in adapters], base, dialect="paper"))
    assert [model.label for model in plan.models] == [*(f"{base}+{path}" for path in adapters), str(base)]
    assert f"tokenizer.json from {base}\n" in plan_text(plan)


def test_all_problems_of_model_and_adapter_are_told_at_once(write: Write, tmp_path: Path) -> None:
    base = write("base", BASE)
    bad = write_adapter(tmp_path / "bad", factors(BASE, Q), use_dora=True, r=0)
    wrong = write_adapter(tmp_path / "wrong", {**factors(BASE, Q), f"{PREFIX}x.weight": np.ones(3, np.float32)})
    recipe = recipe_of("linear", [f"{base}+{bad}", f"{base}+{wrong}", f"{tmp_path}/no+{bad}"], dialect="paper")
    with pytest.raises(PlanError) as caught:
        api.plan(recipe)
    rules = [problem.rule for problem in caught.value.problems]
    assert len(rules) == 4, "those of one adapter once, though it is named twice"
    assert not (tmp_path / "out").exists()


def test_the_projection_counts_the_factors(write: Write, tmp_path: Path) -> None:
    base = write("base", BASE)
    rank = 4_000
    adapter = write_adapter(tmp_path / "tuned", factors(BASE, Q, UP, rank=rank), r=rank)
    with_it = api.plan(recipe_of("linear", [f"{base}+{adapter}", base], **RATIO), threads=2)
    without = api.plan(recipe_of("linear", [base, write("other")], **RATIO), threads=2)
    largest = rank * (24 + 8) * 4
    assert factor_bytes(with_it.steps) >= largest
    assert with_it.budget.buffers - without.budget.buffers >= 2 * largest
    assert factor_bytes(without.steps) == 0
    with pytest.raises(MemoryBudgetError):
        api.plan(recipe_of("linear", [f"{base}+{adapter}", base], **RATIO), threads=60, memory=300 * MIB)


def test_a_change_of_a_tied_head_is_refused(write: Write, tmp_path: Path) -> None:
    """The head is stored, but the configuration ties it to the embedding: transformers would not look at it."""
    base = write("base", BASE, config={**models.CONFIG, "tie_word_embeddings": True})
    adapter = write_adapter(tmp_path / "tuned", factors(BASE, "lm_head"))
    with pytest.raises(PlanError, match="head is tied") as caught:
        api.plan(recipe_of("linear", [f"{base}+{adapter}", base], **RATIO))
    assert f"model {base}+{adapter}" in caught.value.problems[0].place


@pytest.mark.parametrize("module", [EMBEDDING, Q])
def test_changed_embeddings_and_differing_vocabularies(module: str, tmp_path: Path, write: Write) -> None:
    tokens = [f"t{number}" for number in range(32)]
    base = write("base", BASE, files=tokenizer_files(tokens))
    other = write("other", sized(BASE, 33), files=tokenizer_files([*tokens, "[PAD]"], learned=32))
    adapter = write_adapter(tmp_path / "tuned", factors(BASE, module))
    recipe = recipe_of("linear", [f"{base}+{adapter}", other], **RATIO)
    if module == Q:
        assert api.plan(recipe).vocabulary is not None
        return
    with pytest.raises(PlanError, match="leaves embeddings and heads alone"):
        api.plan(recipe)


@pytest.mark.parametrize("place", ["same", "inside", "around"])
def test_the_output_lies_outside_the_adapter(place: str, write: Write, tmp_path: Path) -> None:
    base = write("base", BASE)
    adapter = write_adapter(tmp_path / "adapters/tuned", factors(BASE, Q))
    out = {"same": adapter, "inside": adapter / "x", "around": adapter.parent}[place]
    with pytest.raises(OutputError, match="outside every input"):
        api.plan(recipe_of("linear", [f"{base}+{adapter}", base], **RATIO), out=out)


def test_slices_take_the_changes_of_their_layers(write: Write, tmp_path: Path) -> None:
    base = write("base", BASE)
    adapter = write_adapter(tmp_path / "tuned", factors(BASE, Q, UP, EMBEDDING))
    named = f"{base}+{adapter}"
    slices = [{"sources": [{"model": m, "layer_range": [0, 1]} for m in (named, str(base))]}] * 2
    text = yaml.safe_dump({"merge_method": "linear", "dialect": "paper", "slices": slices, **RATIO})
    plan = api.plan(parse_recipe(text))
    changed = [step.spec.name for step in plan.steps if any(item.change for item in step.all_inputs)]
    assert changed == [f"{EMBEDDING}.weight", f"{Q}.weight", f"{Q}.weight".replace("layers.0", "layers.1")]
