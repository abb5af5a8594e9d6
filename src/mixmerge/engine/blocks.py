"""Blocks of elements through one thread's buffers: read, convert, hash, and hand to the loops.

An arena belongs to one thread and is as large as the plan said; nothing here allocates with the size of a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mixmerge.checkpoint import DType
from mixmerge.engine.fingerprint import chunk_digests
from mixmerge.engine.lowering import native
from mixmerge.errors import NonFiniteError, Problem
from mixmerge.kernels import SCRATCH, TILE
from mixmerge.plan import Input, Plan, Step

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Arena:
    """One thread's buffers. rows: (inputs, bytes) raw input blocks; tiles, kept, nonfinite: the loops' scratch."""

    def __init__(self, plan: Plan) -> None:
        block = plan.budget.block
        inputs = max((len(step.all_inputs) for step in plan.steps), default=1)
        largest = max((min(block, step.spec.count) for step in plan.steps), default=1)
        stride = max((_row_itemsize(step) for step in plan.steps), default=4) * largest
        self.rows = np.zeros((inputs, -(-max(stride, 64) // 64) * 64), np.uint8)
        self.out = np.zeros(max(largest, 1) * max((_out_itemsize(step) for step in plan.steps), default=4), np.uint8)
        self.tiles = np.zeros((inputs + 1 + SCRATCH, TILE), np.float32)
        self.kept = np.zeros(TILE, np.bool_)
        self.nonfinite = np.zeros(inputs + 1, np.int64)

    @property
    def scratch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The last three arguments of every kernel."""
        return self.tiles, self.kept, self.nonfinite


def _row_itemsize(step: Step) -> int:
    return max(max(i.span.dtype.itemsize, 4 if not native(i.span.dtype) else 0) for i in step.all_inputs)


def _out_itemsize(step: Step) -> int:
    return max(step.spec.dtype.itemsize, 4 if not native(step.spec.dtype) else 0)


def pieces(step: Step, block: int) -> Iterator[tuple[int, int]]:
    """(first element, elements) of each block of a tensor, in order."""
    for first in range(0, step.spec.count, block):
        yield first, min(block, step.spec.count - first)


def read(plan: Plan, step: Step, first: int, count: int, arena: Arena, *, hashed: bool) -> list[bytes]:
    """Fill the arena's rows with a block of every input, sources first. hashed: the chunk digests of each."""
    digests = []
    for row, item in zip(arena.rows, step.all_inputs, strict=False):
        digest = _read_input(plan, item, first, count, row, hashed=hashed)
        digests.append(digest)
    return digests


def _read_input(plan: Plan, item: Input, first: int, count: int, row: Bytes, *, hashed: bool) -> bytes:
    dtype = item.span.dtype
    size = count * dtype.itemsize
    raw = row[:size] if native(dtype) or dtype.kind != "float" else np.empty(size, np.uint8)
    plan.models[item.model].read_into(item.span, first, count, raw)
    digest = chunk_digests(raw, dtype.itemsize) if hashed else b""
    if raw.base is None:
        row[: count * 4].view(np.float32)[:] = raw.view(dtype.numpy)
    return digest


def finished_bytes(out: Bytes, dtype: DType, count: int) -> Bytes:
    """The output block's bytes in their dtype; rounded here where the loops left float32."""
    if native(dtype):
        return out[: count * dtype.itemsize]
    with np.errstate(over="ignore"):
        return out[: count * 4].view(np.float32).astype(dtype.numpy).view(np.uint8)


def refuse_nonfinite(plan: Plan, step: Step, nonfinite: np.ndarray) -> None:
    """Raise NonFiniteError for the first input the loops flagged, unless the person allowed it; clears the flags."""
    inputs = step.all_inputs
    flagged = [inputs[k] for k in range(len(inputs)) if nonfinite[k]]
    nonfinite[:] = 0
    if flagged and not plan.allow_nonfinite:
        place = f"model {plan.models[flagged[0].model].label}, tensor {flagged[0].span.name}"
        cure = "repair the model, or go on with --allow-nonfinite"
        raise NonFiniteError(Problem("every weight is a finite number", "NaN or infinity", place, cure))
