"""The kernels' definition in plain numpy: same arguments, same bytes, no compiler.

Runs where Numba is missing, and is what the compiled loops are tested against, bit for bit. Whole blocks at once:
scratch arguments are accepted and not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from mixmerge.kernels._layout import (
    CHUNK,
    DARE_NONE,
    DARE_RANDOM,
    LANES,
    SPARSE_BERNOULLI,
    SPARSE_NONE,
    TILE,
    Lowered,
)
from mixmerge.rng import mask_numbers

Array = np.ndarray[Any, np.dtype[Any]]
F32 = np.float32
_DTYPES = {0: np.dtype(np.float32), 1: np.dtype(np.float16), 2: np.dtype(ml_dtypes.bfloat16)}
_MAGNITUDE = np.uint32(0x7FFFFFFF)


def widen(raw: Array, code: int, count: int) -> Array:
    """The first `count` elements of raw bytes of dtype `code`, as float32."""
    dtype = _DTYPES[code]
    values: Array = raw[: count * dtype.itemsize].view(dtype).astype(F32)
    return values


def narrow(values: Array, code: int, raw: Array) -> bool:
    """Round float32 values (to nearest even) into the first elements of raw bytes of dtype `code`.

    Returns whether any of them is NaN or infinity then.
    """
    dtype = _DTYPES[code]
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    raw[: values.size * dtype.itemsize] = rounded.view(np.uint8)
    return not np.isfinite(rounded).all()


def _keep(low: Lowered, k: int, first: int, count: int, threshold: Any) -> Array:
    key = (int(low.keys[k, 0]), int(low.keys[k, 1]))
    return mask_numbers(key, first, count).astype(np.uint64) >= np.uint64(threshold)


def _dare(row: Array, base: Array | None, k: int, first: int, low: Lowered) -> Array:
    values = row - base if base is not None else row
    random = low.dare == DARE_RANDOM
    kept = _keep(low, k, first, row.size, low.dare_drop) if random else np.abs(values) > low.dare_limits[k]
    if low.dare_divisor != F32(1):
        values = values / low.dare_divisor
    values = np.where(kept, values, F32(0))
    return base + values if base is not None else values


def _sparsify(row: Array, k: int, first: int, low: Lowered) -> Array:
    if low.sparse == SPARSE_BERNOULLI:
        kept = _keep(low, k, first, row.size, low.keeps[k])
    else:
        size, limit = np.abs(row), low.limits[k]
        early = np.arange(first, first + row.size) <= low.cuts[k]
        kept = (size > limit) | ((size == limit) & early)
    row = np.where(kept, row, F32(0))
    return row * low.factors[k] if low.factors[k] != F32(1) else row


def prepare(raw: Array, first: int, count: int, low: Lowered, level: int, nonfinite: Array) -> list[Array]:
    """Rows for a rule, the base last (zeros where there is none); see the compiled `prepare`."""
    n = len(low.weights)
    rows = [
        widen(raw[k], int(low.codes[k]), count) if low.codes[k] >= 0 else np.zeros(count, F32) for k in range(n + 1)
    ]
    for k, row in enumerate(rows):
        if not np.isfinite(row).all():
            nonfinite[k] = 1
    base = rows[n]
    for k in range(n):
        if level >= 1 and low.dare != DARE_NONE:
            rows[k] = _dare(rows[k], None if low.dare_weight else base, k, first, low)
        if level >= 2 and low.delta:
            rows[k] = rows[k] - base
        if level >= 3 and low.sparse != SPARSE_NONE:
            rows[k] = _sparsify(rows[k], k, first, low)
    return rows


def _weighted(rows: list[Array], low: Lowered) -> Array:
    total: Array = low.weights[0] * rows[0]
    for weight, row in zip(low.weights[1:], rows[1:], strict=False):
        total = total + weight * row
    return total


def _divided(total: Array, divisor: Any) -> Array:
    return total / divisor if divisor != F32(1) else total


def _elected(rows: list[Array], majority: Any) -> Array:
    total = rows[0].copy()
    for row in rows[1:]:
        total = total + row
    return np.where(total > 0, F32(1), np.where(total < 0, F32(-1), majority))


def _agreeing(rows: list[Array], sign: Array, weights: Array) -> tuple[Array, Array]:
    """Sum of w_k d_k over the sources whose w_k d_k has the sign, and the sum of their w_k."""
    total, weight = np.zeros_like(sign), np.zeros_like(sign)
    for w, row in zip(weights, rows, strict=True):
        value = w * row
        agrees = value * sign > 0
        total = total + np.where(agrees, value, F32(0))
        weight = weight + np.where(agrees, w, F32(0))
    return total, weight


def _sum(rows: list[Array], base: Array, low: Lowered) -> Array:
    return _divided(_weighted(rows, low), low.divisor)


def _delta_sum(rows: list[Array], base: Array, low: Lowered) -> Array:
    return base + low.scale * _divided(_weighted(rows, low), low.divisor)


def _elect_mean(rows: list[Array], base: Array, low: Lowered) -> Array:
    total, number = _agreeing(rows, _elected(rows, low.majority), np.ones(len(rows), F32))
    return base + low.scale * (total / np.maximum(number, F32(1)))


def _elect_mix_pair(rows: list[Array], base: Array, low: Lowered) -> Array:
    total, number = _agreeing(rows, _elected(rows, low.majority), np.ones(2, F32))
    return base + low.scale * np.where(number > 1, _weighted(rows, low), total)


def _elect_mix(rows: list[Array], base: Array, low: Lowered) -> Array:
    total, weight = _agreeing(rows, _elected(rows, low.majority), low.weights)
    return base + low.scale * (total / np.where(weight > 0, weight, F32(1)))


def _consensus(rows: list[Array], low: Lowered) -> tuple[Array, Array]:
    sign = np.where(_weighted(rows, low) >= 0, F32(1), F32(-1))
    return _agreeing(rows, sign, low.weights)


def _consensus_sum(rows: list[Array], base: Array, low: Lowered) -> Array:
    return base + low.scale * _consensus(rows, low)[0]


def _consensus_mean(rows: list[Array], base: Array, low: Lowered) -> Array:
    total, weight = _consensus(rows, low)
    return base + low.scale * (total / np.where(weight == 0, F32(1), weight))


RULE_DEFINITIONS: Mapping[str, Callable[[list[Array], Array, Lowered], Array]] = {
    "sum": _sum,
    "delta_sum": _delta_sum,
    "elect_mean": _elect_mean,
    "elect_mix_pair": _elect_mix_pair,
    "elect_mix": _elect_mix,
    "consensus": _consensus_sum,
    "consensus_normalized": _consensus_mean,
}


def _merge(rule: str) -> Callable[..., int]:
    def merge_block(
        raw: Array,
        first: int,
        count: int,
        low: Lowered,
        out: Array,
        tiles: Array,
        words: Array,
        nonfinite: Array,
    ) -> int:
        with np.errstate(all="ignore"):
            rows = prepare(raw, first, count, low, 3, nonfinite)
            if narrow(RULE_DEFINITIONS[rule](rows[:-1], rows[-1], low), low.out_code, out):
                nonfinite[len(low.weights) + 1] = 1
            return _signs(rows[:-1]) if rule.startswith("elect") else 0

    return merge_block


MERGE_BLOCK: Mapping[str, Callable[..., int]] = {rule: _merge(rule) for rule in RULE_DEFINITIONS}


def histogram_block(
    raw: Array,
    first: int,
    count: int,
    low: Lowered,
    level: int,
    windows: Array,
    below: Array,
    tables: Array,
    tiles: Array,
    words: Array,
    nonfinite: Array,
) -> None:
    """See the compiled `histogram_block`."""
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, level, nonfinite)
    for k in range(len(low.weights)):
        magnitude = (rows[k].view(np.uint32) & _MAGNITUDE).astype(np.int64)
        offset = magnitude - int(windows[k, 0])
        inside = offset[(offset >= 0) & (offset < int(windows[k, 1]))]
        below[k] += int((offset < 0).sum())
        tables[k] += np.bincount(inside >> int(windows[k, 2]), minlength=tables.shape[1])


def survey_block(
    raw: Array,
    first: int,
    count: int,
    low: Lowered,
    windows: Array,
    below: Array,
    tables: Array,
    tiles: Array,
    words: Array,
    nonfinite: Array,
) -> int:
    """See the compiled `survey_block`."""
    histogram_block(raw, first, count, low, 2, windows, below, tables, tiles, words, nonfinite)
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, 2, nonfinite)
        return _signs(
            [np.where(np.abs(row) >= limit, row, F32(0)) for row, limit in zip(rows, low.limits, strict=False)]
        )


def _signs(rows: list[Array]) -> int:
    return int(_elected(rows, F32(0)).astype(np.int64).sum())


def settle_block(
    raw: Array, first: int, count: int, low: Lowered, bits: Array, tiles: Array, words: Array, nonfinite: Array
) -> None:
    """See the compiled `settle_block`."""
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, 3, nonfinite)[:-1]
        sign = _elected(rows, low.majority)
        for k, row in enumerate(rows):
            bits[k, first // 32 : -(-(first + count) // 32)] = _packed(row * sign > 0)


def magnitudes_block(
    raw: Array,
    first: int,
    count: int,
    low: Lowered,
    level: int,
    out: Array,
    at: int,
    tiles: Array,
    words: Array,
    nonfinite: Array,
) -> None:
    """See the compiled `magnitudes_block`."""
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, level, nonfinite)
    for k in range(len(low.weights)):
        out[k, at : at + count] = np.abs(rows[k])


def _chunked(values: Array) -> Array:
    padded = np.zeros(-(-values.size // CHUNK) * CHUNK, values.dtype)
    padded[: values.size] = values
    return padded.reshape(-1, CHUNK)


def equal_block(
    raw: Array,
    first: int,
    count: int,
    low: Lowered,
    limits: Array,
    counts: Array,
    tiles: Array,
    words: Array,
    nonfinite: Array,
) -> None:
    """See the compiled `equal_block`."""
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, 2, nonfinite)
    for k in range(len(low.weights)):
        equal = _chunked(np.abs(rows[k]) == limits[k]).sum(axis=1)
        counts[k, : equal.size] += equal


def equal_place(
    raw: Array,
    first: int,
    count: int,
    low: Lowered,
    limit: Any,
    source: int,
    wanted: int,
    tiles: Array,
    words: Array,
    nonfinite: Array,
) -> int:
    """See the compiled `equal_place`."""
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, 2, nonfinite)
    places = np.flatnonzero(np.abs(rows[source]) == limit)
    return first + int(places[wanted - 1]) if wanted <= places.size else -1


def _chunk_sums(sizes: Array) -> Array:
    """float64 sums of chunks: LANES interleaved sums a tile, lanes added in order, tiles added in order."""
    lanes = _chunked(sizes).reshape(-1, CHUNK // TILE, TILE // LANES, LANES)
    partial = np.zeros((lanes.shape[0], lanes.shape[1], LANES))
    for step in range(TILE // LANES):
        partial += lanes[:, :, step, :]
    tiles = _added_in_order(partial.reshape(-1, LANES)).reshape(lanes.shape[0], -1)
    return _added_in_order(tiles)


def _added_in_order(columns: Array) -> Array:
    total = np.zeros(columns.shape[0])
    for column in range(columns.shape[1]):
        total += columns[:, column]
    return total


def l1_block(
    raw: Array,
    first: int,
    count: int,
    low: Lowered,
    sums: Array,
    lanes: Array,
    tiles: Array,
    words: Array,
    nonfinite: Array,
) -> None:
    """See the compiled `l1_block`."""
    with np.errstate(all="ignore"):
        rows = prepare(raw, first, count, low, 2, nonfinite)
    for k in range(len(low.weights)):
        whole = _chunk_sums(np.abs(rows[k]).astype(np.float64))
        part = _chunk_sums(np.abs(_sparsify(rows[k], k, first, low)).astype(np.float64))
        sums[k, : whole.size, 0] += whole
        sums[k, : part.size, 1] += part


def stay_block(key: Array, first: int, count: int, threshold: Any, bits: Array, words: Array) -> None:
    """See the compiled `stay_block`."""
    kept = mask_numbers((int(key[0]), int(key[1])), first, count).astype(np.uint64) >= np.uint64(threshold)
    bits[: -(-count // 32)] = _packed(kept)


def _packed(flags: Array) -> Array:
    padded = np.zeros(-(-flags.size // 32) * 32, bool)
    padded[: flags.size] = flags
    return np.packbits(padded, bitorder="little").view("<u4")


def add_low_rank(values: Array, first: int, left: Array, right: Array, scale: np.float32, total: Array) -> None:
    """See the compiled `add_low_rank`."""
    rows, columns = np.divmod(np.arange(first, first + values.size), right.shape[1])
    change = np.zeros(values.size, F32)
    with np.errstate(all="ignore"):  # infinity is told where it is read
        for k in range(left.shape[1]):
            change = change + left[rows, k] * right[k, columns]
        values[:] = values + scale * change
