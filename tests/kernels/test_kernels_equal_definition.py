"""Every compiled kernel gives the bytes of its numpy definition, over dtypes, sizes, masks and odd values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mixmerge.kernels import CHUNK, LANES, RULES, SCRATCH, TILE, Kernels, Lowered, load
from mixmerge.rng import stream_key

SIZES = (1, 7, TILE, TILE + 3, CHUNK + 11)
CODES = (0, 1, 2)
ITEMSIZE = {0: 4, 1: 2, 2: 2}


@pytest.fixture(scope="module")
def both() -> tuple[Kernels, Kernels]:
    return load(compiled=True), load(compiled=False)


def raw_rows(rng: np.random.Generator, codes: list[int], count: int, odd: bool) -> np.ndarray:
    """Random bit patterns of each dtype; quantised so that equal magnitudes and cancellations are common."""
    rows = np.zeros((len(codes), count * 4 + 64), np.uint8)
    for row, code in zip(rows, codes, strict=True):
        values = (np.round(rng.standard_normal(count) * 8) / 8).astype(np.float32)
        if odd:
            values = rng.integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
        if code == 0:
            data = values.view(np.uint8)
        elif code == 1:
            data = (rng.integers(0, 2**16, count).astype(np.uint16) if odd else values.astype(np.float16)).view(
                np.uint8
            )
        else:
            data = (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        row[: data.size] = data
    return rows


def lowered(codes: list[int], **changes: Any) -> Lowered:
    n = len(codes) - 1
    plain = Lowered(
        codes=np.array(codes, np.int64),
        delta=1,
        dare=0,
        dare_weight=0,
        dare_drop=np.uint64(0),
        dare_divisor=np.float32(1),
        dare_limits=np.full(n, 0.25, np.float32),
        keys=np.array([stream_key(3, "t", k) for k in range(n)], np.uint64),
        stays=np.zeros(n, np.int64),
        settled=0,
        sparse=0,
        limits=np.full(n, 0.5, np.float32),
        cuts=np.full(n, 2**62, np.int64),
        keeps=np.full(n, 2**31, np.uint64),
        factors=np.ones(n, np.float32),
        weights=np.linspace(0.2, 0.8, n, dtype=np.float32),
        divisor=np.float32(1),
        scale=np.float32(1),
        majority=np.float32(-1),
        out_code=codes[-1],
    )
    return plain._replace(**changes)


def scratch(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((n + 1 + SCRATCH, TILE), np.float32), np.zeros(TILE // 8, np.uint64), np.zeros(n + 2, np.int64)


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"scale": np.float32(0.7), "divisor": np.float32(3)},
    "dare": {"dare": 1, "dare_drop": np.uint64(2**30), "dare_divisor": np.float32(0.75)},
    "dare-fine": {"dare": 1, "dare_drop": np.uint64(858_993_459), "dare_divisor": np.float32(0.8), "sparse": 1},
    "dare-rare": {"dare": 1, "dare_drop": np.uint64(2**32 - 1)},
    "dare-weight": {"dare": 1, "dare_weight": 1, "dare_drop": np.uint64(2**30)},
    "dare-magnitude": {"dare": 2, "dare_divisor": np.float32(0.8)},
    "dare-all": {"dare": 1, "dare_drop": np.uint64(2**32)},
    "trim": {"sparse": 1},
    "trim-cut": {"sparse": 1, "cuts": np.array([5, TILE + 1], np.int64)},
    "bernoulli": {
        "sparse": 2,
        "keeps": np.array([2**31 + 12_345, 77], np.uint64),
        "factors": np.array([1.5, 0.3], np.float32),
    },
    "dare-trim": {"dare": 1, "dare_drop": np.uint64(2**30), "dare_divisor": np.float32(0.75), "sparse": 1},
}


def run_merge(kernels: Kernels, rule: str, raw: np.ndarray, count: int, low: Lowered) -> tuple[bytes, list[int], int]:
    tiles, words, nonfinite = scratch(len(low.weights))
    out = np.zeros(count * 4, np.uint8)
    elected = kernels.merge_block[rule](raw, 0, count, low, out, tiles, words, nonfinite)
    return out[: count * ITEMSIZE[low.out_code]].tobytes(), nonfinite.tolist(), elected


DRAWN_RULES = ("delta_sum", "consensus", "consensus_normalized")
"""Those of the methods that sparsify by random masks; for the others no loop with them is ever compiled."""


@pytest.mark.parametrize(
    ("rule", "variant"),
    [(rule, one) for one in VARIANTS for rule in RULES if one != "bernoulli" or rule in DRAWN_RULES],
)
def test_merge_block(both: tuple[Kernels, Kernels], rule: str, variant: str) -> None:
    rng = np.random.default_rng(1)
    for count in SIZES:
        for codes in ([2, 2, 2], [0, 1, 2], [1, 2, 0], [2, 0, 1]):
            raw = raw_rows(rng, codes, count, odd=False)
            low = lowered(codes, **VARIANTS[variant])
            assert run_merge(both[0], rule, raw, count, low) == run_merge(both[1], rule, raw, count, low), (
                count,
                codes,
            )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("out_code", CODES)
def test_any_bit_pattern_is_cast_alike(both: tuple[Kernels, Kernels], code: int, out_code: int) -> None:
    rng = np.random.default_rng(2)
    raw = raw_rows(rng, [code, 2, 2], 70_000, odd=True)
    low = lowered([code, 2, 2], weights=np.array([1, 0], np.float32), out_code=out_code, delta=0)
    low = low._replace(weights=np.array([1], np.float32), codes=np.array([code, -1], np.int64))
    low = low._replace(keys=low.keys[:1], limits=low.limits[:1], cuts=low.cuts[:1], keeps=low.keeps[:1])
    first, second = (run_merge(k, "sum", raw, 70_000, low) for k in both)
    dtype = {0: np.uint32, 1: np.uint16, 2: np.uint16}[out_code]
    limit = {0: 0x7F800000, 1: 0x7C00, 2: 0x7F80}[out_code]
    a, b = np.frombuffer(first[0], dtype), np.frombuffer(second[0], dtype)
    mask = {0: 0x7FFFFFFF, 1: 0x7FFF, 2: 0x7FFF}[out_code]
    nan = (a & mask) > limit
    assert ((b & mask) > limit).tolist() == nan.tolist(), "the same elements are NaN"
    assert np.array_equal(a[~nan], b[~nan])
    assert first[1] == second[1] == [1, 0, 1], "told of the input, and of the output"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_histogram(both: tuple[Kernels, Kernels], variant: str, level: int) -> None:
    rng = np.random.default_rng(3)
    windows = np.array([[0, 2**31, 15], [0x3F000000, 4096 << 3, 3]], np.uint32)
    for count in SIZES:
        raw = raw_rows(rng, [2, 1, 2], count, odd=False)
        low = lowered([2, 1, 2], **VARIANTS[variant])
        seen = []
        for kernels in both:
            below, tables = np.zeros(2, np.int64), np.zeros((2, 65_536), np.int64)
            kernels.histogram_block(raw, 0, count, low, level, windows, below, tables, *scratch(2))
            seen.append((below.tolist(), tables.tobytes()))
            assert tables[0].sum() == count, "a window over everything counts everything"
        assert seen[0] == seen[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals(both: tuple[Kernels, Kernels], variant: str) -> None:
    rng = np.random.default_rng(4)
    for count in SIZES:
        raw = raw_rows(rng, [2, 1, 2], count, odd=False)
        low = lowered([2, 1, 2], **VARIANTS[variant])
        seen = []
        for kernels in both:
            counts = np.zeros((2, 2), np.int64)
            kernels.equal_block(raw, 0, count, low, low.limits, counts, *scratch(2))
            places = [
                kernels.equal_place(raw, 0, count, low, np.float32(0.5), 1, wanted, *scratch(2)) for wanted in (1, 9)
            ]
            seen.append((counts.tolist(), places))
        assert seen[0] == seen[1]


@pytest.mark.parametrize("variant", ["trim", "dare-trim", "dare-fine"])
def test_survey(both: tuple[Kernels, Kernels], variant: str) -> None:
    rng = np.random.default_rng(6)
    windows = np.array([[0, 2**31, 15], [0x3F000000, 4096 << 3, 3]], np.uint32)
    for count in SIZES:
        raw = raw_rows(rng, [2, 1, 2], count, odd=False)
        low = lowered([2, 1, 2], **VARIANTS[variant])
        seen = []
        for kernels in both:
            below, tables = np.zeros(2, np.int64), np.zeros((2, 65_536), np.int64)
            elected = kernels.survey_block(raw, 0, count, low, windows, below, tables, *scratch(2))
            seen.append((elected, below.tolist(), tables.tobytes()))
        assert seen[0] == seen[1]
        assert seen[0][0] == run_merge(both[0], "elect_mean", raw, count, low)[2], "both passes elect the same signs"


@pytest.mark.parametrize("sparse", [1, 2])
def test_l1_sums(both: tuple[Kernels, Kernels], sparse: int) -> None:
    rng = np.random.default_rng(5)
    for count in SIZES:
        raw = raw_rows(rng, [2, 0, 1], count, odd=False)
        raw[1, : count * 4] = rng.standard_normal(count).astype(np.float32).view(np.uint8)
        low = lowered([2, 0, 1], sparse=sparse)
        seen = []
        for kernels in both:
            sums = np.zeros((2, 2, 2))
            kernels.l1_block(raw, 0, count, low, sums, np.zeros(LANES), *scratch(2))
            seen.append(sums.tobytes())
        assert seen[0] == seen[1]
