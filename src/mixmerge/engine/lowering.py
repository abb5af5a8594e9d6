"""From a planned tensor, its ratio and its statistics to the numbers the compiled loops take."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import numpy as np

from mixmerge.checkpoint import DType
from mixmerge.engine.statistics import FOREVER, TensorStatistics
from mixmerge.kernels import (
    DARE_MAGNITUDE,
    DARE_NONE,
    DARE_RANDOM,
    SPARSE_BERNOULLI,
    SPARSE_NONE,
    SPARSE_TRIM,
    Lowered,
)
from mixmerge.methods import Coefficients
from mixmerge.mixup import Ratio
from mixmerge.planning import Plan, Step
from mixmerge.rng import drop_threshold, stream_key

_SPARSE: Final = {"none": SPARSE_NONE, "trim": SPARSE_TRIM, "bernoulli": SPARSE_BERNOULLI}
CAST: Final = Coefficients("sum", (1.0,))
"""A float tensor that is only copied, or rounded to another dtype."""


def native(dtype: DType) -> bool:
    """Whether the loops read and write this dtype themselves; others pass through float32 in numpy."""
    return dtype.code <= 2


def kernel_code(dtype: DType) -> int:
    """The dtype code the loops see."""
    return dtype.code if native(dtype) else 0


def coefficients(step: Step, ratios: Mapping[str, Ratio]) -> Coefficients:
    """The method's numbers, or those of a plain copy."""
    return CAST if step.method is None else step.coefficients(ratios)


def rule_of(step: Step, ratios: Mapping[str, Ratio]) -> str:
    """The row of the kernels' table of rules that merges a tensor."""
    return coefficients(step, ratios).rule


def lower(
    plan: Plan,
    step: Step,
    numbers: Coefficients,
    found: TensorStatistics,
    majority: int,
    stays: np.ndarray | None = None,
    settled: bool = False,
) -> Lowered:
    """One tensor's merge as numbers; see `kernels.Lowered`. stays: masks at hand; settled: by `Masks.settle`."""
    n = len(numbers.weights)
    method = step.method
    dare = plan.recipe.dare if method is not None else None
    rescales = dare is not None and dare.rescale and dare.drop_rate < 1
    codes = [kernel_code(item.dtype) for item in step.inputs]
    codes.append(-1 if step.base is None else kernel_code(step.base.dtype))
    return Lowered(
        codes=np.array(codes, np.int64),
        delta=int(method is not None and method.space == "delta"),
        dare=DARE_NONE if dare is None else DARE_RANDOM if dare.strategy == "random" else DARE_MAGNITUDE,
        dare_weight=int(dare is not None and dare.of == "weight"),
        dare_drop=np.uint64(0 if dare is None else drop_threshold(dare.drop_rate)),
        dare_divisor=np.float32(1.0 - dare.drop_rate if dare is not None and rescales else 1.0),
        dare_limits=_floats(found.dare_limits, n, -1.0),
        keys=stream_keys(plan, step),
        stays=np.zeros(n, np.int64) if stays is None else stays,
        settled=int(settled),
        sparse=SPARSE_NONE if method is None else _SPARSE[method.sparsify],
        limits=_floats(found.limits, n, 0.0),
        cuts=np.array(found.cuts or (FOREVER,) * n, np.int64),
        keeps=_keeps(step, n),
        factors=_floats(found.factors, n, 1.0),
        weights=np.array(numbers.weights, np.float32),
        divisor=np.float32(numbers.divisor),
        scale=np.float32(numbers.scale),
        majority=np.float32(majority),
        out_code=kernel_code(step.spec.dtype),
    )


def stream_keys(plan: Plan, step: Step) -> np.ndarray:
    """The streams of the masks of a tensor, one a source: uint64 (n, 2)."""
    name, seed = step.spec.name, plan.recipe.seed
    return np.array([stream_key(seed, name, k) for k in range(len(step.inputs))], np.uint64)


def _floats(values: tuple[float, ...] | None, n: int, default: float) -> np.ndarray:
    return np.array((default,) * n if values is None else values, np.float32)


def _keeps(step: Step, n: int) -> np.ndarray:
    if step.method is None or step.method.sparsify != "bernoulli":
        return np.zeros(n, np.uint64)
    return np.array([drop_threshold(1.0 - float(source["density"])) for source in step.sources], np.uint64)


def share_of(count: int, share: float) -> int:
    """floor(count share), the share taken as the decimal number it is written as: 0.1 is exactly a tenth."""
    return int(count * Decimal(repr(float(share))))


def dropped_count(count: int, density: float) -> int:
    """floor(N (1 - density)) of the paper's trimming, in decimal."""
    return int(count * (1 - Decimal(repr(float(density)))))
