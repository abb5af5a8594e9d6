"""Compiled loops over blocks of elements, and their definition in numpy. Imported by the engine only.

`load()` gives the compiled kernels, or the numpy definitions where Numba is missing: slower, same bytes.
Knows dtype codes and raw bytes; no checkpoints, names of tensors or plans.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mixmerge.kernels._layout import (
    CHUNK,
    DARE_MAGNITUDE,
    DARE_NONE,
    DARE_RANDOM,
    LANES,
    RULES,
    SCRATCH,
    SPARSE_BERNOULLI,
    SPARSE_NONE,
    SPARSE_TRIM,
    TILE,
    Lowered,
)
from mixmerge.kernels._store import any_kept


@dataclass(frozen=True, slots=True)
class Kernels:
    """One implementation of every kernel. compiled: whether it is machine code. ready: of a kernel and its arguments,
    whether the call is quick, or has to compile first. make_ready: has that done, whatever lies in the rows."""

    compiled: bool
    ready: Callable[..., bool]
    make_ready: Callable[..., None]
    merge_block: Mapping[str, Callable[..., int]]
    histogram_block: Callable[..., None]
    survey_block: Callable[..., int]
    magnitudes_block: Callable[..., None]
    equal_block: Callable[..., None]
    equal_place: Callable[..., int]
    l1_block: Callable[..., None]
    settle_block: Callable[..., None]
    stay_block: Callable[..., None]
    add_low_rank: Callable[..., None]


def _always(*_: Any) -> bool:
    return True


def _nothing(*_: Any) -> None:
    return


def _from(module: Any, compiled: bool) -> Kernels:
    return Kernels(
        compiled,
        module.ready if compiled else _always,
        module.make_ready if compiled else _nothing,
        module.MERGE_BLOCK,
        module.histogram_block,
        module.survey_block,
        module.magnitudes_block,
        module.equal_block,
        module.equal_place,
        module.l1_block,
        module.settle_block,
        module.stay_block,
        module.add_low_rank,
    )


def load(compiled: bool | None = None) -> Kernels:
    """The compiled kernels, or the numpy ones where Numba does not import or MIXMERGE_NUMPY=1 asks for them.

    compiled: True or False forces one of the two (True raises ImportError where Numba is missing).
    """
    if compiled is None:
        compiled = os.environ.get("MIXMERGE_NUMPY", "") != "1" and _can_compile()
    elif compiled and not any_kept():
        importlib.import_module("numba")
    name = "_compiled" if compiled else "reference"
    return _from(importlib.import_module(f"mixmerge.kernels.{name}"), compiled)


def _can_compile() -> bool:
    """Whether Numba can be used: where it is there, it may still refuse its surroundings (a newer NumPy). What it has
    compiled before, in these surroundings, is proof enough: to import it takes most of a second."""
    if any_kept():
        return True
    try:
        importlib.import_module("numba")
    except ImportError:
        return False
    return True


__all__ = [
    "CHUNK",
    "DARE_MAGNITUDE",
    "DARE_NONE",
    "DARE_RANDOM",
    "LANES",
    "RULES",
    "SCRATCH",
    "SPARSE_BERNOULLI",
    "SPARSE_NONE",
    "SPARSE_TRIM",
    "TILE",
    "Kernels",
    "Lowered",
    "load",
]
