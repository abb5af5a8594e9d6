"""Merged models against the float64 definitions of both dialects, to the accuracy methods.md owes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conftest import Family
from oracles import mergekit, paper, rng
from support import models
from support.merging import merge_live, recipe_of

SEED = 23
ULP = 2.0**-23
NAMES = ("smooth", "bf16", "half", "grid", "wide")
HALF_ULP = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
SMALLEST = {"float32": 2.0**-149, "bfloat16": 2.0**-133, "float16": 2.0**-24}

family_names = st.sampled_from(NAMES)
fractions = st.integers(0, 20).map(lambda k: k / 20)
scales = st.sampled_from([1.0, 0.3, 2.5])
dtypes = st.sampled_from(["float32", "bfloat16"])


def ratios(n: int) -> st.SearchStrategy[list[float]]:
    """n numbers that sum to 1, some of them 0 at times."""
    parts = st.lists(st.integers(0, 10), min_size=n, max_size=n).filter(any)
    return (
        parts.map(lambda k: [part / sum(k) for part in k[:-1]])
        .map(lambda k: [*k, 1 - sum(k)])
        .filter(lambda k: k[-1] >= 0)
    )


def check(
    found: models.Arrays,
    exact: models.Arrays,
    operands: list[models.Arrays],
    scale: float = 1.0,
    dtype: str = "float32",
) -> None:
    """Within 4 * 2^-23 * the largest operand * max(1, scale), and half a unit in the last place of the output."""
    assert found.keys() == exact.keys()
    for name, values in found.items():
        assert values.dtype == models.NUMPY[{"float32": "F32", "bfloat16": "BF16", "float16": "F16"}[dtype]]
        size = np.max([np.abs(part[name]) for part in operands], axis=0)
        allowed = 4 * ULP * size * max(1.0, abs(scale))
        rounding = np.maximum(np.abs(exact[name]) + allowed, SMALLEST[dtype]) * HALF_ULP[dtype] + SMALLEST[dtype]
        error = np.abs(values.astype(np.float64) - exact[name])
        worst = np.argmax(error - allowed - rounding)
        place = (name, int(worst), values.ravel()[worst], exact[name].ravel()[worst])
        assert (error <= allowed + (rounding if dtype != "float32" else 0)).all(), place


@settings(max_examples=25)
@given(data=st.data(), n=st.integers(2, 3), family=family_names, dtype=dtypes)
def test_paper_linear_and_task_arithmetic(families: Any, data: Any, n: int, family: str, dtype: str) -> None:
    models_of: Family = families[family]
    base, sources = models_of.values[0], models_of.values[1 : n + 1]
    ratio = data.draw(st.none() | ratios(n))
    mixup = None if ratio is None else {"ratio": ratio}
    common = {"dialect": "paper", "mixup": mixup, "dtype": dtype}
    rounded = None if ratio is None else shares(ratio)
    found = merge_live(recipe_of("linear", models_of.sources[:n], **common))
    check(found, paper.linear(sources, rounded), sources, dtype=dtype)
    scale = data.draw(scales)
    found = merge_live(
        recipe_of("task_arithmetic", models_of.sources[:n], models_of.base, parameters={"scale": scale}, **common)
    )
    exact = paper.task_arithmetic(base, sources, rounded, scale)
    # n deltas are summed at weight 1 each where there is no ratio: n times the operand.
    check(found, exact, [base, *sources], scale * (n if ratio is None else 1), dtype)


def shares(ratio: list[float]) -> list[float]:
    """The ratio to six decimals, the largest part taking up what is left."""
    units = [round(part * 10**6) for part in ratio]
    units[units.index(max(units))] += 10**6 - sum(units)
    return [unit / 10**6 for unit in units]


@settings(max_examples=60)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    family=family_names,
    density=fractions,
    scale=scales,
    trim=st.sampled_from(["model", "tensor"]),
    dtype=dtypes,
)
def test_paper_ties(
    families: Any, data: Any, n: int, family: str, density: float, scale: float, trim: str, dtype: str
) -> None:
    models_of: Family = families[family]
    base, sources = models_of.values[0], models_of.values[1 : n + 1]
    ratio = data.draw(st.none() | ratios(n)) if n > 1 else None
    parameters = {"density": density, "scale": scale, "trim": trim}
    recipe = recipe_of(
        "ties", models_of.sources[:n], models_of.base, dialect="paper", parameters=parameters, dtype=dtype,
        mixup=None if ratio is None else {"ratio": ratio},
    )  # fmt: skip
    exact = paper.ties(base, sources, ratio and shares(ratio), str(density), scale, trim)
    check(merge_live(recipe), exact, [base, *sources], scale, dtype)


@settings(max_examples=60)
@given(
    data=st.data(),
    n=st.integers(2, 3),
    family=family_names,
    method=st.sampled_from(["linear", "task_arithmetic", "ties"]),
    rate=st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]),
    rescale=st.booleans(),
    strategy=st.sampled_from(["random", "magnitude"]),
    of=st.sampled_from(["delta", "weight"]),
)
def test_paper_dare_before_any_of_the_three(
    families: Any, data: Any, n: int, family: str, method: str, rate: float, rescale: bool, strategy: str, of: str
) -> None:
    models_of: Family = families[family]
    base, sources = models_of.values[0], models_of.values[1 : n + 1]
    ratio = data.draw(st.none() | ratios(n))
    recipe = recipe_of(
        method, models_of.sources[:n], models_of.base, dialect="paper", seed=SEED,
        dare={"drop_rate": rate, "rescale": rescale, "strategy": strategy, "of": of},
        mixup=None if ratio is None else {"ratio": ratio}, dtype="float32",
    )  # fmt: skip
    keep = rng.keep(SEED, rate)
    exact, held = (
        paper.dare(base, sources, str(rate), rescale, strategy, of, keep, single=single) for single in (False, True)
    )
    parts = None if ratio is None else shares(ratio)
    if method == "linear":
        wanted = paper.linear(exact, parts)
    elif method == "task_arithmetic":
        wanted = paper.task_arithmetic(base, exact, parts)
    else:
        wanted = paper.ties(base, exact, parts, "0.5", decide_on=held)
    grown = 1.0 if not rescale or rate in (0.0, 1.0) else 1 / (1 - rate)
    check(merge_live(recipe), wanted, [base, *sources, *exact], n * grown)


@settings(max_examples=80)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    family=family_names,
    method=st.sampled_from(["linear", "task_arithmetic", "ties", "dare_linear", "dare_ties"]),
    normalize=st.booleans(),
    rescale=st.booleans(),
    scale=scales,
)
def test_mergekit(
    families: Any, data: Any, n: int, family: str, method: str, normalize: bool, rescale: bool, scale: float
) -> None:
    models_of: Family = families[family]
    base, sources = models_of.values[0], models_of.values[1 : n + 1]
    weights = [data.draw(st.sampled_from([0.25, 0.4, 0.7, 1.0, -0.3])) for _ in range(n)]
    density = [data.draw(fractions) for _ in range(n)]
    keep = rng.keep(SEED, [1 - share for share in density])
    shared: dict[str, Any] = {"normalize": normalize}
    if method != "linear":
        shared["lambda"] = scale
    if method not in ("linear", "task_arithmetic"):
        shared["rescale"] = rescale
    own = [
        {"weight": w} | ({"density": d} if "rescale" in shared else {}) for w, d in zip(weights, density, strict=True)
    ]
    recipe = recipe_of(
        method, models_of.sources[:n], None if method == "linear" else models_of.base, sources=own, parameters=shared,
        dialect="mergekit", seed=SEED, dtype="float32",
    )  # fmt: skip
    wanted = {}
    for name, b in base.items():
        x = [source[name] for source in sources]
        if method == "linear":
            wanted[name] = mergekit.linear(x, weights, normalize)
        elif method == "task_arithmetic":
            wanted[name] = mergekit.task_arithmetic(b, x, weights, normalize, scale)
        elif method == "ties":
            wanted[name] = mergekit.ties(b, x, weights, density, normalize, rescale, scale)
        else:
            wanted[name] = rule_of(method)(b, x, weights, density, keep, name, normalize, rescale, scale)
    # What a sum of weights divides by, and what restores a norm, make the operands larger than the weights they have.
    divisor = min([abs(sum(weights[i] for i in range(n) if mask >> i & 1)) or 1.0 for mask in range(1, 2**n)])
    grown = (sum(map(abs, weights)) / divisor) if normalize else max(1.0, sum(map(abs, weights)))
    operands = [base, *sources]
    if rescale and "rescale" in shared:
        for k, source in enumerate(sources):
            alone = {}
            for name, b in base.items():
                mask = _keep(keep, name, k, method)
                alone[name] = (
                    rule_of(method)(b, [source[name]], [1.0], density[k : k + 1], *mask, normalize=False, rescale=False)
                    - b
                )
            operands.append(stretched(base, source, alone))
    check(merge_live(recipe), wanted, operands, (scale if method != "linear" else 1) * grown)


def rule_of(method: str) -> Any:
    return getattr(mergekit, method)


def _keep(keep: mergekit.Keep, name: str, k: int, method: str) -> tuple[Any, ...]:
    """The mask of source k as that of an only source."""
    return () if method == "ties" else (lambda _, __, count: keep(name, k, count), name)


def stretched(base: models.Arrays, source: models.Arrays, alone: models.Arrays) -> models.Arrays:
    """Operands as large as what restoring the L1 norm makes of them."""
    found = {}
    for name, b in base.items():
        whole, part = np.abs(source[name] - b).sum(), np.abs(alone[name]).sum()
        factor = whole / part if whole >= 1e-7 and part >= 1e-7 else 1.0
        found[name] = factor * np.maximum(np.abs(b), np.abs(source[name]))
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("n", [2, 3])
def test_more_than_a_chunk(large: Family, n: int, dtype: str) -> None:
    """The paper's whole method on a model of several chunks: DARE, whole-model trimming, mixup."""
    base, sources = large.values[0], large.values[1 : n + 1]
    ratio = [0.37, 0.63] if n == 2 else [0.2, 0.3, 0.5]
    recipe = recipe_of(
        "ties", large.sources[:n], large.base, dialect="paper", seed=SEED, dare={"drop_rate": 0.2},
        mixup={"ratio": ratio}, parameters={"density": 0.3, "scale": 1.5}, dtype=dtype,
    )  # fmt: skip
    exact, held = (paper.dare(base, sources, keep=rng.keep(SEED, 0.2), single=single) for single in (False, True))
    wanted = paper.ties(base, exact, ratio, "0.3", 1.5, decide_on=held)
    check(merge_live(recipe), wanted, [base, *sources, *exact], 1.5, dtype)


def test_ties_of_bf16_models_needs_the_majority(families: dict[str, Family]) -> None:
    """The case the rule for zero sums is for does occur in these families, so the tests above do test it."""
    values = families["bf16"].values
    kept = [paper.trimmed_single(values[0], source, "0.5") for source in values[1:3]]
    zero = sum(int(((kept[0][name] + kept[1][name] == 0) & (kept[0][name] != 0)).sum()) for name in kept[0])
    assert zero > 100
    equal = [np.unique(np.abs(part)).size for part in kept[0].values()]
    assert sum(equal) < sum(part.size for part in kept[0].values()) / 2
