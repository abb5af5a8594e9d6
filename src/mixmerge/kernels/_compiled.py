"""All compiled kernels under the names `load` expects; they take the rows' addresses, whatever memory those are in.

A kernel is several loops, of which a call chooses one by what its tensor asks for; see `_choice`. `magnitudes_block`
is the definition: it sees a sample only, in less time than compiling it takes for many merges.
"""

from __future__ import annotations

import importlib
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mixmerge.kernels._choice import (
    DARED,
    KINDS,
    PLAIN,
    SEEN_KINDS,
    SETTLED,
    WORD,
    Pair,
    aligned,
    kind_of,
    merged_pair,
    seen_kind_of,
    surveyed_pair,
)
from mixmerge.kernels._layout import REFUSED, RULES, Lowered
from mixmerge.kernels._loop import Loop
from mixmerge.kernels.reference import magnitudes_block

Call = tuple[Loop, tuple[Any, ...]]
Loops = dict[str, Loop]

_BFLOAT_BYTES = 2


class _Latest(threading.local):
    """The tensor that a thread was told of last, and what is chosen for it: all blocks of one are told alike."""

    def __init__(self) -> None:
        self.low: Lowered | None = None
        self.kind = PLAIN
        self.pair: Pair | None = None


class OverRows:
    """A kernel for rows that are uint8 arrays, each contiguous; they outlive the call, since the caller has them."""

    def __init__(self, loops: Loops, kind: Callable[[Lowered], str], pairs: Loops | None = None) -> None:
        """loops: for each kind of tensor; kind: which of them one is; pairs: those that are tried first."""
        self.loops = loops
        self.pairs = pairs or {}
        self._kind = kind
        self._latest = _Latest()

    def __call__(self, rows: Any, first: int, count: int, low: Lowered, *rest: Any) -> Any:
        return self._whole(low)(addresses(rows), first, count, low, *rest)

    def chosen(self, rows: Any, first: int, count: int, low: Lowered, *rest: Any) -> Call:
        """The loop that is tried first in such a call, and what it is told."""
        return self._whole(low), (addresses(rows), first, count, low, *rest)

    def _whole(self, low: Lowered) -> Loop:
        """The loop that does all that such a tensor may ask."""
        return self.loops[self._told(low).kind]

    def _told(self, low: Lowered) -> _Latest:
        latest = self._latest
        if latest.low is not low:
            latest.kind, latest.pair, latest.low = self._kind(low), self._pair_of(low), low
        return latest

    def _pair_of(self, low: Lowered) -> Pair | None:  # noqa: ARG002
        return None


class Merging(OverRows):
    """`merge_block` of a rule."""

    def __init__(self, rule: str, pairs: tuple[str, ...]) -> None:
        """pairs: the kinds of pairs that have loops of their own."""
        block = {kind: _loop(f"merge_block_{rule}_{kind}", "_merge", "MERGE_BLOCK", (rule, kind)) for kind in KINDS}
        first = {kind: _loop(f"merge_pair_{rule}_{kind}", "_pairs", "MERGE_PAIR", (rule, kind)) for kind in pairs}
        super().__init__(block, kind_of, first)
        self._rule = rule

    def __call__(self, rows: Any, first: int, count: int, low: Lowered, *rest: Any) -> Any:
        loop, arguments = self.chosen(rows, first, count, low, *rest)
        found = loop(*arguments)
        return found if found != REFUSED else self._whole(low)(arguments[0], first, count, low, *rest)

    def chosen(self, rows: Any, first: int, count: int, low: Lowered, *rest: Any) -> Call:
        out, tiles, words, _ = rest
        places, pair = addresses(rows), self._told(low).pair
        if pair is None or count % 2 or first + count > pair.limit:
            return self._whole(low), (places, first, count, low, *rest)
        if _address(out) % WORD or not aligned(pair, places.tolist()):
            return self._whole(low), (places, first, count, low, *rest)
        return self.pairs[pair.kind], (places, first, count, low, out, tiles, words)

    def _pair_of(self, low: Lowered) -> Pair | None:
        return merged_pair(self._rule, low)


class Surveying(OverRows):
    """`survey_block`."""

    def __init__(self) -> None:
        first = {kind: _loop(f"survey_pair_{kind}", "_pair_survey", "SURVEY_PAIR", kind) for kind in SEEN_KINDS}
        super().__init__(_measuring("survey_block", SEEN_KINDS), seen_kind_of, first)

    def __call__(self, rows: Any, first: int, count: int, low: Lowered, *rest: Any) -> Any:
        loop, arguments = self.chosen(rows, first, count, low, *rest)
        elected = loop(*arguments)
        done = int(rest[-2][0]) if loop in self.pairs.values() else count
        if done < count:
            left = arguments[0] + _BFLOAT_BYTES * done
            elected += self._whole(low)(left, first + done, count - done, low, *rest)
        return elected

    def chosen(self, rows: Any, first: int, count: int, low: Lowered, *rest: Any) -> Call:
        places, pair = addresses(rows), self._told(low).pair
        if pair is None or not aligned(pair, places.tolist()):
            return self._whole(low), (places, first, count, low, *rest)
        return self.pairs[pair.kind], (places, first, count, low, *rest[:-1])

    def _pair_of(self, low: Lowered) -> Pair | None:
        return surveyed_pair(low)


class _Rows(threading.local):
    """The rows this thread was given last, which are not kept alive, and their addresses."""

    def __init__(self) -> None:
        self.rows: list[weakref.ref[np.ndarray]] = []
        self.places = np.zeros(0, np.int64)


_ROWS = _Rows()


def addresses(rows: Any) -> np.ndarray:
    """int64, of each row's first byte; not to be changed: most blocks come in the rows of the one before."""
    known = _ROWS.rows
    if len(known) != len(rows) or any(one() is not row for one, row in zip(known, rows, strict=True)):
        _ROWS.rows = [weakref.ref(row) for row in rows]
        _ROWS.places = np.array([_address(row) for row in rows], np.int64)
    return _ROWS.places


def _address(row: np.ndarray) -> int:
    return int(row.__array_interface__["data"][0])


def _loop(name: str, module: str, table: str, place: Any) -> Loop:
    return Loop(name, lambda: getattr(importlib.import_module(f"mixmerge.kernels.{module}"), table)[place])


def _alone(name: str, module: str) -> Loop:
    return Loop(name, lambda: getattr(importlib.import_module(f"mixmerge.kernels.{module}"), name))


def _measuring(name: str, kinds: tuple[str, ...]) -> Loops:
    return {kind: _loop(f"{name}_{kind}", "_measure", "MEASURE", (name, kind)) for kind in kinds}


def _seeing(name: str) -> OverRows:
    return OverRows(_measuring(name, SEEN_KINDS), seen_kind_of)


def ready(kernel: Callable[..., Any], *arguments: Any) -> bool:
    """Whether this call is quick: the loop it tries first has been compiled on this machine before."""
    loop = kernel.chosen(*arguments)[0] if isinstance(kernel, OverRows) else kernel
    return isinstance(loop, Loop) and loop.ready


def make_ready(kernel: Callable[..., Any], *arguments: Any) -> None:
    """Have that loop compiled, over none of the rows' elements; a kernel without rows is called as it is told."""
    if not isinstance(kernel, OverRows):
        kernel(*arguments)
        return
    loop, (rows, first, _, *rest) = kernel.chosen(*arguments)
    loop(rows, first, 0, *rest)


_PAIRS: Mapping[str, tuple[str, ...]] = {
    "sum": (PLAIN, DARED),
    "delta_sum": (PLAIN, DARED),
    "elect_mix_pair": (PLAIN, DARED, SETTLED),
}

MERGE_BLOCK: Mapping[str, OverRows] = {rule: Merging(rule, _PAIRS.get(rule, ())) for rule in RULES}
histogram_block = _seeing("histogram_block")
survey_block = Surveying()
equal_block = _seeing("equal_block")
equal_place = _seeing("equal_place")
settle_block = OverRows(_measuring("settle_block", (DARED,)), kind_of)
l1_block = OverRows(_measuring("l1_block", KINDS), kind_of)
add_low_rank = _alone("add_low_rank", "_lowrank")
stay_block = _alone("stay_block", "_random")

__all__ = [
    "MERGE_BLOCK",
    "add_low_rank",
    "equal_block",
    "equal_place",
    "histogram_block",
    "l1_block",
    "magnitudes_block",
    "make_ready",
    "ready",
    "settle_block",
    "stay_block",
    "survey_block",
]
