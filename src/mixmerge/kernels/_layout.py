"""What a kernel is told of one tensor, and the sizes all kernels agree on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CHUNK = 65_536
"""Elements of the fixed chunks over which sums and fingerprints run, whatever the block size."""

TILE = 2_048
"""Elements a row of scratch holds, and over which L1 norms are summed before they are added to a chunk's."""

STRIP = 1_024
"""Elements that go through all steps of a kernel at once: sources, base and result stay in a first-level cache."""

LANES = 16
"""Interleaved partial sums inside a chunk; fixed, so that a sum has one value."""

SCRATCH = 4
"""Float32 rows of scratch a kernel needs beside one a source and one for the base."""

REFUSED = -(2**40)
"""A loop's answer instead of the sum of signs: it met what is not its, and nothing that it wrote counts."""

RULES = ("sum", "delta_sum", "elect_mean", "elect_mix_pair", "elect_mix", "consensus", "consensus_normalized")

DARE_NONE, DARE_RANDOM, DARE_MAGNITUDE = 0, 1, 2
SPARSE_NONE, SPARSE_TRIM, SPARSE_BERNOULLI = 0, 1, 2


class Lowered(NamedTuple):
    """One tensor's merge as numbers. n is the number of sources; row n of the inputs is the base.

    codes: int64 (n + 1,), 0 F32, 1 F16, 2 BF16, -1 not there. delta: 1 when the rule sees task vectors.
    dare: DARE_*; dare_weight: 1 masks the weights themselves; dare_drop: an element whose 32-bit number is below it
    goes; dare_divisor: kept elements are divided by it (1: not); dare_limits: float32 (n,), magnitudes at or below
    go. keys: uint64 (n, 2), the streams of the masks; stays: int64 (n,), the address of each source's mask of the whole
    tensor as `stay_block` gives it, 0 where it is made anew; settled: 1 where those masks are `settle_block`'s. sparse:
    SPARSE_*; limits: float32 (n,), magnitudes above stay, those equal stay up to element cuts: int64 (n,); keeps:
    uint64 (n,), numbers below go; factors: float32 (n,), of what stays. weights: float32 (n,); divisor, scale,
    majority: float32 scalars. out_code: dtype code of the output.
    """

    codes: np.ndarray
    delta: int
    dare: int
    dare_weight: int
    dare_drop: np.uint64
    dare_divisor: np.float32
    dare_limits: np.ndarray
    keys: np.ndarray
    stays: np.ndarray
    settled: int
    sparse: int
    limits: np.ndarray
    cuts: np.ndarray
    keeps: np.ndarray
    factors: np.ndarray
    weights: np.ndarray
    divisor: np.float32
    scale: np.float32
    majority: np.float32
    out_code: int
