"""The same recipe and seed give the same bytes, records and small files; another seed gives another ratio."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixmerge
from engine.conftest import Family
from mixmerge import api
from mixmerge.engine import PassStarted, Progress, TensorDone, record
from mixmerge.errors import CheckpointError, VerificationError
from mixmerge.mixup import equal_ratio
from support import models
from support.merging import Recorder, bytes_of, merge_live, plan_of, recipe_of


def m3(family: Family, *, n: int = 2, seed: int = 1, **keys: Any) -> Any:
    mixup = {"alpha": 0.5, "seed": seed, **keys.pop("mixup", {})}
    return recipe_of("ties", family.sources[:n], family.base, dare={"drop_rate": 0.2}, mixup=mixup, **keys)


def test_two_runs_are_alike_in_every_file(families: dict[str, Family], tmp_path: Path) -> None:
    family = families["bf16"]
    for folder, threads in (("one/out", 1), ("two/out", 2)):
        (tmp_path / folder).parent.mkdir()
        api.merge(m3(family), tmp_path / folder, threads=threads, shard_size=3000)
    first, second = (models.tree_bytes(tmp_path / folder) for folder in ("one/out", "two/out"))
    assert first == second
    assert {"config.json", "mixmerge.json", "README.md", "model.safetensors.index.json"} < first.keys()
    assert sum(name.endswith(".safetensors") for name in first) > 2


def test_another_seed_is_another_ratio(families: dict[str, Family]) -> None:
    family = families["bf16"]
    plans = [plan_of(m3(family, seed=seed)) for seed in (1, 2, 1)]
    ratios = [plan.ratios["model"] for plan in plans]
    assert ratios[0] == ratios[2] != ratios[1]
    results = [bytes_of(merge_live(m3(family, seed=seed))) for seed in (1, 2)]
    assert results[0] != results[1]


def test_the_seed_of_the_recipe_draws_masks_that_of_mixup_the_ratio(families: dict[str, Family]) -> None:
    family = families["smooth"]
    first, second = (recipe_of(
        "linear", family.sources[:2], family.base, dare={"drop_rate": 0.5}, mixup={"alpha": 0.5, "seed": 3}, seed=seed
    ) for seed in (1, 2))  # fmt: skip
    assert plan_of(first).ratios == plan_of(second).ratios
    assert bytes_of(merge_live(first)) != bytes_of(merge_live(second))


def test_the_record_rebuilds_the_merge(families: dict[str, Family], tmp_path: Path) -> None:
    """By its recipe; and by the ratio it states, without the law."""
    family = families["bf16"]
    record = api.merge(m3(family, n=3), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "mixmerge.json").read_text()) == record
    assert record["ratio_law"] == "Dirichlet(0.5, 0.5, 0.5)"
    assert record["seed"] == 1
    again = mixmerge.parse_recipe(record["recipe"])
    assert api.merge(again, tmp_path / "again") == record
    fixed = recipe_of(
        "ties", family.sources, family.base, dare={"drop_rate": 0.2}, mixup={"ratio": record["ratios"]["model"]}
    )
    api.merge(fixed, tmp_path / "fixed")
    weights = [models.weight_bytes(tmp_path / name) for name in ("out", "again", "fixed")]
    assert weights[0] == weights[1] == weights[2]
    assert (
        f"| `model` | {' | '.join(f'{part:g}' for part in record['ratios']['model'])} |"
        in (tmp_path / "out" / "README.md").read_text()
    )


@pytest.mark.parametrize("scope", ["layer", "block", "tensor"])
def test_scopes_draw_a_ratio_for_each_group(scope: str, families: dict[str, Family]) -> None:
    """Each tensor is merged as it is with its group's ratio for the whole model."""
    family = families["smooth"]
    recipe = recipe_of("linear", family.sources[:2], mixup={"alpha": 0.5, "seed": 4, "scope": scope})
    plan = plan_of(recipe)
    found = merge_live(recipe)
    assert len(set(plan.ratios.values())) == len(plan.ratios) > 2
    for step in plan.steps:
        assert step.group is not None
        alone = recipe_of("linear", family.sources[:2], mixup={"ratio": list(plan.ratios[step.group])})
        assert merge_live(alone)[step.spec.name].tobytes() == found[step.spec.name].tobytes()


def test_a_filter_leaves_the_rest_at_the_equal_ratio(families: dict[str, Family]) -> None:
    family = families["smooth"]
    recipe = recipe_of("linear", family.sources, mixup={"alpha": 0.5, "seed": 4, "filter": ["mlp", "q_proj"]})
    plan = plan_of(recipe)
    assert plan.ratios["equal"] == equal_ratio(3)
    mixed = {step.spec.name for step in plan.steps if step.group == "model"}
    assert mixed == {step.spec.name for step in plan.steps if "mlp" in step.spec.name or "q_proj" in step.spec.name}
    found = merge_live(recipe)
    for name in ("lm_head.weight", "model.norm.weight"):
        x = [values[name].astype(np.float32) for values in family.values[1:]]
        third = np.float32(1 / 3)
        assert np.array_equal(found[name], third * x[0] + third * x[1] + third * x[2])


def test_every_byte_is_told(families: dict[str, Family], tmp_path: Path) -> None:
    """Progress of each pass adds up to what the pass announced."""
    family = families["bf16"]
    for recipe in (m3(family), recipe_of("linear", family.sources, parameters={"weight": 1})):
        heard = Recorder()
        merge_live(recipe, listeners=[heard], threads=2)
        totals: list[list[int]] = []
        for event in heard.events:
            if isinstance(event, PassStarted):
                totals.append([event.total, 0])
            elif isinstance(event, Progress):
                totals[-1][1] += event.nbytes
        assert totals
        assert all(total == told for total, told in totals)
        done = [event.name for event in heard.of(TensorDone)]
        assert sorted(done) == sorted(families["bf16"].values[0])


def test_verify(families: dict[str, Family], tmp_path: Path) -> None:
    family = families["bf16"]
    out = tmp_path / "out"
    record = api.merge(m3(family), out, shard_size=3000)
    assert api.verify(out) == record
    assert api.verify(out, threads=2) == record
    file = sorted(out.glob("*.safetensors"))[1]
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(VerificationError) as caught:
        api.verify(out)
    assert len(caught.value.problems) == 1
    assert caught.value.exit_code == 1
    (out / "mixmerge.json").unlink()
    with pytest.raises(CheckpointError):
        api.verify(out)


def test_a_record_that_cannot_be_read(
    families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of the bytes, so that is no difference."""
    api.merge(recipe_of("linear", families["smooth"].sources, dialect="paper"), tmp_path / "out")

    def fail(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(CheckpointError, match=r"mixmerge\.json can be read") as caught:
        api.verify(tmp_path / "out")
    assert caught.value.exit_code == 2
    monkeypatch.setattr(record, "MAX_RECORD", 10)
    with pytest.raises(CheckpointError, match="at most 10 bytes"):
        api.verify(tmp_path / "out")


@pytest.mark.parametrize("name", [".", "~/out", "../out"])
def test_a_model_is_verified_under_any_name(
    name: str, families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = api.merge(recipe_of("linear", families["smooth"].sources, dialect="paper"), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert api.verify(name) == found
    Path("model.safetensors").write_bytes(b"")
    with pytest.raises(VerificationError) as caught:
        api.verify(name)
    assert "model 'out'" in caught.value.problems[0].place


def test_the_place_of_a_model_may_be_written_in_any_way(
    families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path and a link are the model they lead to; masks do not depend on where models lie."""
    family = families["smooth"]
    right = bytes_of(merge_live(m3(family)))
    for k, path in enumerate([family.base, *family.sources[:2]]):
        os.symlink(path, tmp_path / f"link-{k}")
    monkeypatch.chdir(tmp_path)
    linked = Family(Path("link-0"), [Path("link-1"), Path("./link-2")], [])
    assert bytes_of(merge_live(m3(linked))) == right


@pytest.mark.parametrize("out", [".", "..", "here/../there"])
def test_any_way_to_write_the_output(
    out: str, families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    recipe = recipe_of("linear", families["smooth"].sources, dialect="paper")
    if out.startswith("."):
        with pytest.raises(mixmerge.MixmergeError, match="is a new one"):
            api.merge(recipe, out)
        assert not list((tmp_path / "inside").iterdir())
    else:
        api.merge(recipe, out)
        assert [path.name for path in (tmp_path / "inside").iterdir()] == ["there"]
