"""The apply pass over one block: prepare a tile, combine it by a rule, round it. One driver for every rule.

Where a rule has a loop of `_pairs` for the block, that is tried first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mixmerge.kernels import _rules
from mixmerge.kernels._cast import narrow
from mixmerge.kernels._choice import KINDS
from mixmerge.kernels._compile import bound, compiled
from mixmerge.kernels._layout import RULES, STRIP
from mixmerge.kernels._machine import borrowed
from mixmerge.kernels._prepare import PREPARE


def combine(x, n, count, low):
    """Stands in the driver for the rule."""
    raise NotImplementedError


def prepare(raw, start, first, count, low, level, tiles, words, nonfinite):
    """Stands in the driver for one of `PREPARE`."""
    raise NotImplementedError


def merge_block(raw, first, count, low, out, tiles, words, nonfinite):
    """Merge elements 0 .. count of the raw rows (int64 (n + 1,), an address each) into `out` (uint8).

    first: index in the tensor of the rows' first element, a multiple of 32. words: uint64 (TILE / 8,);
    tiles: float32 (n + 1 + SCRATCH, TILE); nonfinite: int64 (n + 2,), set to 1 where an input has NaN or infinity,
    and, in the last place, where the output has.
    Returns the sum of the signs elected, 0 for rules that elect none.
    """
    raw, low, out, tiles, words, nonfinite = borrowed((raw, low, out, tiles, words, nonfinite))
    n = len(low.weights)
    elected = np.int64(0)
    for start in range(0, count, STRIP):
        width = min(STRIP, count - start)
        prepare(raw, start, first + start, width, low, 3, tiles, words, nonfinite)
        elected += combine(tiles, n, width, low)
        if narrow(tiles[n + 1], low.out_code, start, width, out):
            nonfinite[n + 1] = 1
    return elected


MERGE_BLOCK: Mapping[tuple[str, str], Callable[..., int]] = {
    (rule, kind): compiled(
        bound(
            merge_block,
            f"merge_block_{rule}_{kind}",
            combine=getattr(_rules, f"rule_{rule}"),
            prepare=PREPARE[kind],
        )
    )
    for rule in RULES
    for kind in KINDS
}
