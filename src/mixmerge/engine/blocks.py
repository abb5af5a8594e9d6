"""Blocks of elements through one thread's buffers: read, convert, hash, and hand to the loops.

An arena belongs to one thread and is as large as the plan said; nothing here allocates with the size of a model. Where
files are mapped, a block of one is looked at in its place, and the buffer stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from mixmerge.checkpoint import DType
from mixmerge.engine.adapting import HeldFactors, add_change
from mixmerge.engine.fingerprint import chunk_digests
from mixmerge.engine.lowering import native
from mixmerge.engine.mapped import MappedFiles
from mixmerge.errors import NonFiniteError, Problem
from mixmerge.fileio import PAGE, page_buffer
from mixmerge.kernels import CHUNK, SCRATCH, TILE, Kernels
from mixmerge.planning import Input, Plan, Step, arena_shape

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


IN_PLACE: Final = 64 * CHUNK
"""Elements of a block that needs no buffer: few enough to share out, many enough for Python to be out of the way."""


_LINE: Final = 64  # bytes; the loops ask for less


class Arena:
    """One thread's buffers.

    rows: raw input blocks, a page more each than what is used at once. raw: what the loops look at, one row an input:
    those, or memory of `files`, of mapped files. held: factors of adapters. tiles, words, nonfinite: the loops'
    scratch.
    """

    def __init__(self, plan: Plan, files: MappedFiles | None = None) -> None:
        inputs, row, out = arena_shape(plan.steps, plan.budget.block)
        self.rows = [page_buffer(row + PAGE) for _ in range(inputs)]
        self._steps: list[dict[int, Bytes]] = [{} for _ in self.rows]
        self.raw: list[Bytes] = list(self.rows)
        self.files = files
        self.held = HeldFactors()
        self.out = np.zeros(out, np.uint8)
        self.tiles = np.zeros((inputs + 1 + SCRATCH, TILE), np.float32)
        self.words = np.zeros(TILE // 8, np.uint64)
        self.nonfinite = np.zeros(inputs + 2, np.int64)

    def row(self, k: int, offset: int) -> Bytes:
        """The buffer of input k, for what is read from `offset` of a file on: in step with the file's pages.

        Some processors (AMD's Zen 3) copy six times slower to a few bytes further behind the beginning of a page.
        """
        start = offset % PAGE // _LINE * _LINE
        if start not in self._steps[k]:
            self._steps[k] = {start: self.rows[k][start : self.rows[k].size - PAGE + start]}
        return self._steps[k][start]

    @property
    def scratch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The last three arguments of every kernel."""
        return self.tiles, self.words, self.nonfinite


def in_place(plan: Plan, step: Step, files: MappedFiles | None) -> bool:
    """Whether the loops look at every input where its file is mapped, so that no buffer bounds a block."""
    inputs = step.all_inputs
    return files is not None and all(
        item.change is None and native(item.span.dtype) and files.row(plan, item, 0, step.spec.count) is not None
        for item in inputs
    )


def pieces(step: Step, block: int) -> Iterator[tuple[int, int]]:
    """(first element, elements) of each block of a tensor, in order."""
    for first in range(0, step.spec.count, block):
        yield first, min(block, step.spec.count - first)


def read(
    plan: Plan,
    step: Step,
    first: int,
    count: int,
    arena: Arena,
    kernels: Kernels,
    *,
    hashed: bool,
    stored: bool = False,
) -> list[bytes]:
    """Have a block of every input in `arena.raw`, sources first. hashed: the chunk digests of each.

    stored: leave bytes as they are; else dtypes the loops do not read become float32. What an adapter changes always
    does; its digests are of the bytes before.
    """
    digests = []
    for k, item in enumerate(step.all_inputs):
        dtype, row = item.span.dtype, arena.row(k, item.span.offset)
        direct = item.change is None and (stored or native(dtype) or dtype.kind != "float")
        found = _stored(plan, item, first, count, arena.files, row if direct else None)
        digests.append(chunk_digests(found, dtype.itemsize) if hashed else b"")
        if not direct:
            values = row[: count * 4].view(np.float32)
            with np.errstate(over="ignore"):  # told as infinity by the loops
                values[:] = found.view(dtype.numpy)
            if item.change is not None:
                add_change(plan, step, item, first, values, arena.held, kernels, arena.tiles[0])
        mapped = direct and found.base is not row.base
        arena.raw[k] = found if mapped else row  # all of the buffer: it is the same array for every block
    return digests


def _stored(plan: Plan, item: Input, first: int, count: int, files: MappedFiles | None, buffer: Bytes | None) -> Bytes:
    """The bytes of a block as a model has them: in its mapped file, else read, into the buffer if there is one."""
    mapped = None if files is None else files.row(plan, item, first, count)
    if mapped is not None:
        return mapped
    size = count * item.span.dtype.itemsize
    raw = np.empty(size, np.uint8) if buffer is None else buffer[:size]
    if item.rows is None:
        plan.models[item.model].read_into(item.span, first, count, raw)
    else:
        item.rows.read_into(first, count, raw)
    return raw


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
        raise nonfinite_error(plan, flagged[0])


def nonfinite_error(plan: Plan, item: Input) -> NonFiniteError:
    """The error that names the model and the tensor with NaN or infinity in it."""
    place = f"model {plan.models[item.model].label}, tensor {item.span.name}"
    cure = "repair the model, or go on with --allow-nonfinite"
    return NonFiniteError(Problem("every weight is a finite number", "NaN or infinity", place, cure))
