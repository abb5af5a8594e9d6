"""A tensor seen with other rows: its own in another order, those of other tensors, and means where there is none.

What is read is what a file would hold whose rows had been put so: every value has the tensor's own dtype. It knows
rows and bytes; why a row is where it is, and what it means, is others' business.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from mixmerge.checkpoint.dtypes import DType
from mixmerge.checkpoint.header import TensorSpan
from mixmerge.checkpoint.reader import Checkpoint

Numbers = npt.NDArray[np.int64]

OWN_MEAN: Final = -1
"""A choice: the mean of all rows of the tensor itself."""

OWNERS_MEAN: Final = -2
"""A choice: the mean of the row in every tensor that has one."""

ZEROS: Final = -3
"""A choice: zeros."""

SEEN_MEAN: Final = -4
"""A choice: the mean of the first rows as they are seen, as many as the view is told."""

STEP: Final = 65_536
"""Elements converted or added up at once."""

TRANSIENT: Final = STEP * 24
"""Bytes a thread may need on the way, beside a few rows."""


@final
class RowView:
    """One tensor with its rows as they are wanted.

    tensors: (checkpoint, span) of each that rows may come from; own: position of the one this is a view of. maps: for
    each, the row that stands for each wanted row, (rows,) int64, -1 where it has none. choice: for each wanted row the
    position of the tensor it is copied from, or OWN_MEAN, OWNERS_MEAN, ZEROS or SEEN_MEAN, (rows,) int16. seen: how
    many rows SEEN_MEAN is of; none of them is that mean itself.

    Means are taken in float64: of rows in order, STEP elements or one row at a time; rounded to float32, then to the
    dtype of the tensor. Rows of tensors of another dtype are rounded to it.
    """

    __slots__ = ("_choice", "_lock", "_maps", "_means", "_own", "_seen", "_span", "_tensors", "_width")

    def __init__(
        self,
        tensors: Sequence[tuple[Checkpoint, TensorSpan]],
        own: int,
        maps: Sequence[Numbers],
        choice: npt.NDArray[np.int16],
        seen: int = 0,
    ) -> None:
        assert not (choice[:seen] == SEEN_MEAN).any(), "a mean of rows is none of them"
        self._tensors = tuple(tensors)
        self._own = own
        self._span = self._tensors[own][1]
        self._width = math.prod(self._span.shape[1:])
        self._maps = tuple(maps)
        self._choice = choice
        self._seen = seen
        self._means: dict[int, npt.NDArray[np.uint8]] = {}
        self._lock = threading.RLock()  # a mean of rows seen may need the mean of the tensor's own

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor as it is seen."""
        return (len(self._choice), *self._span.shape[1:])

    @property
    def nbytes(self) -> int:
        """Size of the tensor as it is seen, in bytes."""
        return len(self._choice) * self._width * self._span.dtype.itemsize

    @property
    def held(self) -> int:
        """Bytes of memory for this view alone: its choices, two means at most, and the rows that taking one holds."""
        return self._choice.nbytes + 48 * self._width

    @property
    def mean_bytes(self) -> int:
        """Bytes read once for means of many rows."""
        own = self._span.nbytes if (self._choice == OWN_MEAN).any() else 0
        seen = self._seen * self._width * self._span.dtype.itemsize if (self._choice == SEEN_MEAN).any() else 0
        return own + seen

    def read_into(self, first: int, count: int, out: npt.NDArray[np.uint8]) -> None:
        """Elements `first` to `first + count` as raw bytes of the tensor's dtype; as `Checkpoint.read_into`.

        Rows that lie one after the other in one tensor are read with one call. Any thread, at any time.
        """
        if not count:
            return
        size, width = self._span.dtype.itemsize, self._width
        low, high = first // width, -(-(first + count) // width)
        for start, stop in self._runs(low, high):
            begin, end = max(first, start * width), min(first + count, stop * width)
            part = out[(begin - first) * size : (end - first) * size]
            self._read_run(start, begin - start * width, end - begin, part)

    def _runs(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """[start, stop) of runs of wanted rows that are read at once: neighbours in one tensor, or one mean."""
        choice = self._choice[low:high]
        source = np.full(high - low, -1, np.int64)
        for position, own in enumerate(self._maps):
            here = choice == position
            source[here] = own[low:high][here]
        follows = (choice[1:] == choice[:-1]) & (source[1:] == source[:-1] + 1)
        starts = [0, *(np.flatnonzero(~follows) + 1).tolist(), high - low]
        for start, stop in pairwise(starts):
            yield low + start, low + stop

    def _read_run(self, row: int, skip: int, count: int, out: npt.NDArray[np.uint8]) -> None:
        """`count` elements of a run that begins at a wanted row, from element `skip` of it on."""
        chosen = int(self._choice[row])
        if chosen >= 0:
            self._copy(chosen, int(self._maps[chosen][row]) * self._width + skip, count, out)
            return
        if chosen == ZEROS:
            out[:] = 0
            return
        whole = self._owners_mean(row) if chosen == OWNERS_MEAN else self._mean(chosen)
        size = self._span.dtype.itemsize
        out[:] = whole[skip * size : (skip + count) * size]

    def _copy(self, position: int, first: int, count: int, out: npt.NDArray[np.uint8]) -> None:
        model, span = self._tensors[position]
        dtype, size = self._span.dtype, self._span.dtype.itemsize
        if span.dtype == dtype:
            model.read_into(span, first, count, out)
            return
        for done in range(0, count, STEP):
            values = _read(model, span, first + done, min(STEP, count - done))
            out[done * size : (done + len(values)) * size] = _rounded(values, dtype)

    def _mean(self, kind: int) -> npt.NDArray[np.uint8]:
        """OWN_MEAN or SEEN_MEAN, computed once, by the first thread that asks."""
        with self._lock:
            if kind not in self._means:
                rows, total = self._seen if kind == SEEN_MEAN else self._span.shape[0], np.zeros(self._width)
                step = max(1, STEP // self._width)
                for row in range(0, rows, step):
                    first, count = row * self._width, min(step, rows - row) * self._width
                    values = self._as_seen(first, count) if kind == SEEN_MEAN else self._as_stored(first, count)
                    total += np.add.reduce(values.astype(np.float64).reshape(-1, self._width), axis=0)
                self._means[kind] = _rounded(total / max(rows, 1), self._span.dtype)
            return self._means[kind]

    def _as_stored(self, first: int, count: int) -> npt.NDArray[Any]:
        return _read(*self._tensors[self._own], first, count)

    def _as_seen(self, first: int, count: int) -> npt.NDArray[Any]:
        raw = np.empty(count * self._span.dtype.itemsize, np.uint8)
        self.read_into(first, count, raw)
        return raw.view(self._span.dtype.numpy)

    def _owners_mean(self, row: int) -> npt.NDArray[np.uint8]:
        total, owners = np.zeros(self._width), 0
        for (model, span), own in zip(self._tensors, self._maps, strict=True):
            if own[row] >= 0:
                total += _read(model, span, int(own[row]) * self._width, self._width).astype(np.float64)
                owners += 1
        return _rounded(total / owners, self._span.dtype)


def _read(model: Checkpoint, span: TensorSpan, first: int, count: int) -> npt.NDArray[Any]:
    raw = np.empty(count * span.dtype.itemsize, np.uint8)
    model.read_into(span, first, count, raw)
    return raw.view(span.dtype.numpy)


def _rounded(values: npt.NDArray[Any], dtype: DType) -> npt.NDArray[np.uint8]:
    """Raw bytes of values in a dtype."""
    with np.errstate(over="ignore"):  # infinity, which is told where it is read
        return values.astype(np.float32).astype(dtype.numpy).view(np.uint8)
