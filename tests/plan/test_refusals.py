"""Everything wrong is told in the plan, all at once, before a weight is read or a byte written."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge import api
from mixmerge.errors import CheckpointError, MemoryBudgetError, MixmergeError, OutputError, PlanError, RecipeError
from mixmerge.planning.budget import BASELINE, MIB
from plan.conftest import BASE, Write
from support import models
from support.merging import merge_live, recipe_of

pytestmark = pytest.mark.usefixtures("blind")


def refused(recipe: Any, out: Path | None = None, **options: Any) -> MixmergeError:
    """The error of a plan; a merge says the same and leaves nothing."""
    with pytest.raises(MixmergeError) as caught:
        api.plan(recipe, out=out, **options)
    assert caught.value.exit_code == 2
    if out is not None:
        before = sorted(out.parent.rglob("*")) if out.parent.exists() else []
        with pytest.raises(type(caught.value)) as again:
            api.merge(recipe, out, **options)
        assert str(again.value) == str(caught.value)
        assert (sorted(out.parent.rglob("*")) if out.parent.exists() else []) == before
    return caught.value


def test_every_mismatch_is_told_at_once(write: Write, tmp_path: Path) -> None:
    changed = models.moved(BASE, 3)
    changed["model.norm.weight"] = np.ones(9, np.float32)
    changed["model.layers.0.mlp.up_proj.weight"] = np.ones((24, 8, 1), np.float32)
    changed["model.layers.1.input_layernorm.weight"] = np.ones(8, np.int32)
    del changed["model.layers.1.self_attn.k_proj.weight"]
    changed["model.extra.weight"] = np.ones(2, np.float32)
    paths = [write("a"), write("b", changed)]
    error = refused(recipe_of("task_arithmetic", paths, write("base", BASE), dialect="paper"), tmp_path / "out")
    assert isinstance(error, PlanError)
    told = {problem.place: problem for problem in error.problems}
    assert set(told) == {
        "tensor model.norm.weight",
        "tensor model.layers.0.mlp.up_proj.weight",
        "tensor model.layers.1.input_layernorm.weight",
        "tensor model.layers.1.self_attn.k_proj.weight",
        "tensor model.extra.weight",
    }
    shapes = told["tensor model.norm.weight"]
    assert "[8]" in shapes.value
    assert "[9]" in shapes.value
    assert str(paths[1]) in shapes.value
    assert told["tensor model.layers.1.self_attn.k_proj.weight"].value == f"missing in {paths[1]}"
    assert str(paths[0]) in told["tensor model.extra.weight"].value
    assert "I32" in told["tensor model.layers.1.input_layernorm.weight"].value
    assert all("on_mismatch: base" in p.cure for p in told.values() if p.place != "tensor model.extra.weight")


def test_tensors_of_integers_must_have_one_type(write: Write) -> None:
    a, b = ({**BASE, "ids": np.arange(4, dtype=kind)} for kind in (np.int64, np.int32))
    error = refused(recipe_of("linear", [write("a", a), write("b", b)], dialect="paper"))
    assert [problem.place for problem in error.problems] == ["tensor ids"]


def test_differing_vocabulary_sizes_name_the_cure(write: Write) -> None:
    wider = models.moved(models.smooth(models.llama_shapes(vocab=33), 1), 4)
    error = refused(recipe_of("linear", [write("a"), write("b", wider)], dialect="paper"))
    assert {problem.place for problem in error.problems} == {
        "tensor model.embed_tokens.weight",
        "tensor lm_head.weight",
    }
    assert all("resize" in problem.cure for problem in error.problems)


@pytest.mark.parametrize(
    ("config", "extra"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, {}),
        ({}, {"model.layers.0.mlp.up_proj.weight_scale_inv": np.ones(3, np.float32)}),
        ({}, {"model.layers.0.mlp.down_proj.qweight": np.ones((3, 3), np.int32)}),
    ],
)
@pytest.mark.parametrize("role", ["source", "base"])
def test_a_quantised_model(role: str, config: Any, extra: Any, write: Write, tmp_path: Path) -> None:
    bad = write("bad", {**BASE, **extra}, config={**models.CONFIG, **config})
    sources, base = ([write("a"), bad], write("base")) if role == "source" else ([write("a"), write("b")], bad)
    error = refused(recipe_of("ties", sources, base, dialect="paper"), tmp_path / "out")
    [problem] = [problem for problem in error.problems if "weights" in problem.rule]
    assert str(bad) in problem.place
    assert "dequantise" in problem.cure


def test_models_that_are_not_there_are_told_together(tmp_path: Path, write: Write) -> None:
    error = refused(recipe_of("linear", [tmp_path / "no/where", write("a")], tmp_path / "base/less", dialect="paper"))
    assert len(error.problems) == 2


def test_a_damaged_file_is_told_by_the_plan(write: Write, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(write("a"), bad)
    os.truncate(bad / "model.safetensors", 900)
    error = refused(recipe_of("linear", [write("b"), bad], dialect="paper"), tmp_path / "out")
    assert isinstance(error, PlanError | CheckpointError)
    assert str(bad) in str(error)


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_linear", "dare_ties"])
def test_a_base_where_one_is_needed(method: str, write: Write) -> None:
    paths = [write("a"), write("b")]
    with pytest.raises(RecipeError, match="base_model"):
        recipe_of(method, paths, parameters={"weight": 1.0})


@pytest.mark.parametrize("place", ["same", "inside", "deep inside", "around", "link"])
@pytest.mark.parametrize("role", ["source", "base"])
def test_the_output_lies_outside_every_input(role: str, place: str, write: Write, tmp_path: Path) -> None:
    sources = [write("inputs/one/a"), write("inputs/two/b")]
    base = write("bases/base")
    recipe = recipe_of("ties", sources, base, dialect="paper")
    near = sources[1] if role == "source" else base
    out = {
        "same": near,
        "inside": near / "out",
        "deep inside": near / "x/y/out",
        "around": near.parent,
        "link": tmp_path / "link" / "out",
    }[place]
    (tmp_path / "link").symlink_to(near)
    with pytest.raises(OutputError, match="outside every input") as caught:
        api.plan(recipe, out=out)
    assert f"model {near}" in str(caught.value)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match="outside every input"):
            api.merge(recipe, out, **options)


def test_the_unfinished_folder_lies_outside_every_input_too(write: Write, tmp_path: Path) -> None:
    """An input that happens to have its name would be removed."""
    recipe = recipe_of("linear", [write("out.partial"), write("b")], dialect="paper")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match="outside every input"):
            api.merge(recipe, tmp_path / "out", **options)


@pytest.mark.parametrize("place", ["Model", "Model/sub", "."])
def test_a_folder_is_known_by_more_names_than_one(
    place: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk ignores case, `Model` is `model`; links stand for that here, when no path is resolved."""
    (tmp_path / "inner").mkdir()
    recipe = recipe_of("linear", [write("inner/model"), write("b")], dialect="paper")
    (tmp_path / "Inner").symlink_to(tmp_path / "inner")
    (tmp_path / "inner" / "Model").symlink_to(tmp_path / "inner" / "model")
    monkeypatch.setattr(os.path, "realpath", lambda path, strict=False: os.path.abspath(path))
    with pytest.raises(OutputError, match="outside every input"):
        api.plan(recipe, out=tmp_path / "Inner" / place)


def test_no_space_left(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of("linear", [write("a"), write("b")], dialect="paper")
    needed = api.plan(recipe).cost.disk
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, needed - 1))
    error = refused(recipe, tmp_path / "out")
    assert isinstance(error, OutputError)
    assert f"{needed:,} bytes needed, {needed - 1:,} free" in str(error)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, needed))
    api.plan(recipe, out=tmp_path / "out")


def test_place_and_space_are_told_together(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of("linear", [write("a"), write("b")], dialect="paper")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(0))
    with pytest.raises(OutputError) as caught:
        api.plan(recipe, out=Path(recipe.slices[0].sources[0].model.path) / "out")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("threads", [None, 1, 4])
@pytest.mark.parametrize("method", ["linear", "ties", "dare_ties"])
def test_a_budget_that_is_too_small_names_one_that_is_not(method: str, threads: int | None, write: Write) -> None:
    dialect = "paper" if method != "dare_ties" else "mergekit"
    parameters = {"weight": 1.0} if dialect == "mergekit" else None
    recipe = recipe_of(method, [write("a"), write("b")], write("base"), dialect=dialect, parameters=parameters)
    for memory in (1, 50 * MIB, BASELINE):
        with pytest.raises(MemoryBudgetError) as caught:
            api.plan(recipe, memory=memory, threads=threads)
        assert caught.value.exit_code == 2
        enough = int(caught.value.problems[0].cure.split()[2]) * MIB
        plan = api.plan(recipe, memory=enough, threads=threads)
        assert plan.budget.projected <= enough
        assert threads in (None, plan.budget.threads)


def test_an_output_that_exists(write: Write, tmp_path: Path) -> None:
    recipe = recipe_of("linear", [write("a"), write("b")], dialect="paper")
    out = tmp_path / "out"
    out.mkdir()
    (out / "diary.txt").write_text("precious")
    with pytest.raises(OutputError, match="is a new one"):
        api.merge(recipe, out)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError):
        api.merge(recipe, tmp_path / "file")
    assert (out / "diary.txt").read_text() == "precious"
    assert (tmp_path / "file").read_text() == "precious"


def sliced(pieces: list[dict[str, Any]], base: Path, **parameters: Any) -> Any:
    import yaml

    from mixmerge.recipe import parse_recipe

    data = {"merge_method": "ties", "dialect": "paper", "base_model": str(base), "slices": pieces}
    return parse_recipe(yaml.safe_dump({**data, **({"parameters": parameters} if parameters else {})}))


class TestReading:
    """What only the weights can tell; `blind` does not apply."""

    @pytest.fixture
    def blind(self) -> None:
        """Allow reading."""

    def test_slices_of_unlike_numbers_of_sources(self, write: Write) -> None:
        """Trimmed by tensor, one slice of two and one of three: each is merged as it is alone."""
        a, b, c, base = write("a"), write("b"), write("c"), write("base")
        pieces = [
            {"sources": [{"model": str(model), "layer_range": [k, k + 1]} for model in listed]}
            for k, listed in enumerate(([a, b], [a, b, c]))
        ]
        found = merge_live(sliced(pieces, base, trim="tensor", density=1.0))
        alone = merge_live(
            recipe_of("ties", [a, b, c], base, dialect="paper", parameters={"trim": "tensor", "density": 1.0})
        )
        for name, values in found.items():
            if "layers.1" in name or name == "lm_head.weight":
                assert np.array_equal(values, alone[name])

    @pytest.mark.parametrize("kind", [np.int64, np.int8, np.bool_, np.uint8])
    def test_integers_and_bools_are_equal_or_refused(self, kind: Any, write: Write, tmp_path: Path) -> None:
        same = {**BASE, "ids": np.array([0, 1, 1, 0, 1], kind)}
        other = {**BASE, "ids": np.array([0, 1, 1, 1, 1], kind)}
        good = recipe_of("ties", [write("a", same), write("b", same)], write("base", same), dialect="paper")
        api.merge(good, tmp_path / "out", threads=1)
        assert models.read_model(tmp_path / "out")["ids"].tobytes() == same["ids"].tobytes()
        for number, (first, second, base) in enumerate(([same, other, same], [same, same, other], [other, same, same])):
            paths = [write(f"{number}{k}", model) for k, model in enumerate((first, second, base))]
            recipe = recipe_of("ties", paths[:2], paths[2], dialect="paper", on_mismatch="base")
            with pytest.raises(CheckpointError, match="tensor ids") as caught:
                api.merge(recipe, tmp_path / "bad")
            assert caught.value.exit_code == 2
            assert not list(tmp_path.glob("bad*"))


def test_nothing_is_written_by_a_plan(write: Write, tmp_path: Path) -> None:
    recipe = recipe_of("linear", [write("a"), write("b")], dialect="paper")
    before = models.digest_tree(tmp_path)
    plan = api.plan(recipe, out=tmp_path / "deep/out")
    assert models.digest_tree(tmp_path) == before
    assert plan.cost.written == sum(layout.size for layout in plan.layouts)
    assert plan.cost.read == 2 * sum(values.nbytes for values in BASE.values())


def test_filters_that_match_nothing(write: Write) -> None:
    """None of them: the ratio would have no effect. Some of them: a note."""
    paths = [write("a"), write("b")]
    mixup = {"ratio": 0.25, "filter": ["attention", "experts"]}
    [problem] = refused(recipe_of("linear", paths, dialect="paper", mixup=mixup)).problems
    assert "mixup.filter" in problem.rule
    assert problem.value == "no name contains attention, experts"
    assert "model.embed_tokens.weight" in problem.cure
    plan = api.plan(recipe_of("linear", paths, dialect="paper", mixup={**mixup, "filter": ["mlp", "experts"]}))
    assert "mixup.filter: no tensor's name contains experts" in plan.notes


@pytest.mark.parametrize(
    ("mixup", "rule"),
    [
        ({"ratio": 0.25, "filter": ["experts"]}, "mixup.filter leaves some tensor to be mixed"),
        ({"scope": "block", "ratio": {"mlp": 0.5}}, "a ratio by group names every group of the scope, and no other"),
    ],
)
def test_filters_groups_and_numbers_are_told_together(mixup: dict[str, Any], rule: str, write: Write) -> None:
    recipe = recipe_of(
        "task_arithmetic", [write("a"), write("b")], write("base"), dialect="paper", mixup=mixup,
        parameters={"scale": 1e39},
    )  # fmt: skip
    assert [problem.rule for problem in refused(recipe).problems] == [rule, "every number of a method fits float32"]
