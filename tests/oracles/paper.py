"""Dialect `paper`: linear, task_arithmetic, ties and dare (docs: the formula, section A).

A model is a dict of same-named float64 arrays whose values are exact in float32 (widened F32, F16 or BF16).
This file knows nothing of files, dtypes, blocks or random generators: Bernoulli masks come from the caller.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Mask = NDArray[np.bool_]
Model = dict[str, Array]
Keep = Callable[[str, int, int], Mask]
"""(output tensor name, position of the source, number of elements) -> flat mask, True where kept."""


def linear(sources: Sequence[Model], ratio: Sequence[float] | None = None) -> Model:
    """Mean of the sources, or sum of r_i x_i with mixup (docs: the formula, A, linear)."""
    shares = [1 / len(sources)] * len(sources) if ratio is None else list(ratio)
    return {name: _weighted([source[name] for source in sources], shares) for name in sources[0]}


def task_arithmetic(
    base: Model, sources: Sequence[Model], ratio: Sequence[float] | None = None, scale: float = 1.0
) -> Model:
    """b + s * sum of d_i, or b + s * sum of r_i d_i with mixup (docs: the formula, A, task_arithmetic)."""
    shares = [1.0] * len(sources) if ratio is None else list(ratio)
    return {name: b + scale * _weighted([source[name] - b for source in sources], shares) for name, b in base.items()}


def ties(
    base: Model,
    sources: Sequence[Model],
    ratio: Sequence[float] | None = None,
    density: str | float = 0.5,
    scale: float = 1.0,
    trim: str = "model",
    decide_on: Sequence[Model] | None = None,
) -> Model:
    """Trim, elect, disjoint mean or mixup, b + s * result (docs: the formula, A, ties, steps 1 to 4).

    `trim` is the scope of the threshold: "model" (the paper's) or "tensor"; the majority sign that settles
    zero sums is the whole model's in both. `density` is read as decimal text, so 0.9 leaves a mask rate of
    exactly 0.1.

    `decide_on` are the sources as the product holds them when it thresholds and elects: it keeps masked
    sources of dare in float32, and two deltas that cancel exactly in float64 may not do so there. Give
    `dare(..., single=True)` for it beside `dare(...)` as `sources`. Without it the sources decide themselves.
    """
    held = sources if decide_on is None else decide_on
    kept = [trimmed_single(base, source, density, trim) for source in held]
    elected = elected_signs(kept)
    result: Model = {}
    for name, b in base.items():
        survives = [(np.sign(part[name]) == elected[name]) & (part[name] != 0) for part in kept]
        pairs = zip(survives, sources, strict=True)
        deltas = [np.where(mask, source[name] - b, 0.0) for mask, source in pairs]
        result[name] = b + scale * _disjoint(deltas, survives, ratio)
    return result


def trimmed_single(base: Model, source: Model, density: str | float, trim: str = "model") -> dict[str, Single]:
    """Step 1: float32 deltas, 0 below the k-th smallest magnitude (docs: the formula, A)."""
    deltas = {name: single_delta(source[name], b) for name, b in base.items()}
    rate = 1 - Decimal(str(density))
    if trim == "tensor":
        return {name: _trim(delta, _kth_smallest([delta], rate)) for name, delta in deltas.items()}
    if trim == "model":
        threshold = _kth_smallest(list(deltas.values()), rate)
        return {name: _trim(delta, threshold) for name, delta in deltas.items()}
    raise ValueError(f"trim is 'model' or 'tensor', not {trim!r}")


def elected_signs(kept: Sequence[dict[str, Single]]) -> dict[str, Array]:
    """Step 2: signs of the unweighted sums; where 0, the whole model's majority (docs: the formula, A).

    The sum is float32, one source after the other, as the product forms it: with two sources its sign is
    exact, with more a rounded partial sum may reach 0.
    """
    signs = {name: np.sign(_single_sum([part[name] for part in kept])).astype(np.float64) for name in kept[0]}
    majority = np.sign(sum(int(sign.sum()) for sign in signs.values()))
    return {name: np.where(sign == 0, majority, sign) for name, sign in signs.items()}


def dare(
    base: Model,
    sources: Sequence[Model],
    drop_rate: str | float = 0.2,
    rescale: bool = True,
    strategy: str = "random",
    of: str = "delta",
    keep: Keep | None = None,
    single: bool = False,
) -> list[Model]:
    """Masked sources: x_i' = b + masked delta, or the masked weights (docs: the formula, A, dare).

    `keep` supplies the Bernoulli mask of strategy "random". `single=True` rounds to float32 after each step,
    as the product does: delta, quotient, sum (see `ties`); otherwise only the mask is decided in float32.
    """
    masked: list[Model] = []
    for position, source in enumerate(sources):
        model: Model = {}
        for name, b in base.items():
            thing = single_delta(source[name], b) if of == "delta" else source[name].astype(np.float32)
            if strategy == "magnitude":
                mask = _above_smallest(thing, Decimal(str(drop_rate)))
            else:
                mask = _bernoulli(name, position, b, keep)
            model[name] = _masked(b, source[name], mask, float(drop_rate) if rescale else 0.0, of, single)
        masked.append(model)
    return masked


def single_delta(x: Array, b: Array) -> Single:
    """float32(x) - float32(b), rounded once to float32: the delta every decision is taken on."""
    return np.subtract(x.astype(np.float32), b.astype(np.float32), dtype=np.float32)


def _weighted(parts: Sequence[Array], shares: Sequence[float]) -> Array:
    total = np.zeros_like(parts[0])
    for part, share in zip(parts, shares, strict=True):
        total = total + share * part
    return total


def _single_sum(parts: Sequence[Single]) -> Single:
    total = parts[0]
    for part in parts[1:]:
        total = np.add(total, part, dtype=np.float32)
    return total


def _count(elements: int, rate: Decimal) -> int:
    """floor(N * rate) without binary rounding."""
    return floor(elements * Fraction(rate))


def _kth_smallest(deltas: Sequence[Single], rate: Decimal) -> np.float32:
    magnitudes = np.sort(np.concatenate([np.abs(delta).ravel() for delta in deltas]))
    k = _count(magnitudes.size, rate)
    return magnitudes[k - 1] if k > 0 else np.float32(0)


def _trim(delta: Single, threshold: np.float32) -> Single:
    return np.where(np.abs(delta) >= threshold, delta, np.float32(0))


def _disjoint(deltas: Sequence[Array], survives: Sequence[Mask], ratio: Sequence[float] | None) -> Array:
    """Step 3: mean or mixup of the survivors (docs: the formula, A, ties, step 3)."""
    count = np.sum(survives, axis=0)
    plain = np.sum(deltas, axis=0)
    if ratio is None:
        return np.asarray(plain / np.maximum(count, 1))
    mixed = _weighted(deltas, ratio)
    if len(deltas) == 2:
        return np.where(count == 2, mixed, plain)
    shares = _weighted([mask.astype(np.float64) for mask in survives], ratio)
    return np.where(shares > 0, mixed / np.where(shares > 0, shares, 1.0), 0.0)


def _above_smallest(thing: Single, rate: Decimal) -> Mask:
    """Drops the k = int(n * p) smallest of one tensor and all that equal the largest of them."""
    k = _count(thing.size, rate)
    if k == 0:
        return np.ones(thing.shape, dtype=np.bool_)
    return np.asarray(np.abs(thing) > np.sort(np.abs(thing), axis=None)[k - 1])


def _bernoulli(name: str, position: int, like: Array, keep: Keep | None) -> Mask:
    if keep is None:
        raise ValueError("strategy 'random' needs keep")
    return np.asarray(keep(name, position, like.size).reshape(like.shape), dtype=np.bool_)


def _masked(b: Array, x: Array, mask: Mask, drop_rate: float, of: str, single: bool) -> Array:
    """b + mask * (x - b) / (1 - p), or mask * x / (1 - p); p = 0 when kept values are not rescaled.

    At p = 1 nothing is divided: the random mask keeps nothing there.
    """
    step = np.float32 if single else np.float64
    thing = np.subtract(x, b).astype(step) if of == "delta" else x.astype(step)
    if 0 < drop_rate < 1:
        thing = np.divide(thing, step(1 - drop_rate), dtype=step)
    thing = np.where(mask, thing, step(0))
    if of == "weight":
        return np.asarray(thing, dtype=np.float64)
    return np.asarray(np.add(b.astype(step), thing, dtype=step), dtype=np.float64)
