"""The random masks of DARE, drawn once for many passes: one bit for each element of each source.

A sixteenth of the size of sources in BF16. They are what the loops would draw themselves, so no byte depends on them.
Where signs are elected, what is trimmed and what is outvoted depends on the ratio as little as what DARE drops: once
thresholds and majority are known, the masks can leave that out as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np

from mixmerge.engine.blocks import IN_PLACE, Arena, pieces, read, refuse_nonfinite
from mixmerge.engine.compiling import have_ready
from mixmerge.engine.events import Listener, PassStarted, Progress
from mixmerge.engine.lowering import coefficients, lower, rule_of, stream_keys
from mixmerge.engine.statistics import Statistics
from mixmerge.engine.workers import run_jobs
from mixmerge.kernels import TILE, Kernels, Lowered
from mixmerge.planning import Plan, Step
from mixmerge.rng import drop_threshold


@final
class Masks:
    """Of all tensors of a plan whose DARE is random; see `wanted`. Holds for every ratio."""

    def __init__(self, plan: Plan, kernels: Kernels) -> None:
        assert plan.recipe.dare is not None, "drawn for DARE only"
        threshold = np.uint64(drop_threshold(plan.recipe.dare.drop_rate))
        steps = [step for step in plan.steps if step.method is not None and step.spec.count]
        self._bits = {
            step.spec.name: np.zeros((len(step.inputs), -(-step.spec.count // 32)), np.uint32) for step in steps
        }

        def draw(job: tuple[Step, int, int], _: int) -> None:
            step, first, count = job
            words = np.zeros(TILE // 8, np.uint64)
            for key, bits in zip(stream_keys(plan, step), self._bits[step.spec.name], strict=True):
                kernels.stay_block(key, first, count, threshold, bits[first // 32 :], words)

        def jobs() -> Iterator[tuple[Step, int, int]]:
            for step in steps:
                for first, count in pieces(step, IN_PLACE):
                    yield step, first, count

        run_jobs(jobs(), draw, list(range(plan.budget.threads)))
        self._steps = steps
        self.settled: Statistics | None = None

    def settle(
        self, plan: Plan, statistics: Statistics, kernels: Kernels, arenas: list[Arena], listen: Listener
    ) -> None:
        """Leave out what these statistics trim and outvote, in one pass over the sources.

        Applying gives the same bytes with these masks; measuring does not. Where it raises they are of no use any more.
        """

        def jobs() -> Iterator[tuple[Step, Lowered, int, int]]:
            for step in self._steps:
                numbers, found = coefficients(step, plan.ratios), statistics.of(step.spec.name)
                low = lower(plan, step, numbers, found, statistics.majority, self.stays(step))
                for first, count in pieces(step, plan.budget.block):
                    yield step, low, first, count

        def work(job: tuple[Step, Lowered, int, int], arena: Arena) -> None:
            step, low, first, count = job
            read(plan, step, first, count, arena, kernels, hashed=False)
            kernels.settle_block(arena.raw, first, count, low, self._bits[step.spec.name], *arena.scratch)
            refuse_nonfinite(plan, step, arena.nonfinite)
            listen(Progress(sum(count * item.span.dtype.itemsize for item in step.all_inputs)))

        for step, low, _, _ in jobs():
            arena, bits = arenas[0], self._bits[step.spec.name]
            have_ready(kernels, listen, kernels.settle_block, arena.raw, 0, 0, low, bits, *arena.scratch)
            break
        listen(PassStarted("settling masks", sum(step.read_bytes for step in self._steps)))
        run_jobs(jobs(), work, arenas)
        self.settled = statistics

    def stays(self, step: Step) -> np.ndarray | None:
        """Address of each source's mask, int64 (n,); they hold as long as this object. None where there is none."""
        found = self._bits.get(step.spec.name)
        return None if found is None else found.ctypes.data + np.arange(len(found), dtype=np.int64) * found.strides[0]


def wanted(plan: Plan, kernels: Kernels) -> bool:
    """Whether masks are drawn at all; the numpy definitions draw their own."""
    dare = plan.recipe.dare
    return kernels.compiled and dare is not None and dare.strategy == "random"


def settles(plan: Plan) -> bool:
    """Whether all that is merged elects signs, and so whether masks can be settled.

    Not where DARE masks weights: what is left out would be a change by all of the base's weight, not none.
    """
    if plan.recipe.dare is not None and plan.recipe.dare.of == "weight":
        return False
    rules = {rule_of(step, plan.ratios) for step in plan.steps if step.method is not None}
    return bool(rules) and all(rule.startswith("elect") for rule in rules)
