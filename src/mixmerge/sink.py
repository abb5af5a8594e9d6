"""Where merged blocks go: files of a checkpoint on disk, or the parameters of a model that is live in memory.

A sink takes finished bytes at known places from any thread. It knows no methods and no torch: a live model is handed
in as numpy views of its parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from mixmerge import fileio
from mixmerge.checkpoint import CheckpointWriter, DType
from mixmerge.errors import PlanError, Problem
from mixmerge.planning import WRITERS

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


Then = Callable[[], None]


def nothing() -> None:
    """What follows on a block, where nothing does."""


class Sink(ABC):
    """Receives blocks of output tensors, from any thread.

    then: called once a block is where it belongs, by whatever thread brought it there.
    """

    @abstractmethod
    def write(self, name: str, first: int, dtype: DType, data: Bytes, then: Then = nothing) -> None:
        """Take elements of tensor `name` from element `first` on, as raw bytes of dtype: copied, if kept."""

    def holds(self, name: str, dtype: DType) -> bool:
        """Whether the whole tensor is in memory here, so that no buffer bounds what `place` gives."""
        return False

    def place(self, name: str, first: int, count: int, dtype: DType) -> Bytes | None:
        """Memory for the finished bytes of these elements, the caller's until `placed`; None: `write` them."""
        return None

    def placed(self, name: str, first: int, data: Bytes, then: Then = nothing) -> None:
        """All of the memory that `place` gave is filled."""
        then()

    @abstractmethod
    def settle(self) -> None:
        """Wait until all that was taken is where it belongs. No thread is at it. Raises what kept it from that."""


@final
class CheckpointSink(Sink):
    """Blocks go to their places in preallocated files.

    Where those are written past the system's cache, threads of its own do that, and who merges does not wait for the
    disk: there are as many buffers as the plan counts, and where all are on their way, `place` and `write` wait for
    one. They, `placed` and `settle` raise the first error of writing, or of `then`. A context manager: at its end no
    thread is left.
    """

    def __init__(self, writer: CheckpointWriter, size: int, threads: int) -> None:
        """size: bytes of a block, at most. threads: that merge."""
        self._writer = writer
        self._queue: SimpleQueue[tuple[str, int, Bytes, Then] | None] = SimpleQueue()
        self._writers = [Thread(target=self._serve, name="mixmerge-writer") for _ in range(WRITERS * writer.direct)]
        self._number = threads + len(self._writers)
        self._free: SimpleQueue[Bytes] = SimpleQueue()
        for _ in range(self._number):
            self._free.put(fileio.page_buffer(size + fileio.PAGE))
        self._lent: dict[int, Bytes] = {}
        self._error: BaseException | None = None

    def write(self, name: str, first: int, dtype: DType, data: Bytes, then: Then = nothing) -> None:
        place = self.place(name, first, data.size // dtype.itemsize, dtype)
        place[:] = data
        self.placed(name, first, place, then)

    def place(self, name: str, first: int, count: int, dtype: DType) -> Bytes:
        """In step with the pages of the file, so that it is written without being copied."""
        self._raise()
        buffer = self._free.get()
        start = self._writer.place(name, first) % fileio.PAGE
        place = buffer[start : start + count * dtype.itemsize]
        self._lent[fileio.address_of(place)] = buffer
        return place

    def placed(self, name: str, first: int, data: Bytes, then: Then = nothing) -> None:
        if self._writers:
            self._queue.put((name, first, data, then))
        else:
            self._write(name, first, data, then)
            self._raise()

    def _serve(self) -> None:
        while (block := self._queue.get()) is not None:
            self._write(*block)

    def _write(self, name: str, first: int, data: Bytes, then: Then) -> None:
        try:
            if self._error is None:
                self._writer.write(name, first, data)
                then()
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._free.put(self._lent.pop(fileio.address_of(data)))

    def settle(self) -> None:
        """All buffers are free again, and no page waits for more."""
        for buffer in [self._free.get() for _ in range(self._number)]:
            self._free.put(buffer)
        self._raise()
        self._writer.settle()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        try:
            for thread in self._writers:
                thread.start()
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """No thread is left, however often Control-C is typed. error: why what is still queued need not be written."""
        self._error = self._error or error
        for _ in self._writers:
            self._queue.put(None)
        again = None
        for thread in self._writers:
            while thread.is_alive():
                try:
                    thread.join()
                except KeyboardInterrupt as interrupt:
                    again = interrupt
        if again is not None:
            raise again


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A parameter's memory. data: flat, of the parameter's dtype. dtype: what the parameter computes in."""

    data: np.ndarray[Any, Any]
    dtype: DType


@final
class LiveSink(Sink):
    """Blocks go into a model in memory: as they would be on disk, then widened if the model is wider."""

    def __init__(self, tensors: Mapping[str, LiveTensor]) -> None:
        self._tensors = tensors

    def write(self, name: str, first: int, dtype: DType, data: Bytes, then: Then = nothing) -> None:
        live = self._tensors[name]
        values = data.view(dtype.numpy)
        place = live.data[first : first + values.size]
        if live.dtype == dtype:
            place.view(np.uint8)[:] = data
        else:
            place[:] = values
        then()

    def holds(self, name: str, dtype: DType) -> bool:
        return self._tensors[name].dtype == dtype

    def place(self, name: str, first: int, count: int, dtype: DType) -> Bytes | None:
        """The parameter itself, unless it is wider."""
        return self._tensors[name].data[first : first + count].view(np.uint8) if self.holds(name, dtype) else None

    def settle(self) -> None:
        """Nothing is on its way."""

    def check(self, wanted: Mapping[str, tuple[int, ...]]) -> None:
        """Raise PlanError unless the live model has exactly these tensors, of these sizes. wanted: name -> shape."""
        sizes = {name: math.prod(shape) for name, shape in wanted.items()}
        have = {name: live.data.size for name, live in self._tensors.items()}
        differing = sorted(name for name in sizes.keys() | have.keys() if sizes.get(name) != have.get(name))
        if differing:
            found = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
            rule, cure = "the live model has the tensors of the merge", "evaluate the merge from a written checkpoint"
            raise PlanError(Problem(rule, f"differing: {found}", "live model", cure))
