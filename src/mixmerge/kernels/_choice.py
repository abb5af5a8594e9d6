"""Which compiled loop does what is asked of a tensor.

There are many, each for little: a loop is compiled where it is first called, in one or a few seconds; one that could
do everything takes twenty. Knows what loops are told; nothing of how they do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mixmerge.kernels._layout import (
    DARE_NONE,
    DARE_RANDOM,
    SPARSE_BERNOULLI,
    SPARSE_NONE,
    SPARSE_TRIM,
    Lowered,
)

PLAIN: Final = "plain"
DARED: Final = "dared"
DRAWN: Final = "drawn"
KINDS: Final = (PLAIN, DARED, DRAWN)
"""Of tensors: with DARE, or sparsified by random masks, or neither. No plan has both of one."""

SEEN_KINDS: Final = (PLAIN, DARED)
"""Of tensors that are looked at before they are sparsified."""

SETTLED: Final = "settled"
"""Of pairs, beside plain and dared ones: masks leave out what is trimmed and outvoted."""

WORD: Final = 4
"""Bytes of what the loops of pairs read and write at once."""

_BFLOAT: Final = 2


def kind_of(low: Lowered) -> str:
    """Which of `KINDS` a tensor is to what sparsifies it."""
    if low.sparse != SPARSE_BERNOULLI:
        return seen_kind_of(low)
    assert low.dare == DARE_NONE, "refused where it is planned"
    return DRAWN


def seen_kind_of(low: Lowered) -> str:
    """Which it is to what looks at it before it is sparsified."""
    return PLAIN if low.dare == DARE_NONE else DARED


class Pair(NamedTuple):
    """A tensor that the loops of `_pairs` may merge.

    kind: which of them; rows: those there are, whose addresses have to be those of words; limit: elements before which
    no cut among equal magnitudes falls.
    """

    kind: str
    rows: tuple[int, ...]
    limit: int


def aligned(pair: Pair, places: Sequence[int]) -> bool:
    """Whether the rows at these addresses are words."""
    return all(places[row] % WORD == 0 for row in pair.rows)


def merged_pair(rule: str, low: Lowered) -> Pair | None:
    """What `_pairs` has for a tensor, in blocks of an even number of elements; None where the tiles have to do it."""
    pair = _pair(low) if _pair_fits(rule, low) else None
    if pair is None or low.factors.tolist() != [1, 1] or not all(limit >= 0 for limit in low.limits.tolist()):
        return None
    return pair._replace(kind=SETTLED) if pair.kind == DARED and low.settled and rule == "elect_mix_pair" else pair


def _pair_fits(rule: str, low: Lowered) -> bool:
    """Whether what the rule is asked is what its loop does, into BF16."""
    if low.out_code != _BFLOAT or low.divisor != 1:
        return False
    if rule == "sum":
        base = low.codes[-1] >= 0
        return low.delta == 0 and bool(base == (low.dare != DARE_NONE)) and low.sparse == SPARSE_NONE
    if low.delta == 0:
        return False
    if rule == "delta_sum":
        return low.sparse == SPARSE_NONE
    return bool(rule == "elect_mix_pair" and low.sparse == SPARSE_TRIM and low.majority != 0)


def surveyed_pair(low: Lowered) -> Pair | None:
    """The same of the loops of `_pair_survey`."""
    return _pair(low) if low.delta == 1 and low.codes[-1] >= 0 else None


def _pair(low: Lowered) -> Pair | None:
    """Of two sources, they and the base, if there is one, BF16."""
    codes = low.codes.tolist()
    rows = tuple(row for row, code in enumerate(codes) if code >= 0)
    if len(codes) != 3 or any(codes[row] != _BFLOAT for row in rows):
        return None
    if low.dare == DARE_NONE:
        return Pair(PLAIN, rows, min(low.cuts.tolist()))
    if low.dare != DARE_RANDOM or low.dare_weight:
        return None
    return Pair(DARED, rows, min(low.cuts.tolist()))
