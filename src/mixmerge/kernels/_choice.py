"""Which compiled loop does what is asked of a tensor.

There are many, each for little: a loop is compiled where it is first called, in one or a few seconds; one that could
do everything takes twenty. Knows what loops are told; nothing of how they do it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

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

_BFLOAT: Final = 2
_WORD: Final = 4


def kind_of(low: Lowered) -> str:
    """Which of `KINDS` a tensor is to what sparsifies it."""
    if low.sparse != SPARSE_BERNOULLI:
        return seen_kind_of(low)
    assert low.dare == DARE_NONE, "refused where it is planned"
    return DRAWN


def seen_kind_of(low: Lowered) -> str:
    """Which it is to what looks at it before it is sparsified."""
    return PLAIN if low.dare == DARE_NONE else DARED


def merged_pair(rule: str, addresses: np.ndarray, first: int, count: int, low: Lowered, out: np.ndarray) -> str | None:
    """Which of the loops of `_pairs` may merge a block: the kind of the pair; None where the tiles have to.

    addresses: int64 (n + 1,) or more, of the rows; the rest as `merge_block` is told.
    """
    kind = _pair(addresses, low)
    if kind is None or not _pair_fits(rule, low) or count % 2 or out.ctypes.data % _WORD:
        return None
    if not ((low.factors == 1) & (low.limits >= 0) & (low.cuts >= first + count)).all():
        return None
    return SETTLED if kind == DARED and low.settled and rule == "elect_mix_pair" else kind


def _pair_fits(rule: str, low: Lowered) -> bool:
    """Whether what the rule is asked is what its loop does, into BF16."""
    if low.out_code != _BFLOAT or low.divisor != 1:
        return False
    if rule == "sum":
        base = low.codes[-1] >= 0
        return low.delta == 0 and base == (low.dare != DARE_NONE) and low.sparse == SPARSE_NONE
    if low.delta == 0:
        return False
    if rule == "delta_sum":
        return low.sparse == SPARSE_NONE
    return rule == "elect_mix_pair" and low.sparse == SPARSE_TRIM and low.majority != 0


def surveyed_pair(addresses: np.ndarray, low: Lowered) -> str | None:
    """The same of the loops of `_pair_survey`."""
    return _pair(addresses, low) if low.delta == 1 and low.codes[-1] >= 0 else None


def _pair(addresses: np.ndarray, low: Lowered) -> str | None:
    """Of two sources, they and the base, if there is one, BF16 at even addresses of words."""
    there = np.flatnonzero(low.codes >= 0)  # without a base there may be no row for it
    if len(low.weights) != 2 or (low.codes[there] != _BFLOAT).any() or (addresses[there] % _WORD).any():
        return None
    if low.dare == DARE_NONE:
        return PLAIN
    return DARED if low.dare == DARE_RANDOM and not low.dare_weight else None
