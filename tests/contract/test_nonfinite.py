"""NaN and infinity are told with tensor and model, whatever pass meets them first; on request the merge goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.conftest import Set
from mixmerge import api
from mixmerge.checkpoint import DTYPES
from mixmerge.errors import NonFiniteError, PlanError
from mixmerge.kernels import Kernels
from support import models
from support.cases import CASES, Case
from support.merging import merge_live, plan_of, recipe_of

FEW = [case for case in CASES if case.n == 2 and not case.mixup and case.dare in (None, "random", "magnitude-weight")]
TENSOR = "model.layers.1.mlp.down_proj.weight"


def spoilt(folder: Path, model: models.Arrays, value: float, name: str = TENSOR) -> Path:
    values = model[name].copy()
    values.ravel()[-1] = value
    return models.write_model(folder, {**model, name: values})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", FEW, ids=lambda case: case.id)
def test_model_and_tensor_are_named(case: Case, threads: int, smooth: Set, tmp_path: Path) -> None:
    for number, value in enumerate((np.nan, -np.inf)):
        bad = spoilt(tmp_path / str(number), smooth.values[smooth.sources[1]], value)
        recipe = case.recipe([smooth.sources[0], bad], smooth.base)
        with pytest.raises(NonFiniteError) as caught:
            merge_live(recipe, threads=threads)
        [problem] = caught.value.problems
        assert problem.place == f"model {bad}, tensor {TENSOR}"
        assert caught.value.exit_code == 2
        found = merge_live(recipe, threads=threads, allow_nonfinite=True)
        assert np.isfinite(found["model.norm.weight"]).all()


@pytest.mark.parametrize("case", [case for case in FEW if case.needs_base], ids=lambda case: case.id)
def test_the_base_is_watched_too(case: Case, smooth: Set, tmp_path: Path) -> None:
    bad = spoilt(tmp_path / "base", smooth.values[smooth.base], np.nan)
    with pytest.raises(NonFiniteError, match=f"model {bad}, tensor {TENSOR}"):
        merge_live(case.recipe(smooth.sources, bad))


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.id)
def test_a_tensor_of_nothing_but_nan(case: Case, smooth: Set, tmp_path: Path) -> None:
    """More of them than a threshold keeps."""
    name = "model.norm.weight"
    source = {**smooth.values[smooth.sources[0]], name: np.full(8, np.nan, np.float32)}
    bad = models.write_model(tmp_path / "bad", source)
    recipe = case.recipe([bad, smooth.sources[1]], smooth.base)
    with pytest.raises(NonFiniteError, match=f"model {bad}, tensor {name}"):
        merge_live(recipe)
    merge_live(recipe, allow_nonfinite=True)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E5M2", "F8_E4M3", "F64"])
def test_every_element_type_is_watched(dtype: str, tmp_path: Path) -> None:
    good = {"w": np.ones(70_000).astype(DTYPES[dtype].numpy)}
    paths = [models.write_model(tmp_path / "a", good), spoilt(tmp_path / "b", good, np.nan, "w")]
    with pytest.raises(NonFiniteError, match=f"model {paths[1]}, tensor w"):
        merge_live(recipe_of("linear", paths, dialect="paper"))
    found = merge_live(recipe_of("linear", paths, dialect="paper"), allow_nonfinite=True)["w"].astype(np.float32)
    assert np.isnan(found[-1])
    assert (found[:-1] == 1).all()


def test_a_number_too_large_for_float32_counts_as_infinite(tmp_path: Path) -> None:
    paths = [models.write_model(tmp_path / str(k), {"w": np.array([1.0, 10.0 ** (300 * k)])}) for k in range(2)]
    with pytest.raises(NonFiniteError, match=f"model {paths[1]}, tensor w"):
        merge_live(recipe_of("linear", paths, dialect="paper"))


def test_a_result_too_large_for_its_type_is_told(tmp_path: Path) -> None:
    paths = [models.write_model(tmp_path / str(k), {"w": np.array([1, 6e4], np.float16)}) for k in range(2)]
    recipe = recipe_of("linear", paths, dialect="mergekit", parameters={"weight": 1.0, "normalize": False})
    with pytest.raises(NonFiniteError, match="float16") as caught:
        merge_live(recipe)
    assert "tensor w" in str(caught.value)
    assert np.isinf(merge_live(recipe, allow_nonfinite=True)["w"][1])


LARGE = {"F32": 3e38, "BF16": 3e38, "F16": 6e4}


@pytest.mark.parametrize("length", [1, 2, 70_001], ids=["one", "pair", "many"])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("dtype", LARGE)
@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties"])
def test_a_finite_merge_of_finite_models_or_none(
    method: str, dtype: str, n: int, length: int, tmp_path: Path, kernels: Kernels
) -> None:
    """Whatever the element type: one overflow anywhere ends the merge."""
    kind = DTYPES[dtype].numpy
    base = models.write_model(tmp_path / "base", {"w": np.zeros(length, kind)})
    values = np.ones(length, np.float32)
    values[-1] = LARGE[dtype]
    paths = [models.write_model(tmp_path / str(k), {"w": values.astype(kind)}) for k in range(n)]
    extra = {"parameters": {"normalize": False}} if method == "linear" else {"parameters": {"scale": 4.0}}
    weights = [{"weight": 4.0}] * n if method == "linear" else None
    recipe = recipe_of(
        method, paths, None if method == "linear" else base, sources=weights,
        dialect="mergekit" if method == "linear" else "paper", mixup=None if method == "linear" else {"alpha": 1},
        **extra,
    )  # fmt: skip
    with pytest.raises(NonFiniteError, match="overflow") as caught:
        merge_live(recipe, kernels=kernels)
    assert "tensor w" in str(caught.value)
    found = merge_live(recipe, kernels=kernels, allow_nonfinite=True)["w"].astype(np.float32)
    assert np.isinf(found[-1])
    assert np.isfinite(found[:-1]).all()


@pytest.mark.parametrize("method", ["ties", "dare_linear", "dare_ties"])
def test_a_change_beyond_float32_is_told_where_norms_are_restored(
    method: str, tmp_path: Path, kernels: Kernels
) -> None:
    """Its tensor has no norm to restore: it is not rescaled, instead of being lost."""
    values = np.linspace(1, 2, 400, dtype=np.float32)
    values[:20] = 3e38
    base = models.write_model(tmp_path / "base", {"w": np.where(values > 2, -values, 0)})
    source = models.write_model(tmp_path / "x", {"w": values})
    recipe = recipe_of(method, [source], base, parameters={"weight": 1.0, "density": 0.9, "rescale": True})
    with pytest.raises(NonFiniteError, match="overflow"):
        merge_live(recipe, kernels=kernels)
    found = merge_live(recipe, kernels=kernels, allow_nonfinite=True)["w"]
    assert np.isinf(found[:20]).any()
    assert ((found[20:] == 0) | (found[20:] == values[20:])).all()
    assert (found[20:] > 0).sum() > 300


def test_rounding_up_to_infinity_is_told(tmp_path: Path) -> None:
    """The sum is a float32, and no bfloat16."""
    values = [np.array([1.0, 3.4e38], np.float32), np.zeros(2, np.float32)]
    paths = [models.write_model(tmp_path / str(k), {"w": value}) for k, value in enumerate(values)]
    keys: dict[str, Any] = {"parameters": {"weight": 1.0, "normalize": False}}
    with pytest.raises(NonFiniteError, match="bfloat16"):
        merge_live(recipe_of("linear", paths, dtype="bfloat16", **keys))
    assert merge_live(recipe_of("linear", paths, dtype="float32", **keys))["w"][1] == np.float32(3.4e38)


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("linear", {"parameters": {"weight": 1e39}}),
        ("linear", {"parameters": {"weight": 1e308, "normalize": False}}),
        ("task_arithmetic", {"parameters": {"scale": 1e39}, "dialect": "paper", "mixup": {"alpha": 1}}),
        ("ties", {"parameters": {"weight": 1.0, "lambda": -1e39, "density": 1.0}}),
    ],
)
def test_numbers_beyond_float32_are_refused_before_a_weight_is_read(
    method: str, keys: dict[str, Any], smooth: Set
) -> None:
    recipe = recipe_of(method, smooth.sources[:2], smooth.base if method != "linear" else None, **keys)
    with pytest.raises(PlanError, match="float32") as caught:
        plan_of(recipe, allow_nonfinite=True)
    assert len(caught.value.problems) == 1


def test_nothing_is_left_of_a_refused_merge(smooth: Set, tmp_path: Path) -> None:
    bad = spoilt(tmp_path / "bad", smooth.values[smooth.base], np.nan)
    before = models.digest_tree(tmp_path / "bad")
    for folder in ("out", "deep/er/out"):
        with pytest.raises(NonFiniteError):
            api.merge(recipe_of("linear", [bad, smooth.sources[0]], dialect="paper"), tmp_path / folder)
        assert not (tmp_path / folder).exists()
        assert not (tmp_path / f"{folder}.partial").exists()
    assert models.digest_tree(tmp_path / "bad") == before
