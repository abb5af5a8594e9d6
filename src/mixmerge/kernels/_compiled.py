"""All compiled kernels under the names `load` expects; they take the rows' addresses, whatever memory those are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from mixmerge.kernels import _measure
from mixmerge.kernels._compile import in_cache
from mixmerge.kernels._lowrank import add_low_rank
from mixmerge.kernels._merge import MERGE_BLOCK as _MERGE_BLOCK
from mixmerge.kernels._random import stay_block


def _over_rows(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel for rows that are uint8 arrays, each contiguous; they outlive the call, since the caller has them."""

    @wraps(kernel)
    def call(rows: Iterable[np.ndarray], *rest: Any) -> Any:
        return kernel(np.array([row.__array_interface__["data"][0] for row in rows], np.int64), *rest)

    return call


MERGE_BLOCK: Mapping[str, Callable[..., int]] = {rule: _over_rows(kernel) for rule, kernel in _MERGE_BLOCK.items()}
histogram_block = _over_rows(_measure.histogram_block)
survey_block = _over_rows(_measure.survey_block)
magnitudes_block = _over_rows(_measure.magnitudes_block)
equal_block = _over_rows(_measure.equal_block)
equal_place = _over_rows(_measure.equal_place)
settle_block = _over_rows(_measure.settle_block)
l1_block = _over_rows(_measure.l1_block)

__all__ = [
    "MERGE_BLOCK",
    "add_low_rank",
    "equal_block",
    "equal_place",
    "histogram_block",
    "in_cache",
    "l1_block",
    "magnitudes_block",
    "settle_block",
    "stay_block",
    "survey_block",
]
