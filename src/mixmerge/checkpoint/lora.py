"""A LoRA adapter in front of a checkpoint: which tensors it changes, and the factors of each change.

A changed tensor is W + scale * (B @ A), never written anywhere: a reader adds it to the blocks it reads. It knows spans
and factors; who reads them, and from what configuration they come, is others' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixmerge.checkpoint.dtypes import DType
from mixmerge.checkpoint.header import TensorSpan
from mixmerge.checkpoint.lora_config import LoraConfig

if TYPE_CHECKING:
    from mixmerge.checkpoint.reader import Checkpoint, Origin

Factor = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's files, opened. label: how the recipe names it. tensors: as stored. origin, is_local: as of a
    Checkpoint."""

    label: str
    folder: Path
    files: tuple[Path, ...]
    config: LoraConfig
    tensors: Mapping[str, TensorSpan]
    origin: Origin | None = None
    is_local: bool = True


@dataclass(frozen=True, slots=True)
class LowRank:
    """The change of one tensor: scale * (B @ A). a: (rank, n), b: (m, rank). transposed: the tensor is stored as
    (n, m), as embeddings are. alpha: what the scale was made from."""

    a: TensorSpan
    b: TensorSpan
    scale: float
    alpha: float
    transposed: bool = False

    @property
    def rank(self) -> int:
        """Columns of B, rows of A."""
        return self.a.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of both factors as stored."""
        return self.a.nbytes + self.b.nbytes

    @property
    def held(self) -> int:
        """Bytes of both factors in memory, as float32."""
        return 4 * (self.a.count + self.b.count)

    @property
    def transient(self) -> int:
        """Bytes that reading them takes beside, at most: a factor as stored, widened, and turned."""
        return 12 * max(self.a.count, self.b.count)

    def factors(self, model: Checkpoint) -> tuple[Factor, Factor]:
        """(rows, rank) and (rank, columns) of the tensor as stored, float32, contiguous: their product is the change
        before it is scaled, since a product does not depend on the order of its two factors."""
        a, b = _read(model, self.a), _read(model, self.b)
        left, right = (a.T, b.T) if self.transposed else (b, a)
        return np.ascontiguousarray(left), np.ascontiguousarray(right)


def _read(model: Checkpoint, span: TensorSpan) -> Factor:
    raw = np.empty(span.nbytes, np.uint8)
    model.read_into(span, 0, span.count, raw)
    values: npt.NDArray[Any] = raw.view(span.dtype.numpy).reshape(span.shape)
    return values.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What an adapter does to one checkpoint. changes: by tensor. replaced: tensors that are the adapter's own instead
    (`modules_to_save`, trained biases), and the dtype each has in the checkpoint. notes: for the person."""

    adapter: Adapter
    changes: Mapping[str, LowRank]
    replaced: Mapping[str, DType]
    notes: tuple[str, ...]

    @property
    def factors(self) -> list[TensorSpan]:
        """Of all changes, as stored."""
        return [span for change in self.changes.values() for span in (change.a, change.b)]
