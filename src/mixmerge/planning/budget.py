"""Memory as a sum that is known before work starts, and the block size that keeps it under the person's budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final

from mixmerge import fileio
from mixmerge.checkpoint import TRANSIENT, DType
from mixmerge.errors import MemoryBudgetError, Problem
from mixmerge.fileio import PAGE, held_by
from mixmerge.kernels import CHUNK, SCRATCH, TILE
from mixmerge.planning.types import Budget, Step, changes
from mixmerge.planning.vocabulary import Found

MIB: Final = 2**20
BASELINE: Final = 280 * MIB
"""Interpreter, libraries, and the compiling of loops, which is most of it (the first merge with a method took up to
250 MiB, later ones 100), measured, with room to spare; a test holds peak RSS under the sum."""

DEFAULT_MEMORY: Final = 2**30
MAX_BLOCK: Final = 32 * CHUNK
"""Elements. With a quarter of it threads meet at the interpreter's lock so often that merges take a tenth longer."""

MAX_BINS: Final = 2**17
MIN_BINS: Final = 2**12
MAX_SAMPLE: Final = 2**22
"""Magnitudes sampled of each source to guess a threshold of the whole model; the guess is always verified."""

WRITERS: Final = 3
"""Threads that write a checkpoint, each a block: a disk is at its fastest with a few on their way."""

NO_TOKENS: Final = Found()
PER_STEP: Final = 6_000
"""Bytes of Python objects one planned tensor needs, generously."""

PER_INPUT: Final = 1_500
"""The same of each tensor it is made of: where it lies, what the record says of it."""

PARSED: Final = 26
"""Bytes of memory that reading a header takes, at most, for each of its bytes."""

PER_CHANGE: Final = 4_000
"""The same of what an adapter adds to one."""


def arena_shape(steps: Sequence[Step], block: int) -> tuple[int, int, int]:
    """One thread's buffers for blocks: input rows, bytes of a row, bytes of the output.

    What the loops do not read or write themselves is float32 there.
    """
    size = max((min(block, step.spec.count) for step in steps), default=0) or 1
    rows = max((len(step.all_inputs) for step in steps), default=1)
    widest = max((_wide(item.dtype) for step in steps for item in step.all_inputs), default=4)
    output = max((_wide(step.spec.dtype) for step in steps), default=4)
    return rows, -(-size * widest // 64) * 64, size * output


def _wide(dtype: DType) -> int:
    return max(dtype.itemsize, 4 if dtype.code > 2 else 0)


def buffer_bytes(steps: Sequence[Step], block: int) -> int:
    """Bytes one thread needs for blocks, conversion (a block as stored, and one rounded) and scratch."""
    rows, row, output = arena_shape(steps, block)
    return rows * held_by(row + PAGE) + row + 2 * output + (rows + 1 + SCRATCH) * TILE * 4


def writing_bytes(steps: Sequence[Step], block: int) -> int:
    """Bytes of a merged block on its way to the disk: there is one for each thread that merges, or that writes."""
    return held_by(arena_shape(steps, block)[2] + PAGE)


def factor_bytes(steps: Sequence[Step]) -> int:
    """Bytes one thread needs for the factors of adapters: those of one output tensor, and what reading them takes."""
    held = max((sum(change.held for change in changes([step])) for step in steps), default=0)
    return held + max((change.transient for change in changes(steps)), default=0)


def plan_bytes(steps: Sequence[Step]) -> int:
    """Bytes that the plan itself takes, and the reading of the longest header it was made from."""
    starts: dict[Path, int] = {}
    for step in steps:
        for item in step.all_inputs:
            starts[item.span.file] = min(item.span.offset, starts.get(item.span.file, item.span.offset))
    inputs = sum(len(step.all_inputs) for step in steps)
    reading = PARSED * max(starts.values(), default=0)
    return PER_STEP * len(steps) + PER_INPUT * inputs + PER_CHANGE * len(changes(steps)) + reading


def _row_bytes(steps: Sequence[Step], tokens: Found) -> tuple[int, int]:
    """Bytes that vocabularies in step take: in all, and on the way in each thread."""
    views = {id(item.rows): item.rows for step in steps for item in step.all_inputs if item.rows is not None}
    held = tokens.parsing + sum(view.held for view in views.values())
    if tokens.vocabulary is None:
        return held, 0
    return held + tokens.vocabulary.held, TRANSIENT + max((view.held for view in views.values()), default=0)


def plan_budget(
    steps: Sequence[Step],
    memory: int | None,
    threads: int | None,
    *,
    measures: bool,
    whole_model: bool,
    tokens: Found = NO_TOKENS,
) -> Budget:
    """Choose block, tables, sample and threads under a limit of `memory` bytes for the whole process.

    measures: whether histograms are taken; whole_model: whether over the whole model (with a sample before). tokens:
    what putting vocabularies in step takes.
    Raises MemoryBudgetError with the smallest budget that would do.
    """
    limit = DEFAULT_MEMORY if memory is None else memory
    sources = max((len(step.inputs) for step in steps), default=1)
    held, transient = _row_bytes(steps, tokens)
    fixed = BASELINE + plan_bytes(steps) + held
    factors = factor_bytes(steps)
    wanted = fileio.processors() if threads is None else threads
    last = each = 0
    for number in _fewer(wanted, fixed_by_person=threads is not None):
        for block, bins, sample in product(
            _smaller(MAX_BLOCK, CHUNK),
            _smaller(MAX_BINS, MIN_BINS) if measures else [0],
            _smaller(MAX_SAMPLE, CHUNK) if whole_model else [0],
        ):
            tables = (number + 2) * sources * bins * 8  # one a thread, and two while they are added up
            tables += 2 * sources * sample * 4
            block_bytes = writing_bytes(steps, block)
            each = buffer_bytes(steps, block) + transient + factors + block_bytes
            buffers = number * each + WRITERS * block_bytes
            last = fixed + tables + buffers
            if last <= limit:
                return Budget(number, block, bins, sample, fixed, buffers, tables, last)
    rule = "the work fits the memory budget"
    cure = f"give it {-(-last // MIB)} MiB"
    if threads is not None and threads > 1:
        cure += f", or say fewer --threads: {each / MIB:.1f} MiB are for each"
    raise MemoryBudgetError(Problem(rule, f"--memory {limit / MIB:.0f} MiB", "", cure))


def _fewer(threads: int, fixed_by_person: bool) -> Sequence[int]:
    return [threads] if fixed_by_person else _smaller(threads, 1)


def _smaller(largest: int, smallest: int) -> list[int]:
    sizes = [largest]
    while sizes[-1] // 2 >= smallest:
        sizes.append(sizes[-1] // 2)
    return sizes
