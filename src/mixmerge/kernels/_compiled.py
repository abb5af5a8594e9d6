"""All compiled kernels under the names `load` expects; they take the rows' addresses, whatever memory those are in."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mixmerge.kernels._layout import RULES, TILE
from mixmerge.kernels._loop import Loop


class OverRows:
    """A loop for rows that are uint8 arrays, each contiguous; they outlive the call, since the caller has them."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def __call__(self, rows: Iterable[np.ndarray], *rest: Any) -> Any:
        return self.loop(np.array([row.__array_interface__["data"][0] for row in rows], np.int64), *rest)


def _module(name: str) -> Any:
    return importlib.import_module(f"mixmerge.kernels.{name}")


def _measuring(name: str) -> OverRows:
    return OverRows(Loop(name, lambda: getattr(_module("_measure"), name)))


def _merging(rule: str) -> OverRows:
    return OverRows(Loop(f"merge_block_{rule}", lambda: _module("_merge").MERGE_BLOCK[rule]))


def ready(kernel: Callable[..., Any]) -> bool:
    """Whether a kernel's first call is quick: it has been compiled on this machine before."""
    loop = kernel.loop if isinstance(kernel, OverRows) else _stay_block if kernel is stay_block else kernel
    return isinstance(loop, Loop) and loop.ready


MERGE_BLOCK: Mapping[str, Callable[..., int]] = {rule: _merging(rule) for rule in RULES}
histogram_block = _measuring("histogram_block")
survey_block = _measuring("survey_block")
magnitudes_block = _measuring("magnitudes_block")
equal_block = _measuring("equal_block")
equal_place = _measuring("equal_place")
settle_block = _measuring("settle_block")
l1_block = _measuring("l1_block")
add_low_rank = Loop("add_low_rank", lambda: _module("_lowrank").add_low_rank)
_stay_block = Loop("stay_block", lambda: _module("_random").stay_block)


def stay_block(key: np.ndarray, first: int, count: int, threshold: np.uint64, bits: np.ndarray) -> None:
    """As `reference.stay_block`."""
    _stay_block(key, first, count, threshold, bits, np.zeros(TILE // 8, np.uint64))


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
