"""The combining rules as compiled loops over one tile; `reference.py` defines the same rules in numpy.

Each takes x: float32 (rows, tile), the sources in rows 0 .. n - 1 (weights or task vectors, sparsified where the
method says so) and the base in row n; writes row n + 1; may use the three rows after that as scratch. Returns the sum
of the signs it elected, 0 for rules that elect none.
"""

from __future__ import annotations

import numpy as np

from mixmerge.kernels._compile import merged, part

_ZERO, _ONE = np.float32(0), np.float32(1)


@merged
def _weighted_sum(x, n, count, low, out):
    weight, row = low.weights[0], x[0]
    if n == 1:
        for i in range(count):
            out[i] = weight * row[i]
    else:
        second, other = low.weights[1], x[1]
        for i in range(count):
            out[i] = weight * row[i] + second * other[i]
    for k in range(2, n):
        weight, row = low.weights[k], x[k]
        for i in range(count):
            out[i] = out[i] + weight * row[i]
    divisor = low.divisor
    if divisor != _ONE:
        for i in range(count):
            out[i] = out[i] / divisor


@part
def _onto_base(base, scale, count, out):
    for i in range(count):
        out[i] = base[i] + scale * out[i]


@part
def total(x, n, count, out):
    """Unweighted sum of the sources' rows, in their order."""
    row = x[0]
    if n == 1:
        for i in range(count):
            out[i] = row[i]
    else:
        other = x[1]
        for i in range(count):
            out[i] = row[i] + other[i]
    for k in range(2, n):
        row = x[k]
        for i in range(count):
            out[i] = out[i] + row[i]


@part
def sum_of_signs(row, count):
    """How many elements are positive, less how many are negative."""
    signs = np.int32(0)
    for i in range(count):
        signs = np.int32(signs + np.int32(np.int32(row[i] > _ZERO) - np.int32(row[i] < _ZERO)))
    return np.int64(signs)


@part
def elect(x, n, count, majority, sign):
    """sign[i]: 1, -1 or, where the sum is zero, the majority sign of the whole model. Returns the sum without those."""
    sums = x[n + 1]
    total(x, n, count, sums)
    for i in range(count):
        value = sums[i]
        sign[i] = _ONE if value > _ZERO else (-_ONE if value < _ZERO else majority)
    return sum_of_signs(sums, count)


@merged
def rule_sum(x, n, count, low):
    _weighted_sum(x, n, count, low, x[n + 1])
    return np.int64(0)


@merged
def rule_delta_sum(x, n, count, low):
    _weighted_sum(x, n, count, low, x[n + 1])
    _onto_base(x[n], low.scale, count, x[n + 1])
    return np.int64(0)


@part
def _survivors(x, n, count, sign, sums, number):
    """sums: of the agreeing task vectors, in source order; number: how many agree."""
    first, second = x[0], x[min(1, n - 1)]
    if n == 2:
        for i in range(count):
            a = first[i] if first[i] * sign[i] > _ZERO else _ZERO
            b = second[i] if second[i] * sign[i] > _ZERO else _ZERO
            sums[i] = a + b
        for i in range(count):
            both = (first[i] * sign[i] > _ZERO) & (second[i] * sign[i] > _ZERO)
            number[i] = np.float32(2) if both else _ONE
        return
    for i in range(count):
        sums[i] = _ZERO
        number[i] = _ZERO
    for k in range(n):
        row = x[k]
        for i in range(count):
            sums[i] = sums[i] + (row[i] if row[i] * sign[i] > _ZERO else _ZERO)
        for i in range(count):
            number[i] = number[i] + (_ONE if row[i] * sign[i] > _ZERO else _ZERO)


@merged
def rule_elect_mean(x, n, count, low):
    out, sign, number = x[n + 1], x[n + 2], x[n + 3]
    elected = elect(x, n, count, low.majority, sign)
    _survivors(x, n, count, sign, out, number)
    for i in range(count):
        out[i] = out[i] / (number[i] if number[i] > _ONE else _ONE)
    _onto_base(x[n], low.scale, count, out)
    return elected


@merged
def rule_elect_mix_pair(x, n, count, low):
    """The paper's main case in one loop. Of two numbers of unlike sign the larger has the sign of the sum and stays
    alone; where they cancel, the one with the majority's sign stays. Trimming left no NaN in the rows."""
    out, sums, majority = x[n + 1], x[n + 2], low.majority
    first, second, base, w0, w1, scale = x[0], x[1], x[n], low.weights[0], low.weights[1], low.scale
    for i in range(count):
        a, b = first[i], second[i]
        value = np.float32(a + b)
        sums[i] = value
        size = abs(a)
        undecided = size if majority > _ZERO else (-size if majority < _ZERO else _ZERO)
        lone = a if size > abs(b) else b
        lone = lone if (value > _ZERO) | (value < _ZERO) else undecided
        alike = (min(a, b) > _ZERO) | (max(a, b) < _ZERO)
        mixed = np.float32(w0 * a) + np.float32(w1 * b)
        out[i] = base[i] + scale * ((mixed if alike else lone) + _ZERO)
    return sum_of_signs(sums, count)


@merged
def _weighted_agreement(x, n, count, low, sign, sums, weight):
    """sums: of w_k d_k over the sources whose w_k d_k has the sign; weight: of their w_k."""
    for i in range(count):
        sums[i] = _ZERO
        weight[i] = _ZERO
    for k in range(n):
        row, w = x[k], low.weights[k]
        for i in range(count):
            value = w * row[i]
            sums[i] = sums[i] + (value if value * sign[i] > _ZERO else _ZERO)
        for i in range(count):
            weight[i] = weight[i] + (w if w * row[i] * sign[i] > _ZERO else _ZERO)


@merged
def rule_elect_mix(x, n, count, low):
    out, sign, weight = x[n + 1], x[n + 2], x[n + 3]
    elected = elect(x, n, count, low.majority, sign)
    _weighted_agreement(x, n, count, low, sign, out, weight)
    for i in range(count):
        out[i] = out[i] / (weight[i] if weight[i] > _ZERO else _ONE)
    _onto_base(x[n], low.scale, count, out)
    return elected


@merged
def _consensus(x, n, count, low):
    sums, sign, weight = x[n + 1], x[n + 2], x[n + 3]
    first, w = x[0], low.weights[0]
    for i in range(count):
        sums[i] = w * first[i]
    for k in range(1, n):
        row, w = x[k], low.weights[k]
        for i in range(count):
            sums[i] = sums[i] + w * row[i]
    for i in range(count):
        sign[i] = _ONE if sums[i] >= _ZERO else -_ONE
    _weighted_agreement(x, n, count, low, sign, sums, weight)


@merged
def rule_consensus(x, n, count, low):
    _consensus(x, n, count, low)
    _onto_base(x[n], low.scale, count, x[n + 1])
    return np.int64(0)


@merged
def rule_consensus_normalized(x, n, count, low):
    _consensus(x, n, count, low)
    out, weight = x[n + 1], x[n + 3]
    for i in range(count):
        out[i] = out[i] / (weight[i] if weight[i] != _ZERO else _ONE)
    _onto_base(x[n], low.scale, count, out)
    return np.int64(0)
