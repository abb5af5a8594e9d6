"""The measure passes: thresholds, cuts, L1 factors and the majority sign, exact and in bounded memory.

Nothing found here depends on the ratio, nor on blocks, threads or the guess a sample makes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from mixmerge.engine.blocks import Arena, pieces, read, refuse_nonfinite
from mixmerge.engine.compiling import have_ready
from mixmerge.engine.events import Listener, PassStarted, Progress
from mixmerge.engine.lowering import coefficients, dropped_count, lower, share_of
from mixmerge.engine.masks import Masks
from mixmerge.engine.selection import Selection, guessed
from mixmerge.engine.statistics import FOREVER, Statistics, TensorStatistics
from mixmerge.engine.workers import run_jobs
from mixmerge.kernels import CHUNK, LANES, Kernels, Lowered
from mixmerge.planning import Plan, Step

_SEGMENT = 8_192
_ALIGNED = 32  # elements that one block of random numbers decides for: kernels start at multiples of it
_NOTHING = TensorStatistics()


class Measurer:
    """One measuring of one plan. arenas: one a thread. masks: those at hand."""

    def __init__(
        self, plan: Plan, kernels: Kernels, arenas: list[Arena], listen: Listener, masks: Masks | None = None
    ) -> None:
        self.plan = plan
        self.kernels = kernels
        self.arenas = arenas
        self.listen = listen
        self.masks = masks
        self.steps = [step for step in plan.steps if step.method is not None and step.spec.count]
        self.bins = plan.budget.bins
        self._lock = threading.Lock()

    def run(self) -> Statistics:
        """Every statistic the plan's method and DARE need."""
        found: dict[str, TensorStatistics] = {}
        dare = self.plan.recipe.dare
        if dare is not None and dare.strategy == "magnitude":
            self._by_tensor("ranking for DARE", found, self._dare_limits)
        if self.plan.method.sparsify == "bernoulli":
            self._by_tensor("measuring norms", found, self._factors)
        if self.plan.method.sparsify == "trim":
            whole = bool(self.steps) and self.steps[0].shared.get("trim") == "model"
            if whole:
                return self._whole_model(found)
            self._by_tensor("ranking magnitudes", found, self._tensor_limits)
        if self.plan.method.sparsify == "trim" and "trim" in (self.steps[0].shared if self.steps else {}):
            return self._with_majority(found)
        return Statistics(found)

    # One tensor at a time, each on one thread.

    def _by_tensor(
        self,
        name: str,
        found: dict[str, TensorStatistics],
        measure: Callable[[Step, TensorStatistics, Arena], TensorStatistics],
    ) -> None:
        self.listen(PassStarted(name, sum(step.read_bytes for step in self.steps)))

        def work(step: Step, arena: Arena) -> None:
            result = measure(step, found.get(step.spec.name, _NOTHING), arena)
            refuse_nonfinite(self.plan, step, arena.nonfinite)
            self.listen(Progress(step.read_bytes))
            with self._lock:
                found[step.spec.name] = result

        run_jobs(sorted(self.steps, key=lambda step: -step.spec.count), work, self.arenas)

    def _dare_limits(self, step: Step, found: TensorStatistics, arena: Arena) -> TensorStatistics:
        dare = self.plan.recipe.dare
        assert dare is not None, "measured for DARE only"
        rank = share_of(step.spec.count, dare.drop_rate)
        if rank == 0:
            return found
        # As DARE sees them: task vectors or weights, before anything else is done to them.
        low = self._lowered(step, found)._replace(delta=1 - int(dare.of == "weight"), dare=0)
        chosen = self._select(step, [Selection(rank)] * len(step.inputs), low, 2, arena)
        return replace(found, dare_limits=tuple(one.value for one in chosen))

    def _tensor_limits(self, step: Step, found: TensorStatistics, arena: Arena) -> TensorStatistics:
        if "trim" in step.shared:
            return self._limits_by_threshold(step, found, arena)
        return self._limits_by_count(step, found, arena)

    def _limits_by_threshold(self, step: Step, found: TensorStatistics, arena: Arena) -> TensorStatistics:
        """The paper's rule within one tensor: everything at or above the k-th smallest stays."""
        ranks = [dropped_count(step.spec.count, float(source["density"])) for source in step.sources]
        low = self._lowered(step, found)
        chosen = self._select(step, [Selection(max(rank, 1)) for rank in ranks], low, 2, arena)
        limits = tuple(one.value if rank else 0.0 for one, rank in zip(chosen, ranks, strict=True))
        return replace(found, limits=limits, cuts=(FOREVER,) * len(limits))

    def _limits_by_count(self, step: Step, found: TensorStatistics, arena: Arena) -> TensorStatistics:
        """mergekit's rule: exactly int(density n) stay (one at least if density > 0), equal ones by lowest index."""
        n = step.spec.count
        keep = [_kept_count(n, float(source["density"])) for source in step.sources]
        low = self._lowered(step, found)
        chosen = self._select(step, [Selection(max(n - k + 1, 1) if k else n) for k in keep], low, 2, arena)
        limits = tuple(_limit(one, k, n) for one, k in zip(chosen, keep, strict=True))
        wanted = [k - (n - one.below - one.equal) for one, k in zip(chosen, keep, strict=True)]
        cuts = tuple(
            FOREVER if k in (0, n) or want == one.equal else self._cut(step, low, arena, source, one.value, want)
            for source, (one, k, want) in enumerate(zip(chosen, keep, wanted, strict=True))
        )
        found = replace(found, limits=limits, cuts=cuts)
        return self._factors(step, found, arena) if step.shared.get("rescale") else found

    def _cut(self, step: Step, low: Lowered, arena: Arena, source: int, limit: float, wanted: int) -> int:
        """Index of the last element that stays of those equal to the limit; nothing equals a NaN."""
        if math.isnan(limit):
            return FOREVER
        limits = np.full(len(step.inputs), np.float32(limit))
        for first, count in pieces(step, self.plan.budget.block):
            self._read(step, first, count, arena)
            counts = np.zeros((len(step.inputs), -(-count // CHUNK)), np.int64)
            self.kernels.equal_block(arena.raw, first, count, low, limits, counts, *arena.scratch)
            here = int(counts[source].sum())
            if here >= wanted:
                place = self.kernels.equal_place(
                    arena.raw, first, count, low, np.float32(limit), source, wanted, *arena.scratch
                )
                return int(place)
            wanted -= here
        raise AssertionError("fewer equal magnitudes than were counted")

    def _factors(self, step: Step, found: TensorStatistics, arena: Arena) -> TensorStatistics:
        """What restores the L1 norm after sparsifying; 1 where a norm is below 1e-7 or nothing is rescaled."""
        if not step.shared.get("rescale"):
            return found
        low = self._lowered(step, found)
        total = np.zeros((len(step.inputs), 2))
        for first, count in pieces(step, self.plan.budget.block):
            self._read(step, first, count, arena)
            sums = np.zeros((len(step.inputs), -(-count // CHUNK), 2))
            self.kernels.l1_block(arena.raw, first, count, low, sums, np.zeros(LANES), *arena.scratch)
            for chunk in range(sums.shape[1]):
                total += sums[:, chunk]
        return replace(found, factors=tuple(_factor(float(whole), float(part)) for whole, part in total))

    def _select(
        self, step: Step, chosen: Sequence[Selection], low: Lowered, level: int, arena: Arena
    ) -> list[Selection]:
        """Order statistics of one tensor, one a source."""
        current = list(chosen)
        bins = min(self.bins, 2 ** max(step.spec.count.bit_length(), 8))
        while any(one.found is None for one in current):
            below, tables = np.zeros(len(current), np.int64), np.zeros((len(current), bins), np.int64)
            windows = _windows(current, bins)
            for first, count in pieces(step, self.plan.budget.block):
                self._read(step, first, count, arena)
                self.kernels.histogram_block(
                    arena.raw, first, count, low, level, windows, below, tables, *arena.scratch
                )
            current = _narrowed(current, below, tables)
        return current

    # The whole model at once, all threads on blocks.

    def _whole_model(self, found: dict[str, TensorStatistics]) -> Statistics:
        """One threshold a source over all tensors, and on the way an estimate of the majority sign."""
        total = sum(step.spec.count for step in self.steps)
        sources = len(self.steps[0].inputs) if self.steps else 0
        ranks = [dropped_count(total, float(self.steps[0].sources[k]["density"])) for k in range(sources)]
        current = [Selection(max(rank, 1)) for rank in ranks]
        guesses = [0.0] * sources
        size = self.plan.budget.sample
        if total > 4 * size:
            current, guesses = self._guess(found, current, total, size)
        majority = 0
        while any(one.found is None for one in current):
            current, majority = self._survey(found, current, guesses)
            guesses = [one.value if one.found is not None else one.low_value for one in current]
        limits = tuple(one.value if rank else 0.0 for one, rank in zip(current, ranks, strict=True))
        return Statistics(found, limits, majority, proven=False)

    def _guess(
        self, found: dict[str, TensorStatistics], current: list[Selection], total: int, size: int
    ) -> tuple[list[Selection], list[float]]:
        sample = np.zeros((len(current), size), np.float32)
        arena, filled = self.arenas[0], 0
        for step, first, count in _spread(self.steps, total, size):
            low = self._lowered(step, found.get(step.spec.name, _NOTHING))
            self._read(step, first, count, arena)
            self.kernels.magnitudes_block(arena.raw, first, count, low, 2, sample, filled, *arena.scratch)
            refuse_nonfinite(self.plan, step, arena.nonfinite)
            filled += count
        results = [guessed(one.rank, total, row[:filled]) for one, row in zip(current, sample, strict=True)]
        return [window for window, _ in results], [value for _, value in results]

    def _survey(
        self, found: dict[str, TensorStatistics], current: list[Selection], guesses: list[float]
    ) -> tuple[list[Selection], int]:
        """A round over the whole model: narrower windows, and the majority sign at the guessed thresholds."""
        sources = len(current)
        windows = _windows(current, self.bins)
        trial = tuple(guesses)
        tables = [_Tables(sources, self.bins, arena) for arena in self.arenas]
        self._compile_survey(found, trial, windows, tables[0])
        self.listen(PassStarted("measuring", sum(step.read_bytes for step in self.steps)))

        def work(job: tuple[Step, Lowered, int, int], mine: _Tables) -> None:
            step, low, first, count = job
            size = self._read(step, first, count, mine.arena)
            mine.elected += self.kernels.survey_block(
                mine.arena.raw, first, count, low, windows, mine.below, mine.tables, *mine.arena.scratch
            )
            refuse_nonfinite(self.plan, step, mine.arena.nonfinite)
            self.listen(Progress(size))

        run_jobs(self._blocks(found, trial), work, tables)
        below = sum((one.below for one in tables), np.zeros(sources, np.int64))
        table = sum((one.tables for one in tables), np.zeros((sources, self.bins), np.int64))
        return _narrowed(current, below, table), int(np.sign(sum(one.elected for one in tables)))

    def _compile_survey(
        self, found: dict[str, TensorStatistics], trial: tuple[float, ...], windows: np.ndarray, mine: _Tables
    ) -> None:
        """Seconds, once on a machine; without this they would look like a pass that does not move."""
        for _, low, _, _ in self._blocks(found, trial):
            arena = mine.arena
            told = (arena.raw, 0, 0, low, windows, mine.below, mine.tables, *arena.scratch)
            have_ready(self.kernels, self.listen, self.kernels.survey_block, *told)
            return

    def _with_majority(self, found: dict[str, TensorStatistics]) -> Statistics:
        """The exact majority sign where thresholds are each tensor's own."""
        sources = max(len(step.inputs) for step in self.steps)
        done = [Selection(1, found=0)] * sources
        _, majority = self._survey(found, [replace(one, width=0) for one in done], [])
        return Statistics(found, None, majority)

    def _blocks(
        self, found: dict[str, TensorStatistics], limits: tuple[float, ...]
    ) -> Iterator[tuple[Step, Lowered, int, int]]:
        for step in self.steps:
            own = found.get(step.spec.name, _NOTHING)
            own = replace(own, limits=limits, cuts=(FOREVER,) * len(limits)) if limits else own
            low = self._lowered(step, own)
            for first, count in pieces(step, self.plan.budget.block):
                yield step, low, first, count

    def _lowered(self, step: Step, found: TensorStatistics) -> Lowered:
        stays = None if self.masks is None else self.masks.stays(step)
        return lower(self.plan, step, coefficients(step, self.plan.ratios), found, 0, stays)

    def _read(self, step: Step, first: int, count: int, arena: Arena) -> int:
        read(self.plan, step, first, count, arena, self.kernels, hashed=False)
        return sum(count * item.span.dtype.itemsize for item in step.all_inputs)


class _Tables:
    """What one thread counts in a round."""

    def __init__(self, sources: int, bins: int, arena: Arena) -> None:
        self.below = np.zeros(sources, np.int64)
        self.tables = np.zeros((sources, bins), np.int64)
        self.elected = 0
        self.arena = arena


def _windows(current: Sequence[Selection], bins: int) -> np.ndarray:
    """An empty window for what has been found already."""
    rows = [(0, 0, 0) if one.found is not None else one.window(bins) for one in current]
    return np.array(rows, np.uint32)


def _narrowed(current: Sequence[Selection], below: np.ndarray, tables: np.ndarray) -> list[Selection]:
    return [
        one if one.found is not None else one.narrowed(int(fewer), table)
        for one, fewer, table in zip(current, below, tables, strict=True)
    ]


def _kept_count(n: int, density: float) -> int:
    return max(1, int(density * n)) if density > 0 else 0


def _limit(chosen: Selection, kept: int, n: int) -> float:
    if kept == 0:
        return float("inf")
    return 0.0 if kept == n else chosen.value


def _factor(whole: float, part: float) -> float:
    return whole / part if math.isfinite(whole) and whole >= 1e-7 and part >= 1e-7 else 1.0


def _spread(steps: Sequence[Step], total: int, size: int) -> Iterator[tuple[Step, int, int]]:
    """Segments spread evenly over all elements of the model, about `size` elements together."""
    segments = size // _SEGMENT
    stride = total / segments
    start, number = 0, 0
    for step in steps:
        while number < segments and number * stride < start + step.spec.count:
            first = int(number * stride) - start
            first = max(0, min(first, step.spec.count - _SEGMENT)) // _ALIGNED * _ALIGNED
            yield step, first, min(_SEGMENT, step.spec.count - first)
            number += 1
        start += step.spec.count
