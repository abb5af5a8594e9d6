"""Adding a low-rank change to a block: W + scale * (left @ right), element by element in one fixed order.

The sum over the rank runs from its first term to its last, each product and each sum rounded to float32, so the value
of an element does not depend on the block it is computed in.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import compiled, part
from mixmerge.kernels._layout import TILE
from mixmerge.kernels._machine import borrowed


@part
def _products(left, row, right, column, count, total):
    """total[j] = sum over k of left[row, k] * right[k, column + j]; four terms of it a loop, in their order."""
    rank = left.shape[1]
    for j in range(count):
        total[j] = np.float32(0)
    k = 0
    while k + 4 <= rank:
        a, b, c, d = left[row, k], left[row, k + 1], left[row, k + 2], left[row, k + 3]
        first, second = right[k, column : column + count], right[k + 1, column : column + count]
        third, fourth = right[k + 2, column : column + count], right[k + 3, column : column + count]
        for j in range(count):
            total[j] = (((total[j] + a * first[j]) + b * second[j]) + c * third[j]) + d * fourth[j]
        k += 4
    while k < rank:
        a, first = left[row, k], right[k, column : column + count]
        for j in range(count):
            total[j] = total[j] + a * first[j]
        k += 1


@compiled
def add_low_rank(values, first, left, right, scale, total):
    """Add scale * (left @ right) to float32 elements first .. first + len(values) of a matrix, in place.

    left: float32 (rows, rank), right: float32 (rank, columns), both contiguous. scale: float32. total: float32 (TILE,),
    scratch.
    """
    values, left, right, total = borrowed((values, left, right, total))
    columns = right.shape[1]
    done = 0
    while done < len(values):
        row = (first + done) // columns
        column = first + done - row * columns
        count = min(columns - column, len(values) - done, TILE)
        _products(left, row, right, column, count, total)
        part_of = values[done : done + count]
        for j in range(count):
            part_of[j] = part_of[j] + scale * total[j]
        done += count
