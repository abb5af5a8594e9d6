"""Memory as a sum that is known before work starts, and the block size that keeps it under the person's budget."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from mixmerge.errors import MemoryBudgetError, Problem
from mixmerge.kernels import CHUNK, SCRATCH, TILE
from mixmerge.plan.types import Budget, Step

MIB: Final = 2**20
BASELINE: Final = 260 * MIB
"""Interpreter, libraries and compiled code, measured, with room to spare; a test holds peak RSS under the projection."""

DEFAULT_MEMORY: Final = 2**30
MAX_BLOCK: Final = 8 * CHUNK
MAX_BINS: Final = 2**17
MIN_BINS: Final = 2**12
SAMPLE: Final = 2**22
"""Magnitudes sampled of each source to guess a threshold of the whole model; the guess is always verified."""

PER_STEP: Final = 6_000
"""Bytes of Python objects one planned tensor needs, generously."""


def sample_size(memory: int, sources: int) -> int:
    """How many magnitudes of each source are held at once while a threshold is guessed."""
    return max(CHUNK, min(SAMPLE, memory // (16 * 4 * max(sources, 1)) // CHUNK * CHUNK))


def row_bytes(step: Step, block: int) -> int:
    """Bytes of one input row of a block: the widest input, float32 for what has to be converted on the way in."""
    widest = max(max(item.span.dtype.itemsize, 4 if item.span.dtype.code > 2 else 0) for item in step.all_inputs)
    return -(-block * widest // 64) * 64


def buffer_bytes(steps: Sequence[Step], block: int) -> int:
    """Bytes one thread needs for blocks, conversion and scratch."""
    needed = 0
    for step in steps:
        size = min(block, max(step.spec.count, 1))
        rows = len(step.all_inputs)
        output = max(step.spec.dtype.itemsize, 4) * size
        scratch = (rows + 1 + SCRATCH) * TILE * 4
        needed = max(needed, rows * row_bytes(step, size) + 2 * output + 8 * size * _converts(step) + scratch)
    return needed


def _converts(step: Step) -> bool:
    return any(item.span.dtype.code > 2 for item in step.all_inputs) or step.spec.dtype.code > 2


def plan_budget(
    steps: Sequence[Step], memory: int | None, threads: int | None, *, measures: bool, whole_model: bool
) -> Budget:
    """Choose block size, table size and threads under a limit of `memory` bytes for the whole process.

    measures: whether histograms are taken; whole_model: whether over the whole model (with a sample before).
    Raises MemoryBudgetError with the smallest budget that would do.
    """
    limit = DEFAULT_MEMORY if memory is None else memory
    sources = max((len(step.inputs) for step in steps), default=1)
    fixed = BASELINE + PER_STEP * len(steps)
    wanted = (os.cpu_count() or 1) if threads is None else threads
    last = 0
    for number in _fewer(wanted, fixed_by_person=threads is not None):
        for block in _smaller(MAX_BLOCK, CHUNK):
            for bins in _smaller(MAX_BINS, MIN_BINS) if measures else (0,):
                tables = number * sources * bins * 8
                tables += sample_size(limit, sources) * sources * 4 * 2 if whole_model else 0
                buffers = number * buffer_bytes(steps, block)
                last = fixed + tables + buffers
                if last <= limit:
                    return Budget(number, block, bins, fixed, buffers, tables, last)
    rule = "the work fits the memory budget"
    raise MemoryBudgetError(Problem(rule, f"--memory {limit / MIB:.0f} MiB", "", f"give it {-(-last // MIB)} MiB"))


def _fewer(threads: int, fixed_by_person: bool) -> Sequence[int]:
    return [threads] if fixed_by_person else _smaller(threads, 1)


def _smaller(largest: int, smallest: int) -> list[int]:
    sizes = [largest]
    while sizes[-1] // 2 >= smallest:
        sizes.append(sizes[-1] // 2)
    return sizes
