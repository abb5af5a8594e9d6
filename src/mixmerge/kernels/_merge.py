"""The apply pass over one block: prepare a tile, combine it by a rule, round it. One driver for every rule.

Where a rule has a loop of `_pairs` that does all of it at once, that is tried first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np

from mixmerge.kernels import _rules
from mixmerge.kernels._cast import narrow
from mixmerge.kernels._compile import compiled, merged
from mixmerge.kernels._layout import RULES, STRIP
from mixmerge.kernels._machine import borrowed
from mixmerge.kernels._pairs import LOOPS, REFUSED, SPAN, usual_pair
from mixmerge.kernels._prepare import prepare


def combine(x: Any, n: int, count: int, low: Any) -> int:
    """Stands in the driver for the rule, which `_driver` binds instead of it."""
    raise NotImplementedError


def at_once(raw: Any, first: int, start: int, count: int, low: Any, out: Any, tiles: Any, words: Any) -> int:
    """Stands in the driver for the rule's loop of `_pairs`, or for `never`."""
    raise NotImplementedError


@merged
def never(raw, first, start, count, low, out, tiles, words):  # noqa: ARG001
    """The rule has no such loop."""
    return np.int64(REFUSED)


def merge_block(raw, first, count, low, out, tiles, words, nonfinite):
    """Merge elements 0 .. count of the raw rows (int64 (n + 1,), an address each) into `out` (uint8).

    first: index in the tensor of the rows' first element, a multiple of CHUNK. words: uint64 (TILE / 8,);
    tiles: float32 (n + 1 + SCRATCH, TILE); nonfinite: int64 (n + 2,), set to 1 where an input has NaN or infinity,
    and, in the last place, where the output has.
    Returns the sum of the signs elected, 0 for rules that elect none.
    """
    raw, low, out, tiles, words, nonfinite = borrowed((raw, low, out, tiles, words, nonfinite))
    n = len(low.weights)
    elected = np.int64(0)
    usual = usual_pair(raw, first, count, low, out)
    for begin in range(0, count, SPAN):
        span = min(SPAN, count - begin)
        found = at_once(raw, first + begin, begin, span, low, out, tiles, words) if usual else np.int64(REFUSED)
        if found != REFUSED:
            elected += found
        else:
            for start in range(begin, begin + span, STRIP):
                width = min(STRIP, begin + span - start)
                prepare(raw, start, first + start, width, low, 3, tiles, words, nonfinite)
                elected += combine(tiles, n, width, low)
                if narrow(tiles[n + 1], low.out_code, start, width, out):
                    nonfinite[n + 1] = 1
    return elected


def _driver(rule: str) -> Callable[..., int]:
    """`merge_block` with `combine` and `at_once` bound to one rule.

    Numba cannot cache functions that close over others, so the driver's code gets globals of its own: the call is
    resolved and inlined at compile time, and the name keeps one cache entry a rule.
    """
    parts = {"combine": getattr(_rules, f"rule_{rule}"), "at_once": LOOPS.get(rule, never)}
    bound = FunctionType(merge_block.__code__, {**globals(), **parts})
    bound.__name__ = bound.__qualname__ = f"merge_block_{rule}"
    bound.__module__ = __name__
    return compiled(bound)  # type: ignore[no-any-return]


MERGE_BLOCK: Mapping[str, Callable[..., int]] = {rule: _driver(rule) for rule in RULES}
