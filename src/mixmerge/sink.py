"""Where merged blocks go: files of a checkpoint on disk, or the parameters of a model that is live in memory.

A sink takes finished bytes at known places from any thread. It knows no methods and no torch: a live model is handed
in as numpy views of its parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from mixmerge.checkpoint import CheckpointWriter, DType
from mixmerge.errors import PlanError, Problem

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Sink(ABC):
    """Receives blocks of output tensors."""

    @abstractmethod
    def write(self, name: str, first: int, dtype: DType, data: Bytes) -> None:
        """Take elements of tensor `name` from element `first` on, as raw bytes of dtype. From any thread."""

    def place(self, name: str, first: int, count: int, dtype: DType) -> Bytes | None:
        """Memory where finished bytes of these elements may be put instead of calling `write`; None: call it.

        What is there counts once the pass has ended without an error. From any thread.
        """
        return None


@final
class CheckpointSink(Sink):
    """Blocks go to their places in preallocated files."""

    def __init__(self, writer: CheckpointWriter) -> None:
        self._writer = writer

    def write(self, name: str, first: int, dtype: DType, data: Bytes) -> None:
        self._writer.write(name, first, data)


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

    def write(self, name: str, first: int, dtype: DType, data: Bytes) -> None:
        live = self._tensors[name]
        values = data.view(dtype.numpy)
        place = live.data[first : first + values.size]
        if live.dtype == dtype:
            place.view(np.uint8)[:] = data
        else:
            place[:] = values

    def place(self, name: str, first: int, count: int, dtype: DType) -> Bytes | None:
        live = self._tensors[name]
        return live.data[first : first + count].view(np.uint8) if live.dtype == dtype else None

    def check(self, wanted: Mapping[str, tuple[int, ...]]) -> None:
        """Raise PlanError unless the live model has exactly these tensors, of these sizes. wanted: name -> shape."""
        sizes = {name: math.prod(shape) for name, shape in wanted.items()}
        have = {name: live.data.size for name, live in self._tensors.items()}
        differing = sorted(name for name in sizes.keys() | have.keys() if sizes.get(name) != have.get(name))
        if differing:
            found = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
            rule, cure = "the live model has the tensors of the merge", "evaluate the merge from a written checkpoint"
            raise PlanError(Problem(rule, f"differing: {found}", "live model", cure))
