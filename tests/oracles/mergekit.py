"""Dialect `mergekit`, one tensor at a time (docs: the formula, section B).

Arrays are float64 with values exact in float32; weights and densities are lists, one number a source, and the
base is not among the sources of a delta method. Decisions (threshold, elected sign, a vanishing divisor) are
float32, with weights rounded to float32 and sums taken in the order of the sources; values are float64.
This file knows nothing of YAML: filters, gradients and precedence are resolved by the caller.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Mask = NDArray[np.bool_]
Keep = Callable[[str, int, int], Mask]
"""(output tensor name, position of the source, number of elements) -> flat mask, True where kept."""

SMALLEST_DIVISOR = 1e-8
SMALLEST_NORM = 1e-7


def linear(sources: Sequence[Array], weights: Sequence[float], normalize: bool = True) -> Array:
    """Sum of w x, divided by the sum of w (docs: the formula, B, linear).

    mergekit divides by a sum of 0 as well (inf, nan); here such a sum counts as 1, as in the delta methods.
    """
    total = _weighted(sources, weights)
    return total / _divisor(weights) if normalize else total


def task_arithmetic(
    base: Array,
    sources: Sequence[Array],
    weights: Sequence[float],
    normalize: bool = False,
    lambda_: float = 1.0,
) -> Array:
    """b + lambda * sum of w d (docs: the formula, B, task_arithmetic)."""
    return base + lambda_ * _sum([x - base for x in sources], weights, normalize)


def ties(
    base: Array,
    sources: Sequence[Array],
    weights: Sequence[float],
    density: Sequence[float],
    normalize: bool = True,
    rescale: bool = False,
    lambda_: float = 1.0,
) -> Array:
    """Exact-count trimming, weighted election, sum of the agreeing (docs: the formula, B, ties)."""
    masks = [largest(_single_delta(x, base), d) for x, d in zip(sources, density, strict=True)]
    deltas = [_sparse(x, base, mask, rescale) for x, mask in zip(sources, masks, strict=True)]
    return base + lambda_ * _consensus(deltas, weights, normalize)


def dare_linear(
    base: Array,
    sources: Sequence[Array],
    weights: Sequence[float],
    density: Sequence[float],
    keep: Keep,
    name: str = "",
    normalize: bool = False,
    rescale: bool = True,
    lambda_: float = 1.0,
) -> Array:
    """Bernoulli masks, L1 rescaling, then the weighted sum (docs: the formula, B, dare_linear)."""
    deltas = _dropped(base, sources, density, keep, name, rescale)
    return base + lambda_ * _sum(deltas, weights, normalize)


def dare_ties(
    base: Array,
    sources: Sequence[Array],
    weights: Sequence[float],
    density: Sequence[float],
    keep: Keep,
    name: str = "",
    normalize: bool = False,
    rescale: bool = True,
    lambda_: float = 1.0,
) -> Array:
    """Bernoulli masks, L1 rescaling, then consensus as in ties (docs: the formula, B, dare_ties)."""
    deltas = _dropped(base, sources, density, keep, name, rescale)
    return base + lambda_ * _consensus(deltas, weights, normalize)


def passthrough(source: Array, scale: float | None = None) -> Array:
    """The one input, times a factor if there is one (docs: the formula, B, passthrough)."""
    return source if scale is None else source * scale


def slerp(base: Array, other: Array, t: float) -> Array:
    """Along the great circle of the flattened tensors, t = 0 is the base (docs: the formula, B, slerp)."""
    cosine = float(np.sum(_unit(base) * _unit(other)))
    if abs(cosine) > 0.9995:
        return (1 - t) * base + t * other
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    near, far = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    return np.asarray(near * base + far * other)


def largest(delta: Single, density: float) -> Mask:
    """The k = int(density * n) largest magnitudes, at least one; equal ones from the lowest index on.

    Density 1 and more keeps all, 0 and less nothing. mergekit sorts without stability, so which of equal
    magnitudes it keeps is not defined there; the lowest index is this dialect's choice among them.
    """
    if density >= 1:
        return np.ones(delta.shape, dtype=np.bool_)
    mask = np.zeros(delta.size, dtype=np.bool_)
    if density > 0 and delta.size:
        k = max(1, int(density * delta.size))
        mask[np.argsort(-np.abs(delta).ravel(), kind="stable")[:k]] = True
    return mask.reshape(delta.shape)


def _single_delta(x: Array, base: Array) -> Single:
    return np.subtract(x.astype(np.float32), base.astype(np.float32), dtype=np.float32)


def _sparse(x: Array, base: Array, mask: Mask, rescale: bool) -> Array:
    """Masked delta, stretched to the L1 norm it had before if `rescale`."""
    delta = x - base
    masked = np.where(mask, delta, 0.0)
    before, after = float(np.abs(delta).sum()), float(np.abs(masked).sum())
    if not rescale or mask.all() or before < SMALLEST_NORM or after < SMALLEST_NORM:
        return masked
    return np.asarray(masked * (before / after))


def _dropped(
    base: Array, sources: Sequence[Array], density: Sequence[float], keep: Keep, name: str, rescale: bool
) -> list[Array]:
    deltas = []
    for position, (x, share) in enumerate(zip(sources, density, strict=True)):
        mask = np.ones(x.shape, np.bool_) if share >= 1 else keep(name, position, x.size).reshape(x.shape)
        deltas.append(_sparse(x, base, mask, rescale))
    return deltas


def _weighted(parts: Sequence[Array], weights: Sequence[float]) -> Array:
    total = np.zeros_like(parts[0])
    for part, weight in zip(parts, weights, strict=True):
        total = total + weight * part
    return total


def _divisor(weights: Sequence[float]) -> float:
    """Sum of the weights; a float32 sum below 1e-8 counts as 1."""
    single = np.float32(0)
    for weight in weights:
        single = np.float32(single + np.float32(weight))
    return float(sum(weights)) if abs(single) >= SMALLEST_DIVISOR else 1.0


def _sum(deltas: Sequence[Array], weights: Sequence[float], normalize: bool) -> Array:
    total = _weighted(deltas, weights)
    return total / _divisor(weights) if normalize else total


def _consensus(deltas: Sequence[Array], weights: Sequence[float], normalize: bool) -> Array:
    """Sum of w d over those with the sign of the whole weighted sum, over the sum of their weights."""
    weighted = [np.float32(w) * d.astype(np.float32) for d, w in zip(deltas, weights, strict=True)]
    total = np.zeros(deltas[0].shape, np.float32)
    for part in weighted:
        total = np.add(total, part, dtype=np.float32)
    elected = np.where(total >= 0, 1, -1)
    agrees = [np.sign(part) == elected for part in weighted]
    mixed = _weighted([np.where(mask, d, 0.0) for mask, d in zip(agrees, deltas, strict=True)], weights)
    if not normalize:
        return mixed
    single = np.zeros(total.shape, np.float32)
    for mask, weight in zip(agrees, weights, strict=True):
        single = np.add(single, np.where(mask, np.float32(weight), np.float32(0)), dtype=np.float32)
    exact = _weighted([mask.astype(np.float64) for mask in agrees], weights)
    return np.asarray(mixed / np.where(single == 0, 1.0, exact))


def _unit(vector: Array) -> Array:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 1e-8 else vector
