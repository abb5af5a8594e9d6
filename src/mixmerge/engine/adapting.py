"""Changes of LoRA adapters, added to blocks on their way in. What they change is never held, let alone written.

The factors of one output tensor are kept as long as a thread works on it. It knows inputs and factors; no methods.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from mixmerge.engine.compiling import have_ready
from mixmerge.engine.events import Listener
from mixmerge.kernels import TILE, Kernels
from mixmerge.planning import Input, Plan, Step

Values = np.ndarray[Any, np.dtype[np.float32]]


@final
class HeldFactors:
    """One thread's factors: of the inputs of the output tensor it works on."""

    __slots__ = ("_found", "_plan", "_step")

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._step: Step | None = None
        self._found: dict[tuple[int, str], tuple[Values, Values]] = {}

    def of(self, plan: Plan, step: Step, item: Input) -> tuple[Values, Values]:
        """(rows, rank) and (rank, columns) of one input's change."""
        assert item.change is not None, "an input that an adapter changes"
        if self._plan is not plan or self._step is not step:
            self._plan, self._step, self._found = plan, step, {}
        key = (item.model, item.span.name)
        if key not in self._found:
            self._found[key] = item.change.factors(plan.models[item.model])
        return self._found[key]


def add_change(
    plan: Plan, step: Step, item: Input, first: int, values: Values, held: HeldFactors, kernels: Kernels, total: Values
) -> None:
    """Turn elements of a stored tensor, from `first` on, into those its adapter makes of them, in place.

    values: float32. total: float32 (TILE,), scratch.
    """
    assert item.change is not None, "an input that an adapter changes"
    left, right = held.of(plan, step, item)
    kernels.add_low_rank(values, first, left, right, np.float32(item.change.scale), total)


def compile_changes(kernels: Kernels, listen: Listener) -> None:
    """Have the loop ready, by a call with next to nothing."""
    one, total = np.zeros((1, 1), np.float32), np.zeros(TILE, np.float32)
    have_ready(kernels, listen, kernels.add_low_rank, np.zeros(0, np.float32), 0, one, one, np.float32(1), total)
