"""All compiled kernels under the names `load` expects."""

from __future__ import annotations

from mixmerge.kernels._compile import in_cache
from mixmerge.kernels._measure import (
    equal_block,
    equal_place,
    histogram_block,
    l1_block,
    magnitudes_block,
    survey_block,
)
from mixmerge.kernels._merge import MERGE_BLOCK

__all__ = [
    "MERGE_BLOCK",
    "equal_block",
    "equal_place",
    "histogram_block",
    "in_cache",
    "l1_block",
    "magnitudes_block",
    "survey_block",
]
