"""The loops for two BF16 sources give the bytes of the definition, and leave to the tiles what is not theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernels.test_kernels_equal_definition import lowered, raw_rows, run_merge, scratch
from mixmerge.kernels import CHUNK, SCRATCH, TILE, Kernels, Lowered, load

SPAN = 8 * TILE
COUNTS = (1, 2, 6, 38, TILE, TILE + 2, SPAN - 2, SPAN - 1, SPAN + 70, CHUNK + 1_000)
FINE = {"dare": 1, "dare_drop": np.uint64(858_993_459), "dare_divisor": np.float32(0.8)}
"""A drop rate that is no multiple of 1/256: some elements are decided by the bits below the leading byte."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sum": ("sum", {"delta": 0, "codes": np.array([2, 2, -1])}),
    "delta": ("delta_sum", {"scale": np.float32(0.7)}),
    "ties": ("elect_mix_pair", {"sparse": 1, "scale": np.float32(1.3)}),
    "ties, all kept": ("elect_mix_pair", {"sparse": 1, "limits": np.zeros(2, np.float32)}),
    "ties, no majority": ("elect_mix_pair", {"sparse": 1, "majority": np.float32(0)}),
    "ties, positive": ("elect_mix_pair", {"sparse": 1, "majority": np.float32(1)}),
    "dare delta": ("delta_sum", FINE),
    "dare half": ("delta_sum", {**FINE, "dare_drop": np.uint64(2**31), "dare_divisor": np.float32(1)}),
    "dare all": ("delta_sum", {**FINE, "dare_drop": np.uint64(2**32)}),
    "dare sum": ("sum", {**FINE, "delta": 0}),
    "dare ties": ("elect_mix_pair", {**FINE, "sparse": 1}),
}


@pytest.fixture(scope="module")
def both() -> tuple[Kernels, Kernels]:
    return load(compiled=True), load(compiled=False)


def case(name: str) -> tuple[str, Lowered]:
    rule, changes = CASES[name]
    return rule, lowered([2, 2, 2])._replace(**changes)


def rows_of(seed: int, count: int) -> np.ndarray:
    """Numbers that often cancel or equal a limit, and beside them finite ones of any size, zeros of both signs too."""
    rng = np.random.default_rng(seed)
    rows = raw_rows(rng, [2, 2, 2], count, odd=False)
    for row in rows:
        halves = row[: 2 * count].view(np.uint16)
        wild = rng.random(count) < 0.1
        halves[wild] = rng.integers(0, 2**16, int(wild.sum())).astype(np.uint16)
        halves[(halves & 0x7F80) == 0x7F80] = 0x8000
    return rows


@pytest.mark.parametrize("name", CASES)
def test_bytes_of_the_definition(both: tuple[Kernels, Kernels], name: str) -> None:
    rule, low = case(name)
    for count in COUNTS:
        rows = rows_of(count, count)
        made = run_merge(both[0], rule, rows, count, low)
        assert made == run_merge(both[1], rule, rows, count, low), count


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("where", [0, SPAN - 1, SPAN + 3])
def test_what_is_not_finite_is_told_and_passed_on(both: tuple[Kernels, Kernels], name: str, where: int) -> None:
    rule, low = case(name)
    inputs = 3 if low.codes[2] >= 0 else 2
    for source in range(inputs):
        for bits in (0x7F80, 0xFF80, 0x7FC1, 0xFFFF, 0x7F81):
            rows = rows_of(1, SPAN + 70)
            rows[source, 2 * where : 2 * where + 2] = np.array([bits], np.uint16).view(np.uint8)
            made, defined = (run_merge(kernels, rule, rows, SPAN + 70, low) for kernels in both)
            assert made[1:] == defined[1:], (source, hex(bits))
            a, b = np.frombuffer(made[0], np.uint16), np.frombuffer(defined[0], np.uint16)
            spoilt = bool(((a & 0x7F80) == 0x7F80).any())  # not where the number is trimmed, or dropped
            assert made[1] == [*(int(k == source) for k in range(3)), int(spoilt)]
            nan = (a & 0x7FFF) > 0x7F80
            assert np.array_equal(nan, (b & 0x7FFF) > 0x7F80)
            assert np.array_equal(a[~nan], b[~nan])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("where", [0, SPAN - 1, SPAN + 3])
def test_an_overflow_of_finite_numbers_is_told(both: tuple[Kernels, Kernels], name: str, where: int) -> None:
    """Of the output, in the place behind those of the inputs."""
    rule, low = case(name)
    low = low._replace(weights=np.array([1e3, 1e3], np.float32))
    rows = raw_rows(np.random.default_rng(1), [2, 2, 2], SPAN + 70, odd=False)
    assert [run_merge(kernels, rule, rows, SPAN + 70, low)[1] for kernels in both] == [[0, 0, 0, 0]] * 2
    rows[:2, 2 * where : 2 * where + 2] = np.array([0x7F00], np.uint16).view(np.uint8)
    rows[2, 2 * where : 2 * where + 2] = 0
    made, defined = (run_merge(kernels, rule, rows, SPAN + 70, low) for kernels in both)
    assert made == defined
    spoilt = (np.frombuffer(made[0], np.uint16) & 0x7F80) == 0x7F80
    assert made[1] == [0, 0, 0, int(spoilt.any())]
    assert spoilt.any() or low.dare, "DARE may have dropped it"


def uses_tiles(kernels: Kernels, rule: str, rows: Any, count: int, low: Lowered) -> bool:
    tiles, words, nonfinite = scratch(2)
    tiles[:] = 7
    kernels.merge_block[rule](rows, 0, count, low, np.zeros(2 * count, np.uint8), tiles, words, nonfinite)
    return not (tiles[:3] == 7).all()


@pytest.mark.parametrize("name", [name for name in CASES if name != "ties, no majority"])
def test_the_loops_are_used_where_they_may(both: tuple[Kernels, Kernels], name: str) -> None:
    rule, low = case(name)
    rows = np.full((3, 4 * CHUNK), 0x3F, np.uint8)
    assert not uses_tiles(both[0], rule, rows, CHUNK, low)
    for change in (
        {"divisor": np.float32(3)},
        {"cuts": np.array([5, 2**62])},
        {"factors": np.array([1, 1.5], np.float32)},
        {"out_code": 1},
        {"codes": np.array([1, 2, low.codes[2]])},
        {"dare": 2, "delta": 1},
        {"dare": 1, "dare_weight": 1},
        {"delta": 1 - low.delta},
        *([{"majority": np.float32(0)}] if rule.startswith("elect") else []),
    ):
        assert uses_tiles(both[0], rule, rows, CHUNK, low._replace(**change)), change


@pytest.mark.parametrize("name", CASES)
def test_rows_may_lie_anywhere(both: tuple[Kernels, Kernels], name: str) -> None:
    rule, low = case(name)
    rows, count = rows_of(3, SPAN + 70), SPAN + 70
    apart = []
    for k, row in enumerate(rows):
        memory = np.zeros(row.size + 64, np.uint8)
        memory[2 * k + 2 :][: row.size] = row
        memory.flags.writeable = False
        apart.append(memory[2 * k + 2 :][: row.size])
    assert run_merge(both[0], rule, apart, count, low) == run_merge(both[1], rule, rows, count, low)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("dare")])
def test_masks_at_hand_are_the_masks_made_anew(both: tuple[Kernels, Kernels], name: str) -> None:
    rule, low = case(name)
    count = CHUNK + 1_000
    kept = [np.zeros((2, -(-count // 32)), np.uint32) for _ in both]
    for kernels, bits in zip(both, kept, strict=True):
        for k in range(2):
            for first in (0, CHUNK):
                size = min(CHUNK, count - first)
                kernels.stay_block(low.keys[k], first, size, low.dare_drop, bits[k, first // 32 :], scratch(2)[1])
    flags = [np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :count] for bits in kept]
    assert np.array_equal(*flags)
    share = float(low.dare_drop) / 2**32
    assert abs(1 - share - flags[0].mean()) < 0.01
    rows = rows_of(5, count)
    addresses = np.array([row.__array_interface__["data"][0] for row in kept[0]], np.int64)
    for codes in ([2, 2, 2], [0, 1, 2]):
        asked = low._replace(codes=np.array(codes))
        rows = rows_of(5, count) if codes[0] == 2 else raw_rows(np.random.default_rng(1), codes, count, odd=False)
        anew, at_hand = (run_merge(both[0], rule, rows, count, one) for one in (asked, asked._replace(stays=addresses)))
        assert anew == at_hand
    inverse = ~kept[0]
    other = np.array([row.__array_interface__["data"][0] for row in inverse], np.int64)
    assert run_merge(both[0], rule, rows, count, asked._replace(stays=other)) != at_hand


def surveyed(kernels: Kernels, rows: Any, count: int, low: Lowered) -> tuple[int, list[int], bytes, list[int]]:
    windows = np.array([[0, 2**31, 15], [0x3F000000, 4096 << 3, 3]], np.uint32)
    below, tables = np.zeros(2, np.int64), np.zeros((2, 65_536), np.int64)
    tiles, words, nonfinite = scratch(2)
    elected = kernels.survey_block(rows, 0, count, low, windows, below, tables, tiles, words, nonfinite)
    return elected, below.tolist(), tables.tobytes(), nonfinite.tolist()


SURVEYS = {
    "ties": {"sparse": 1},
    "all kept": {"sparse": 1, "limits": np.zeros(2, np.float32)},
    "dare": {**FINE, "sparse": 1},
}


@pytest.mark.parametrize("name", SURVEYS)
def test_a_survey_counts_as_the_definition_does(both: tuple[Kernels, Kernels], name: str) -> None:
    low = lowered([2, 2, 2], **SURVEYS[name])
    for count in COUNTS:
        rows = rows_of(count, count)
        assert surveyed(both[0], rows, count, low) == surveyed(both[1], rows, count, low), count


@pytest.mark.parametrize("name", SURVEYS)
@pytest.mark.parametrize("where", [0, TILE - 1, TILE + 69])
def test_a_survey_tells_which_input_is_not_finite(both: tuple[Kernels, Kernels], name: str, where: int) -> None:
    low, count = lowered([2, 2, 2], **SURVEYS[name]), TILE + 70
    for source in range(3):
        for bits in (0x7F80, 0xFF80, 0x7FC1):
            rows = rows_of(1, count)
            rows[source, 2 * where : 2 * where + 2] = np.array([bits], np.uint16).view(np.uint8)
            made = surveyed(both[0], rows, count, low)
            assert made[3] == [*(int(k == source) for k in range(3)), 0]
            assert made[:2] == surveyed(both[1], rows, count, low)[:2]


@pytest.mark.parametrize("codes", [[2, 2, 2], [0, 1, 2]])
@pytest.mark.parametrize("majority", [-1, 0, 1])
@pytest.mark.parametrize("rule", ["elect_mix_pair", "elect_mean", "elect_mix"])
def test_masks_of_what_stays_in_the_end_give_the_same_bytes(
    both: tuple[Kernels, Kernels], rule: str, majority: int, codes: list[int]
) -> None:
    """DARE, trimming and election, made once: for any ratio."""
    count = CHUNK + 1_000
    low = lowered(codes, **FINE, sparse=1, scale=np.float32(1.3), majority=np.float32(majority))
    rows = rows_of(7, count) if codes[0] == 2 else raw_rows(np.random.default_rng(1), codes, count, odd=False)
    made, defined = (settled(kernels, rows, count, low) for kernels in both)
    assert np.array_equal(made, defined)
    addresses = np.array([row.__array_interface__["data"][0] for row in made], np.int64)
    for share in (0.0, 0.3, 1.0):
        asked = low._replace(weights=np.array([share, 1 - share], np.float32))
        found = run_merge(both[0], rule, rows, count, asked._replace(stays=addresses, settled=1))
        assert found[:2] == run_merge(both[1], rule, rows, count, asked)[:2]


def settled(kernels: Kernels, rows: Any, count: int, low: Lowered) -> np.ndarray:
    """In place of the masks of DARE, block by block."""
    bits = np.zeros((2, -(-count // 32)), np.uint32)
    for k in range(2):
        kernels.stay_block(low.keys[k], 0, count, low.dare_drop, bits[k], scratch(2)[1])
    asked = low._replace(stays=np.array([row.__array_interface__["data"][0] for row in bits], np.int64))
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        part = [row[first * (4 if code == 0 else 2) :] for row, code in zip(rows, low.codes, strict=True)]
        kernels.settle_block(part, first, size, asked, bits, *scratch(2))
    return bits


def test_the_scratch_of_a_pair_is_as_the_loops_expect() -> None:
    assert SCRATCH >= 2, "two rows of masks behind two sources and the base"
