"""All compiled kernels under the names `load` expects; they take the rows' addresses, whatever memory those are in."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mixmerge.kernels._layout import RULES
from mixmerge.kernels._loop import Loop


class OverRows(Loop):
    """A loop for rows that are uint8 arrays, each contiguous; they outlive the call, since the caller has them."""

    def __call__(self, rows: Iterable[np.ndarray], *rest: Any) -> Any:
        return super().__call__(np.array([row.__array_interface__["data"][0] for row in rows], np.int64), *rest)


def _module(name: str) -> Any:
    return importlib.import_module(f"mixmerge.kernels.{name}")


def _measuring(name: str) -> OverRows:
    return OverRows(name, lambda: getattr(_module("_measure"), name))


def _merging(rule: str) -> OverRows:
    return OverRows(f"merge_block_{rule}", lambda: _module("_merge").MERGE_BLOCK[rule])


def ready(kernel: Callable[..., Any]) -> bool:
    """Whether a kernel's first call is quick: it has been compiled on this machine before."""
    return isinstance(kernel, Loop) and kernel.ready


MERGE_BLOCK: Mapping[str, Callable[..., int]] = {rule: _merging(rule) for rule in RULES}
histogram_block = _measuring("histogram_block")
survey_block = _measuring("survey_block")
magnitudes_block = _measuring("magnitudes_block")
equal_block = _measuring("equal_block")
equal_place = _measuring("equal_place")
settle_block = _measuring("settle_block")
l1_block = _measuring("l1_block")
add_low_rank = Loop("add_low_rank", lambda: _module("_lowrank").add_low_rank)
stay_block = Loop("stay_block", lambda: _module("_random").stay_block)

__all__ = [
    "MERGE_BLOCK",
    "add_low_rank",
    "equal_block",
    "equal_place",
    "histogram_block",
    "l1_block",
    "magnitudes_block",
    "ready",
    "settle_block",
    "stay_block",
    "survey_block",
]
